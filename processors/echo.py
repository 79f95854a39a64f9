"""Whether the microphone hears the agent itself: the agent's own sound, late, quieter and blurred."""

import numpy as np

BAND = 4000
"""Samples a second that are compared: below 2 kHz a voice is louder than the noise of a room."""

SHARE = 0.4
"""Correlation from which on it is an echo. Over 0.3 s another voice stays below 0.36; a clean echo is above 0.8, one
with a room and noise about 0.4 in the middle, and those below are known by their words."""

LEAST_SECS = 0.2
FLATTENING = 0.7


def is_echo(heard: np.ndarray, heard_rate: int, played: np.ndarray, played_rate: int) -> bool:
    """Whether `heard` lies somewhere in `played`.

    Args:
        heard: The microphone's last few hundred milliseconds, int16.
        heard_rate: Its sample rate, a multiple of `BAND`.
        played: What left for the caller in the last seconds, int16.
        played_rate: Its sample rate, likewise.
    """
    return correlation(heard, heard_rate, played, played_rate) >= SHARE


def correlation(heard: np.ndarray, heard_rate: int, played: np.ndarray, played_rate: int) -> float:
    """The best match of `heard` with any part of `played`, 0 to 1; 0 where either is too short."""
    if len(heard) < LEAST_SECS * heard_rate or len(played) < LEAST_SECS * played_rate:
        return 0.0
    needle, hay = _low(heard, heard_rate), _low(played, played_rate)
    if len(hay) < len(needle):
        hay = np.pad(hay, (len(needle) - len(hay), 0))
    energy = float(np.dot(needle, needle))
    if energy <= 0:
        return 0.0
    size = 1 << (len(hay) + len(needle) - 1).bit_length()
    product = np.fft.irfft(np.fft.rfft(hay, size) * np.conj(np.fft.rfft(needle, size)), size)
    places = len(hay) - len(needle) + 1
    sums = np.concatenate([[0.0], np.cumsum(np.square(hay, dtype=np.float64))])
    energies = sums[len(needle) :] - sums[:places]
    # Where next to nothing was played, nothing can come back.
    floor = 0.05 * float(energies.max(initial=0.0)) + 1e-6
    scores = np.abs(product[:places]) / np.sqrt(np.maximum(energies, floor) * energy)
    return float(scores.max(initial=0.0))


def _low(samples: np.ndarray, rate: int) -> np.ndarray:
    """The lower band, at `BAND` samples a second, its spectrum flattened so that vowels do not match by chance."""
    step = max(1, rate // BAND)
    whole = len(samples) // step * step
    low = samples[len(samples) - whole :].astype(np.float32).reshape(-1, step).mean(axis=1)
    low -= low.mean()  # Cheap microphones are off centre.
    return low - FLATTENING * np.concatenate([low[:1], low[:-1]])
