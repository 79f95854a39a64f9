"""Cuts speech at its pauses, so that each piece fits into Whisper's window.

Whisper hears 30 s at once, and it tends to stop at a long silence and to lose what comes after: what is too long is cut
in the quietest place, and what holds a long silence is cut there.
"""

from collections.abc import Iterator

import numpy as np

SAMPLE_RATE = 16_000
FRAME = SAMPLE_RATE // 100
"""Samples whose energy is measured together: 10 ms."""

DECIMATION = 4
"""Means of so many samples are looked at: what is below 2 kHz, where speech is loudest and hiss is not."""

PRE_EMPHASIS = 0.97
"""Takes away an offset, and 20 dB of mains hum, where speech loses little."""

FLOOR_DB = -90.0
"""Frames below this are digital silence and tell nothing of the noise in the room."""

MIN_RANGE_DB = 6.0
"""Sound whose loud and quiet parts are closer than this has no pauses to be found."""

RISE_DB = (3.0, 12.0)
"""Speech is at least, and at most, so far above the noise floor."""

BLIP_FRAMES = 8
"""A shorter sound that stands alone is a click, which smoothing makes 50 ms long."""

PAUSE_FRAMES = 20
"""A shorter pause may lie inside a word."""

SEARCH_SECS = 12.0
"""How far back from the limit a pause is looked for; without one, a third of it."""


def pieces(
    audio: np.ndarray,
    max_secs: float = 28.0,
    *,
    silence_secs: float = 1.5,
    margin_secs: float = 0.3,
) -> list[tuple[int, int]]:
    """Find where to cut.

    Args:
        audio: Float32 mono samples at 16 kHz.
        max_secs: Longest piece.
        silence_secs: Silence from this length on is cut out.
        margin_secs: What is left of it on either side.

    Returns:
        Start and end (exclusive) of each piece in samples, in order, without overlaps; empty where all is digital
        silence.
    """
    power = _power_db(audio)
    speech = _speech(power)
    pauses_from = round(silence_secs * 100)
    margin, longest = round(margin_secs * 100), int(max_secs * 100)
    found: list[tuple[int, int]] = []
    for start, end in _regions(speech, pauses_from):
        start, end = max(0, start - margin), min(len(power), end + margin)
        found.extend(_shortened(power, speech, start, end, longest, margin))
    # The last frame is not always whole.
    return [(start * FRAME, len(audio) if end == len(power) else end * FRAME) for start, end in found]


def _power_db(audio: np.ndarray) -> np.ndarray:
    """Power of each frame below 2 kHz, after pre-emphasis, in dB relative to full scale, smoothed over 50 ms."""
    if not len(audio):
        return np.zeros(0, dtype=np.float32)
    frames = -(-len(audio) // FRAME)
    whole = np.zeros(frames * FRAME, dtype=np.float32)
    whole[: len(audio)] = audio
    low = whole.reshape(-1, DECIMATION) @ np.full(DECIMATION, 1 / DECIMATION, dtype=np.float32)
    bright = np.diff(low, prepend=low[0]) + (1 - PRE_EMPHASIS) * low
    bright = bright.reshape(frames, FRAME // DECIMATION)
    power = np.einsum("ij,ij->i", bright, bright) / (FRAME // DECIMATION)
    padded = np.pad(power, 2, mode="edge")
    smooth = np.convolve(padded, np.full(5, 0.2, dtype=np.float32), mode="valid")
    return 10 * np.log10(smooth + 1e-12)


def _speech(power: np.ndarray) -> np.ndarray:
    """Which frames stand out of the noise floor."""
    heard = power[power > FLOOR_DB]
    if not len(heard):
        return np.zeros(len(power), dtype=bool)
    floor, loud = np.percentile(heard, (10, 95))
    if loud - floor < MIN_RANGE_DB:
        # Steady sound, or speech between stretches of digital silence.
        return _without_blips(power > FLOOR_DB)
    rise = min(max(0.35 * (loud - floor), RISE_DB[0]), RISE_DB[1])
    return _without_blips(power > floor + rise)


def _without_blips(speech: np.ndarray) -> np.ndarray:
    for start, end in _runs(speech):
        if end - start < BLIP_FRAMES:
            speech[start:end] = False
    return speech


def _runs(flags: np.ndarray) -> Iterator[tuple[int, int]]:
    """Start and end (exclusive) of each run of true values."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _regions(speech: np.ndarray, pauses_from: int) -> list[tuple[int, int]]:
    """Runs of speech, in frames, with what is closer together than a long silence in one."""
    regions: list[tuple[int, int]] = []
    for start, end in _runs(speech):
        if regions and start - regions[-1][1] < pauses_from:
            regions[-1] = (regions[-1][0], end)
        else:
            regions.append((start, end))
    return regions


def _shortened(
    power: np.ndarray, speech: np.ndarray, start: int, end: int, longest: int, margin: int
) -> Iterator[tuple[int, int]]:
    """Cut one region, in frames, into pieces that are short enough."""
    while end - start > longest:
        stop, resume = _cut(power, speech, start, end, longest, margin)
        yield start, stop
        start = resume
    yield start, end


def _cut(power: np.ndarray, speech: np.ndarray, start: int, end: int, longest: int, margin: int) -> tuple[int, int]:
    """Where the first piece of a region ends and the next begins."""
    # A scrap of a word at the end would be heard without what came before: the last piece gets two seconds at least.
    last = min(start + longest, max(end - 200, start + longest // 2))
    first = max(start + longest // 4, last - round(SEARCH_SECS * 100))
    pauses = [(first + low, first + high) for low, high in _runs(~speech[first:last]) if high - low >= PAUSE_FRAMES]
    if pauses:
        # A longer pause is a better place, up to half a second; a second of waiting for it costs as much as 20 ms.
        low, high = max(pauses, key=lambda pause: min(pause[1] - pause[0], 50) + pause[1] * 0.02)
        if high - low > 2 * margin:
            return low + margin, high - margin
        return (low + high) // 2, (low + high) // 2
    first = max(first, last - round(SEARCH_SECS * 100 / 3))
    calm = np.convolve(power[first:last], np.full(9, 1 / 9), mode="same")
    # At its edges the mean is over fewer frames, which looks quiet.
    inner = calm[4:-4] if len(calm) > 9 else power[first:last]
    at = first + (4 if len(calm) > 9 else 0) + int(np.argmin(inner))
    return at, at
