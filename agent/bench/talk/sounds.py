"""Sounds that are not speech, made with numpy: float64 at 48 kHz, the same on every run.

`SOUNDS` are events: their level is that of a caller's room, next to speech of `SPEECH_DBFS`. `BACKGROUNDS` go on
without end; their level is set where they are mixed. Babble is made of speech and so in `render`.
"""

from collections.abc import Callable

import numpy as np

RATE = 48_000
SPEECH_DBFS = -22.0
"""RMS of what is said, pauses left out."""


def _random(name: str) -> np.random.Generator:
    return np.random.default_rng(list(name.encode()))


def _noise(samples: int, low_hz: float, high_hz: float, random: np.random.Generator) -> np.ndarray:
    """Noise of one band, RMS 1."""
    spectrum = np.fft.rfft(random.standard_normal(samples))
    hz = np.fft.rfftfreq(samples, 1 / RATE)
    spectrum[(hz < low_hz) | (hz > high_hz)] = 0
    noise = np.fft.irfft(spectrum, samples)
    return noise / np.sqrt((noise**2).mean())


def _decay(secs: float, attack_secs: float, fall_secs: float) -> np.ndarray:
    """Rises in `attack_secs`, then falls to a third each `fall_secs`."""
    t = np.arange(round(secs * RATE)) / RATE
    return np.minimum(t / attack_secs, 1.0) * np.exp(-np.maximum(t - attack_secs, 0) / fall_secs)


def _join(*parts: np.ndarray, gap_secs: float) -> np.ndarray:
    gap = np.zeros(round(gap_secs * RATE))
    return np.concatenate([piece for part in parts for piece in (part, gap)][:-1])


def _level(sound: np.ndarray, dbfs: float) -> np.ndarray:
    """Its loudest 20 ms at an RMS."""
    frame = RATE // 50
    power = np.convolve(sound**2, np.ones(frame) / frame, mode="same")
    return sound * (10 ** (dbfs / 20) / np.sqrt(power.max()))


def _voiced(secs: float, hz: np.ndarray | float, formants: tuple[tuple[float, float], ...]) -> np.ndarray:
    """A hum: harmonics of a pitch, weighted by formants of (Hz, width)."""
    t = np.arange(round(secs * RATE))
    pitch = np.broadcast_to(np.asarray(hz, dtype=float), t.shape)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    sound = np.zeros(len(t))
    for harmonic in range(1, 25):
        at = harmonic * float(np.mean(pitch))
        weight = sum(np.exp(-(((at - centre) / width) ** 2)) for centre, width in formants)
        sound += weight * np.sin(harmonic * phase)
    edge = np.minimum(np.minimum(t, t[::-1]) / (0.03 * RATE), 1.0)
    return sound * edge


def cough_dry() -> np.ndarray:
    """Two coughs: bursts of air."""
    random = _random("cough")
    bursts = (_noise(round(secs * RATE), 300, 5000, random) * _decay(secs, 0.006, 0.07) for secs in (0.28, 0.34))
    return _level(_join(*bursts, gap_secs=0.14), -16)


def breath() -> np.ndarray:
    """Somebody breathes on the microphone."""
    random = _random("breath")
    samples = round(0.9 * RATE)
    return _level(_noise(samples, 150, 2500, random) * np.sin(np.pi * np.arange(samples) / samples) ** 2, -26)


def click() -> np.ndarray:
    """A mouse button, pressed and let go."""
    random = _random("click")
    one = _noise(round(0.012 * RATE), 1500, 9000, random) * _decay(0.012, 0.0005, 0.003)
    return _level(_join(one, 0.7 * one, gap_secs=0.09), -22)


def keys() -> np.ndarray:
    """Typing: a dozen keys in 1.5 s."""
    random = _random("keys")
    sound = np.zeros(round(1.5 * RATE))
    for at in np.sort(random.uniform(0, 1.42, 12)):
        one = _noise(round(0.03 * RATE), 800, 7000, random) * _decay(0.03, 0.001, 0.007) * random.uniform(0.5, 1)
        start = round(at * RATE)
        sound[start : start + len(one)] += one
    return _level(sound, -22)


def thump() -> np.ndarray:
    """A door, or something put on the table."""
    random = _random("thump")
    return _level(_noise(round(0.35 * RATE), 40, 400, random) * _decay(0.35, 0.004, 0.07), -12)


def burst() -> np.ndarray:
    """A second of white noise: a tap, a car that passes."""
    random = _random("burst")
    samples = round(1.0 * RATE)
    return _level(_noise(samples, 60, 10_000, random) * np.minimum(np.arange(samples)[::-1] / (0.2 * RATE), 1), -24)


def ring() -> np.ndarray:
    """A telephone in the room: two tones, twice."""
    t = np.arange(round(0.4 * RATE)) / RATE
    tone = (np.sin(2 * np.pi * 880 * t) + np.sin(2 * np.pi * 1175 * t)) * np.minimum(np.minimum(t, t[::-1]) / 0.02, 1)
    return _level(_join(tone, tone, gap_secs=0.2), -22)


def mhm() -> np.ndarray:
    """A hum of consent: two notes, the second higher, lips closed."""
    first = _voiced(0.16, np.linspace(125, 115, round(0.16 * RATE)), ((260, 120), (1100, 150)))
    second = _voiced(0.26, np.linspace(130, 165, round(0.26 * RATE)), ((260, 120), (1100, 150)))
    return _level(_join(first, second, gap_secs=0.05), -22)


def hm() -> np.ndarray:
    """One hum, falling."""
    return _level(_voiced(0.3, np.linspace(140, 110, round(0.3 * RATE)), ((260, 120), (1100, 150))), -22)


SOUNDS: dict[str, Callable[[], np.ndarray]] = {
    make.__name__: make for make in (cough_dry, breath, click, keys, thump, burst, ring, mhm, hm)
}

VOCAL = {
    "cough": ("Huh! Huh!", 0.3),
    "throat": ("Hem hem.", 0.45),
    "gasp": ("Hah!", 0.2),
    "laugh": ("Ha ha ha.", 0.3),
}
"""Sounds of a throat: what the dialogue's voice says, and how much air goes with it. Noise alone is no voice to any
detector, these are; and they are nearly no words to any transcriber.
"""


def with_air(speech: np.ndarray, share: float) -> np.ndarray:
    """A voice with noise that rises and falls with it, at a share of its level."""
    frame = RATE // 100
    power = np.convolve(speech**2, np.ones(frame) / frame, mode="same")
    return speech + share * np.sqrt(np.maximum(power, 0)) * _noise(len(speech), 400, 6000, _random("air"))


BACKGROUND_SECS = 12.0


def hiss() -> np.ndarray:
    """A fan, the line itself."""
    return _noise(round(BACKGROUND_SECS * RATE), 100, 8000, _random("hiss"))


def street() -> np.ndarray:
    """Traffic: low noise that swells."""
    random = _random("street")
    samples = round(BACKGROUND_SECS * RATE)
    t = np.arange(samples) / samples
    swell = 1 + 0.6 * np.sin(2 * np.pi * 3 * t) * np.sin(2 * np.pi * 2 * t + 1)
    return (_noise(samples, 40, 500, random) + 0.3 * _noise(samples, 500, 3000, random)) * swell


def hum() -> np.ndarray:
    """The mains."""
    t = np.arange(round(BACKGROUND_SECS * RATE)) / RATE
    return sum((np.sin(2 * np.pi * 50 * n * t) / n for n in (1, 2, 3, 5, 7)), np.zeros(len(t)))


def music() -> np.ndarray:
    """Chords, one a second."""
    second = np.arange(RATE) / RATE
    chords = ((220, 277, 330), (196, 247, 294), (175, 220, 262), (165, 208, 247))
    fade = np.exp(-second * 2)
    bars = [sum(np.sin(2 * np.pi * hz * second) for hz in chord) * fade for chord in chords]
    return np.concatenate(bars * round(BACKGROUND_SECS / len(bars)))


BACKGROUNDS: dict[str, Callable[[], np.ndarray] | None] = {
    "hiss": hiss,
    "street": street,
    "hum": hum,
    "music": music,
    "babble": None,
}
