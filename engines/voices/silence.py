"""Silence at the edges of synthesised speech."""

import numpy as np

FRAME_SECS = 0.01
SPEECH_DBFS = -45.0
KEPT_SECS = 0.03
"""Left before the first sound, so that a soft consonant is not cut."""


def trim_leading_silence(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Cut the silence before the first sound: the caller would wait for it.

    Args:
        audio: Float samples in -1..1, shape (samples,).
        sample_rate: In Hz.

    Returns:
        A view of the same samples; all of them if there is no sound at all.
    """
    frame = int(FRAME_SECS * sample_rate)
    frames = audio[: len(audio) // frame * frame].reshape(-1, frame)
    loud = np.flatnonzero(np.mean(np.square(frames), axis=1) > 10 ** (SPEECH_DBFS / 10))
    if not len(loud):
        return audio
    return audio[max(0, loud[0] * frame - int(KEPT_SECS * sample_rate)) :]
