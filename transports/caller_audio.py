"""What is spoken and what is heard in a call: files, speech bounds, and the listener's playout.

Everything here is 48 kHz mono 16-bit PCM in numpy arrays of shape (samples,), and every time is in seconds on one
monotonic clock that the caller of these parts passes in. Nothing here touches the network or sleeps.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

RATE = 48_000
FRAME_SAMPLES = 960
FRAME_SECS = FRAME_SAMPLES / RATE

SPEECH_FLOOR_DBFS = -50.0
"""Below this RMS over 10 ms nothing counts as speech, sent or heard. Opus turns digital silence into less than -80."""

_FULL_SCALE = 32768.0


class NoSpeech(ValueError):
    """There is no speech in the signal."""


@dataclass(frozen=True)
class SpeechFile:
    """One file, ready to be spoken.

    Args:
        path: Where it came from.
        pcm: int16, shape (samples,), 48 kHz mono.
        first: Index of the first sample of speech.
        last: Index of the last sample of speech.
    """

    path: Path
    pcm: np.ndarray
    first: int
    last: int


def read_speech(path: Path) -> SpeechFile:
    """Read any file that libsndfile reads, as 48 kHz mono.

    Raises:
        OSError: The file cannot be opened.
        soundfile.SoundFileError: The file is not audio.
        NoSpeech: The file is empty, or holds only silence or steady noise.
    """
    with path.open("rb") as file:
        samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    if not len(samples):
        raise NoSpeech("it holds no samples")
    mono = soxr.resample(samples.mean(axis=1), rate, RATE)
    pcm = np.clip(np.rint(mono * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)
    first, last = speech_bounds(pcm, RATE)
    return SpeechFile(path, pcm, first, last)


def speech_bounds(pcm: np.ndarray, rate: int) -> tuple[int, int]:
    """Find the first and the last sample of speech by energy.

    The gate lies 40 % of the way, in decibels, from the noise between words to the loudest tenth of a second, and never
    below -50 dBFS. No hangover is added: the end is where the level falls through the gate, to about 10 ms. A soft
    ending that sinks into the file's own noise ends where the noise begins. Noise as loud as the speech itself, such as
    applause after it, counts as speech.

    Args:
        pcm: int16, shape (samples,), mono.
        rate: Sample rate in Hz.

    Returns:
        Indices of the first and of the last sample of speech, both inside it.

    Raises:
        NoSpeech: Nothing rises out of silence or steady noise for at least 30 ms.
    """
    window, hop = rate // 100, rate // 200
    signal = pcm.astype(np.float64) / _FULL_SCALE
    signal -= signal.mean() if len(signal) else 0.0
    levels = _levels_dbfs(signal, window, hop)
    gate = _gate_dbfs(levels)
    runs = _speech_runs(levels > gate)
    if not runs:
        raise NoSpeech("it holds no speech, only silence or steady noise")
    loud = np.abs(signal) > 10 ** (gate / 20)
    start, end = runs[0][0] * hop, (runs[-1][1] - 1) * hop + window
    inside = np.flatnonzero(loud[start:end])
    return start + int(inside[0]), start + int(inside[-1])


def _levels_dbfs(signal: np.ndarray, window: int, hop: int) -> np.ndarray:
    """RMS of each window, one per hop; none where the signal is shorter than one window."""
    if len(signal) < window:
        return np.empty(0)
    energy = np.concatenate(([0.0], np.cumsum(signal**2)))
    starts = np.arange(0, len(signal) - window + 1, hop)
    mean = np.maximum((energy[starts + window] - energy[starts]) / window, 1e-12)
    return 10 * np.log10(mean)


def _gate_dbfs(levels: np.ndarray) -> float:
    """Level above which a window is speech; infinite where nothing stands out."""
    if len(levels) < 20:
        return np.inf
    # The twentieth loudest hop of 5 ms: a level held for a tenth of a second, so a click does not set it.
    peak = float(np.partition(levels, -20)[-20])
    noise = max(float(np.percentile(levels, 10)), -70.0)
    if peak < SPEECH_FLOOR_DBFS or peak - noise < 6.0:
        return np.inf
    return max(noise + 0.4 * (peak - noise), SPEECH_FLOOR_DBFS)


def _speech_runs(above: np.ndarray, sustained: int = 6, near: int = 50) -> list[tuple[int, int]]:
    """Half-open runs of hops that are speech.

    A run of 30 ms is speech. A shorter one is, within a quarter of a second of speech: the release of a final "t"
    lasts 15 ms. Further away it is a click.
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([0], above.astype(np.int8), [0]))))
    runs = list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
    long = [index for index, (start, end) in enumerate(runs) if end - start >= sustained]
    if not long:
        return []
    first, last = long[0], long[-1]
    while first > 0 and runs[first][0] - runs[first - 1][1] < near:
        first -= 1
    while last + 1 < len(runs) and runs[last + 1][0] - runs[last][1] < near:
        last += 1
    return runs[first : last + 1]


@dataclass
class Burst:
    """One stretch of speech that was heard, with no silence longer than 200 ms in it.

    Args:
        start: When its first audible sample was heard.
        end: When its last audible sample was heard, so far.
    """

    start: float
    end: float


class Listener:
    """What a listener would hear of the frames that arrive, and when.

    A frame is heard when it arrives, or after the one before it where that still plays. A silent frame is shortened as
    far as it takes to get back in time with the arrivals, as players do; speech is never shortened or skipped. There is
    no jitter buffer in front: a browser's would add its own delay to what is measured here.

    Speech is what stays above -50 dBFS, RMS over 10 ms, for 30 ms; its start and end are refined to the sample.
    """

    _BLOCK = RATE // 100
    _SUSTAINED = 3
    _SAME_BURST_SECS = 0.2
    # Blocks are sustained across arrival jitter, which leaves small holes in playout, but not across silence.
    _SAME_RUN_SECS = 0.02
    _GATE = 10 ** (SPEECH_FLOOR_DBFS / 20) * _FULL_SCALE

    def __init__(self) -> None:
        self.bursts: list[Burst] = []
        self._playhead = float("-inf")
        self._run: list[Burst] = []

    @property
    def last_audible(self) -> float:
        """When the last audible sample of speech was heard; minus infinity before the first."""
        return self.bursts[-1].end if self.bursts else float("-inf")

    def hear(self, arrival: float, pcm: np.ndarray) -> tuple[float, np.ndarray]:
        """Play one frame.

        Args:
            arrival: When the frame arrived.
            pcm: int16, shape (samples,), 48 kHz mono.

        Returns:
            When its first sample is heard, and the samples of it that are.
        """
        start = max(arrival, self._playhead)
        audible = self._audible_blocks(pcm)
        if not audible.any():
            kept = round((max(self._playhead, arrival + len(pcm) / RATE) - start) * RATE)
            pcm = pcm[: max(kept, 0)]
        self._playhead = start + len(pcm) / RATE
        for index in np.flatnonzero(audible):
            self._note_block(start, pcm, int(index) * self._BLOCK)
        return start, pcm

    def _audible_blocks(self, pcm: np.ndarray) -> np.ndarray:
        blocks = pcm[: len(pcm) // self._BLOCK * self._BLOCK].astype(np.float64).reshape(-1, self._BLOCK)
        return np.sqrt((blocks**2).mean(axis=1)) > self._GATE

    def _note_block(self, frame_start: float, pcm: np.ndarray, offset: int) -> None:
        loud = np.flatnonzero(np.abs(pcm[offset : offset + self._BLOCK].astype(np.int32)) > self._GATE) + offset
        block = Burst(frame_start + int(loud[0]) / RATE, frame_start + int(loud[-1]) / RATE)
        if self.bursts and block.start - self.last_audible <= self._SAME_BURST_SECS:
            self.bursts[-1].end = block.end
            return
        if self._run and block.start - self._run[-1].end > self._SAME_RUN_SECS:
            self._run.clear()
        self._run.append(block)
        if len(self._run) == self._SUSTAINED:
            self.bursts.append(Burst(self._run[0].start, block.end))
            self._run.clear()
