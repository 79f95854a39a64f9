"""How much the encoder sees of an utterance.

Whisper pads every utterance to 30 s and pays for the padding. A window of 10 s nearly keeps the word error rate; one of
8 s or less, or one that ends with the speech, falls into loops.
"""

from collections.abc import Sequence

FULL_WINDOW_SECS = 30.0
LONG_WINDOW_SECS = 15.0
MARGIN_SECS = 2.0
"""A window that ends less than this after the speech makes the multilingual models repeat themselves."""


def window_for(audio_secs: float, windows_secs: Sequence[float]) -> float:
    """The shortest window, in seconds, that does not harm an utterance of this length; 30 where none does."""
    return min((secs for secs in windows_secs if audio_secs + MARGIN_SECS <= secs), default=FULL_WINDOW_SECS)


def frames_of(window_secs: float) -> int:
    """Spectrogram frames of a window: 100 a second, and an even number, since the encoder halves them."""
    return 2 * round(50 * window_secs)


def rows_for(window_secs: float, max_batch: int) -> int:
    """Most utterances of a window that go together: half as many of the long ones, which cost most memory and time."""
    return max_batch if window_secs <= LONG_WINDOW_SECS else max(1, max_batch // 2)
