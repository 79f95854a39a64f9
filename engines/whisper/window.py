"""Whisper's encoder with a window shorter than its stock 30 s.

Whisper pads every utterance to 30 s and pays for the padding. A window of 10 s keeps the word error rate; one of 8 s or
less, or one that ends with the speech, falls into loops.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel

FULL_WINDOW_SECS = 30.0
FRAMES_PER_SEC = 100
MARGIN_SECS = 0.5


def window_for(audio_secs: float, short_window_secs: float) -> float:
    """The shortest window, in seconds, that does not harm an utterance of this length."""
    return short_window_secs if audio_secs + MARGIN_SECS <= short_window_secs else FULL_WINDOW_SECS


class WindowedWhisperModel(WhisperModel):
    """faster-whisper's model, whose encoder sees only the first `window` seconds of its padded features."""

    window_secs = FULL_WINDOW_SECS

    @contextmanager
    def window(self, secs: float) -> Iterator[None]:
        """Encode with a window of `secs` seconds for the length of the block."""
        self.window_secs = secs
        try:
            yield
        finally:
            self.window_secs = FULL_WINDOW_SECS

    def encode(self, features: np.ndarray) -> ctranslate2.StorageView:
        """Encode log-mel features of shape (mels, frames) or (batch, mels, frames), 100 frames a second."""
        return super().encode(features[..., : int(self.window_secs * FRAMES_PER_SEC)])
