"""How much the encoder sees of an utterance.

Whisper pads every utterance to 30 s and pays for the padding. A window of 10 s keeps the word error rate; one of 8 s or
less, or one that ends with the speech, falls into loops.
"""

from collections.abc import Sequence

FULL_WINDOW_SECS = 30.0
MARGIN_SECS = 0.5


def window_for(audio_secs: float, windows_secs: Sequence[float]) -> float:
    """The shortest window, in seconds, that does not harm an utterance of this length; 30 where none does."""
    return min((secs for secs in windows_secs if audio_secs + MARGIN_SECS <= secs), default=FULL_WINDOW_SECS)
