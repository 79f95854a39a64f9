"""Which stretches of audio are sound."""

import numpy as np

FRAME_SECS = 0.01
SPEECH_DBFS = -45.0
"""Frames above it are sound. Synthesised speech is about 25 dB louder, its breath and hiss are 10 dB quieter."""


def frame_of(sample_rate: int) -> int:
    """Samples whose power is measured together."""
    return max(1, int(FRAME_SECS * sample_rate))


def loud_frames(audio: np.ndarray, frame: int) -> np.ndarray:
    """Whether each whole frame of the audio, float samples of shape (samples,), is sound: bool, shape (frames,)."""
    frames = audio[: len(audio) // frame * frame].reshape(-1, frame)
    return np.mean(np.square(frames, dtype=np.float64), axis=1) > 10 ** (SPEECH_DBFS / 10)


def is_loud(audio: np.ndarray) -> bool:
    """Whether audio that is shorter than a frame is sound."""
    return bool(len(audio)) and bool(loud_frames(audio, len(audio))[0])
