"""Silence before the first sound of synthesised speech: the caller would wait for it."""

from math import inf

import numpy as np

from engines.speech.frames import frame_of, loud_frames

KEPT_SECS = 0.03
"""Left before the first sound, so that a soft consonant is not cut."""

GIVE_UP_SECS = 1.0
"""So much silence is held back; what is quiet for longer is meant to be."""


class LeadingTrim:
    """Cuts the silence before the first sound of a stream of audio. One for each sentence."""

    def __init__(self, sample_rate: int, *, kept_secs: float = KEPT_SECS, give_up_secs: float = GIVE_UP_SECS):
        """
        Args:
            sample_rate: In Hz.
            kept_secs: Left before the first sound.
            give_up_secs: After so much silence all that was held back is given, and what follows passes.
        """
        self.cut = 0
        """Samples that were cut so far."""
        self._frame = frame_of(sample_rate)
        self._kept = int(kept_secs * sample_rate)
        self._most = give_up_secs * sample_rate
        self._held = np.zeros(0, dtype=np.float32)
        self._looked = 0
        self._passing = False

    def push(self, audio: np.ndarray) -> np.ndarray:
        """Take float samples in -1..1, shape (samples,); give those that are to be heard, perhaps none for now."""
        if self._passing:
            return audio
        self._held = np.concatenate([self._held, audio]) if len(self._held) else audio
        loud = np.flatnonzero(loud_frames(self._held[self._looked :], self._frame))
        if len(loud):
            self.cut = max(0, self._looked + int(loud[0]) * self._frame - self._kept)
            return self.finish()[self.cut :]
        if len(self._held) >= self._most:
            return self.finish()
        self._looked = len(self._held) // self._frame * self._frame
        return audio[:0]

    def finish(self) -> np.ndarray:
        """The audio has ended: give what is held back. All of it, if there was no sound at all."""
        self._passing = True
        held, self._held = self._held, self._held[:0]
        return held


def trim_leading_silence(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Cut the silence before the first sound of audio that is complete.

    Args:
        audio: Float samples in -1..1, shape (samples,).
        sample_rate: In Hz.

    Returns:
        A view of the same samples; all of them if there is no sound at all.
    """
    trim = LeadingTrim(sample_rate, give_up_secs=inf)
    heard = trim.push(audio)
    return heard if len(heard) else trim.finish()
