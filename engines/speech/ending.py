"""The end of speech in its sound: silence after it is cut to a pause, and what a model says after the end."""

from itertools import pairwise

import numpy as np

from engines.speech.frames import frame_of, is_loud, loud_frames

PAUSE_SECS = 0.2
"""Between two sentences, with what the next one has before its first sound."""

LETTERS_PER_SEC = 15.0
LIKELY_END = (0.6, 1.0)
"""Share of the sentence's expected length before which nothing is its end, and from which on all can have been said."""

GAP_SECS = (1.5, 0.6)
"""A silence so long at those shares, with sound after it, is the end; at a comma people pause for 0.2 to 0.5 s."""

FADE_SECS = 0.005
"""Where silence is cut, so that a hiss does not end with a click."""


class TrailingCut:
    """Cuts the silence after the last sound of a stream of audio, and babble after the end. One for each sentence.

    Silence is held back until sound follows it, which costs no time: nobody waits for silence.
    """

    def __init__(
        self,
        sample_rate: int,
        *,
        letters: float | None = None,
        letters_per_sec: float = LETTERS_PER_SEC,
        trim: bool = True,
        babble: bool = True,
    ):
        """
        Args:
            sample_rate: In Hz.
            letters: `engines.text.spoken_length` of the sentence: how much of it can have been said. Without it no
                babble is looked for.
            letters_per_sec: How fast the voice speaks, as far as is known.
            trim: Whether silence at the end is cut, or filled, to the pause that is asked for.
            babble: Whether sound after a silence, where all can have been said, is cut.
        """
        self.over = False
        """Whether babble was found: nothing that follows will be heard, and the model may stop."""
        self._rate = sample_rate
        self._frame = frame_of(sample_rate)
        self._expected = letters * sample_rate / letters_per_sec if letters and babble else None
        self._trim = trim
        self._silence = np.zeros(0, dtype=np.float32)
        self._rest = np.zeros(0, dtype=np.float32)
        self._heard = 0

    def push(self, audio: np.ndarray) -> np.ndarray:
        """Take float samples in -1..1, shape (samples,); give those that are to be heard, perhaps none for now."""
        if self.over:
            return audio[:0]
        audio = np.concatenate([self._rest, audio]) if len(self._rest) else audio
        whole = len(audio) // self._frame * self._frame
        audio, self._rest = audio[:whole], audio[whole:]
        given = [self._run(audio[start:end], loud) for start, end, loud in self._runs(audio)]
        return np.concatenate(given) if given else audio[:0]

    def finish(self, pause_secs: float = PAUSE_SECS) -> np.ndarray:
        """The audio has ended: give what is left, with exactly so much silence after the last sound."""
        rest, self._rest = self._rest, self._rest[:0]
        last = self._run(rest, is_loud(rest)) if len(rest) and not self.over else rest[:0]
        silence, self._silence = self._silence, self._silence[:0]
        return np.concatenate([last, self._pause(silence, pause_secs) if self._trim else silence])

    def _runs(self, audio: np.ndarray) -> list[tuple[int, int, bool]]:
        """Start and end, in samples, of each run of loud or of quiet frames."""
        loud = loud_frames(audio, self._frame)
        if not len(loud):
            return []
        edges = [0, *(np.flatnonzero(np.diff(loud)) + 1).tolist(), len(loud)]
        spans = pairwise(edges)
        return [(start * self._frame, end * self._frame, bool(loud[start])) for start, end in spans]

    def _run(self, audio: np.ndarray, loud: bool) -> np.ndarray:
        if self.over:
            return audio[:0]
        if not loud:
            self._silence = np.concatenate([self._silence, audio])
            return audio[:0]
        if self._is_end():
            self.over = True
            return audio[:0]
        given = np.concatenate([self._silence, audio])
        self._silence = self._silence[:0]
        self._heard += len(given)
        return given

    def _is_end(self) -> bool:
        """Whether the silence that is held back is so long that the sound after it is not of the sentence."""
        if self._expected is None or not self._heard:
            return False
        share = self._heard / self._expected
        gap = float(np.interp(share, LIKELY_END, GAP_SECS)) * self._rate
        return share >= LIKELY_END[0] and len(self._silence) >= gap

    def _pause(self, silence: np.ndarray, secs: float) -> np.ndarray:
        wanted = round(secs * self._rate)
        if len(silence) <= wanted:
            return np.concatenate([silence, np.zeros(wanted - len(silence), dtype=np.float32)])
        kept = silence[:wanted].copy()
        fade = min(wanted, int(FADE_SECS * self._rate))
        kept[wanted - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
        return kept
