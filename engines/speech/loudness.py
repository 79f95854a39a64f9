"""Even loudness, across the sentences of a stream and between voices."""

from collections import OrderedDict
from math import log10

import numpy as np

from engines.speech.frames import SPEECH_DBFS, frame_of

TARGET_DBFS = -20.0
"""Peaks of speech lie 12 to 18 dB above its mean: at -20 they stay below full scale, and it is loud enough for the
speaker of a phone, which has no more to give."""

MAX_CHANGE_DB = 9.0
PEAK_DBFS = -1.0
KNEE_DB = 3.0
"""So far below the peak bending begins."""

MEMORY_FRAMES = 120
"""Frames of speech that the level is measured over: a sentence's stresses do not move it, a sentence does."""

FRESH_FRAMES = 5
"""What is known at the beginning of a sentence counts as so many frames: the next one may be quite different."""

KNOWN_FRAMES = 25
"""What is remembered of a voice counts as so many."""

FIRST_FRAMES = 8
"""Nothing is changed before so many frames of a voice that is not known were heard."""

UP_DB_PER_SEC = 15.0
DOWN_DB_PER_SEC = 30.0
"""Slow enough not to be heard as a change, fast enough for most of a sentence to be right."""


class LevelMemory:
    """How loud each voice is by itself, so that a stream begins at its gain. Shared by an engine's streams."""

    def __init__(self, voices: int = 1024):
        """
        Args:
            voices: So many are remembered; the one that was used longest ago is forgotten.
        """
        self._most = voices
        self._levels: OrderedDict[str, float] = OrderedDict()

    def power(self, voice: str | None) -> float | None:
        """Mean square of the speech of a voice; None where it was never heard."""
        return self._levels.get(voice) if voice is not None else None

    def remember(self, voice: str | None, power: float) -> None:
        """Keep how loud a voice was."""
        if voice is None:
            return
        self._levels[voice] = power
        self._levels.move_to_end(voice)
        while len(self._levels) > self._most:
            self._levels.popitem(last=False)


class Leveller:
    """Brings a stream of speech slowly to one loudness. One for each stream, across its sentences.

    The gain at each sample depends on the samples before it only: what comes out is the same, however the stream is cut
    into pieces, and as long as what went in; nothing is held back.
    """

    def __init__(
        self,
        sample_rate: int,
        *,
        voice: str | None = None,
        memory: LevelMemory | None = None,
        target_dbfs: float = TARGET_DBFS,
        max_change_db: float = MAX_CHANGE_DB,
        peak_dbfs: float = PEAK_DBFS,
    ):
        """
        Args:
            sample_rate: In Hz.
            voice: Whose level is remembered.
            memory: Where; without it each stream begins anew.
            target_dbfs: Root-mean-square level of the speech in it, pauses left out; a sine of full scale has -3.
            max_change_db: The gain stays between minus and plus so much.
            peak_dbfs: No sample goes above it; what would is bent, not clipped.
        """
        self._frame = frame_of(sample_rate)
        self._voice, self._memory = voice, memory
        self._target, self._most = target_dbfs, max_change_db
        self._peak = 10 ** (peak_dbfs / 20)
        self._knee = 10 ** ((peak_dbfs - KNEE_DB) / 20)
        self._up, self._down = UP_DB_PER_SEC * self._frame / sample_rate, DOWN_DB_PER_SEC * self._frame / sample_rate
        known = memory.power(voice) if memory else None
        self._power, self._frames = (known, KNOWN_FRAMES) if known else (0.0, 0)
        self._gain_db = self._wanted_db() if known else 0.0
        self._edges = [10 ** (self._gain_db / 20)] * 2
        self._at, self._sum = 0, 0.0

    @property
    def gain_db(self) -> float:
        """The gain that it has come to."""
        return self._gain_db

    def new_sentence(self) -> None:
        """The next sample begins a sentence, which may be louder or softer: what it is like counts more."""
        self._frames = min(self._frames, FRESH_FRAMES)

    def push(self, audio: np.ndarray) -> np.ndarray:
        """Take float samples, shape (samples,); give as many, levelled, as float32."""
        if not len(audio):
            return np.zeros(0, dtype=np.float32)
        places = self._at + np.arange(len(audio))
        gains = self._measure(audio)
        levelled = self._bent(audio * np.interp(places, np.arange(len(gains)) * self._frame, gains))
        if self._memory and self._frames >= KNOWN_FRAMES:
            self._memory.remember(self._voice, self._power)
        self._edges = gains[-2:]
        self._at = (self._at + len(audio)) % self._frame
        return levelled.astype(np.float32)

    def _measure(self, audio: np.ndarray) -> list[float]:
        """The gain at the edges of the frames that the audio lies in: in the next frame it goes to the wanted one."""
        gains = list(self._edges)
        starts = np.arange(-self._at, len(audio), self._frame).clip(min=0)
        sums = np.add.reduceat(np.square(audio, dtype=np.float64), starts)
        sums[0] += self._sum
        ends_whole = (self._at + len(audio)) % self._frame == 0
        self._sum = 0.0 if ends_whole else float(sums[-1])
        for total in (sums if ends_whole else sums[:-1]).tolist():
            self._hear(total / self._frame)
            gains.append(10 ** (self._gain_db / 20))
        return gains

    def _hear(self, power: float) -> None:
        """Take the power of the next frame; silence tells nothing and changes nothing."""
        if power <= 10 ** (SPEECH_DBFS / 10):
            return
        self._frames = min(self._frames + 1, MEMORY_FRAMES)
        self._power += (power - self._power) / self._frames
        if self._frames > FIRST_FRAMES:
            step = self._wanted_db() - self._gain_db
            self._gain_db += min(max(step, -self._down), self._up)

    def _wanted_db(self) -> float:
        return min(max(self._target - 10 * log10(self._power), -self._most), self._most)

    def _bent(self, audio: np.ndarray) -> np.ndarray:
        room = self._peak - self._knee
        size = np.abs(audio)
        over = size > self._knee
        if over.any():
            audio[over] = np.sign(audio[over]) * (self._knee + room * np.tanh((size[over] - self._knee) / room))
        return audio
