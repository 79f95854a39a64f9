"""The log-mel spectrogram that Whisper hears, made by faster-whisper's own extractor."""

import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor

SAMPLE_RATE = 16_000
FRAMES_PER_SEC = 100
LOUDEST_SECS = 0.3


def samples_of(pcm: bytes) -> np.ndarray:
    """PCM16 little-endian mono as float32 samples in -1..1."""
    return np.frombuffer(pcm, dtype="<i2").astype(np.float32) / 32768.0


def level_dbfs(audio: np.ndarray) -> float:
    """Root-mean-square level of float samples in -1..1, in dB relative to full scale; -inf for none or all zeros."""
    if not len(audio):
        return -np.inf
    mean_square = float(np.mean(np.square(audio)))
    return 10 * np.log10(mean_square) if mean_square else -np.inf


def loudest_dbfs(audio: np.ndarray) -> float:
    """Level of the loudest stretch of `LOUDEST_SECS`: one quiet word in a long silence counts."""
    width = int(LOUDEST_SECS * SAMPLE_RATE)
    if len(audio) <= width:
        return level_dbfs(audio)
    total = np.concatenate(([0.0], np.cumsum(np.square(audio), dtype=np.float64)))
    mean_square = float(np.max(total[width:] - total[:-width])) / width
    return 10 * np.log10(mean_square) if mean_square > 0 else -np.inf


class Spectrograms:
    """Makes spectrograms of one size for one model."""

    def __init__(self, n_mels: int):
        """
        Args:
            n_mels: Mel bins: 80, or 128 for large-v3.
        """
        self.n_mels = n_mels
        self._extract = FeatureExtractor(feature_size=n_mels)

    def of(self, audio: np.ndarray) -> np.ndarray:
        """The spectrogram of float32 samples at 16 kHz: float32 of shape (n_mels, frames), 100 frames a second."""
        if len(audio) < self._extract.n_fft:
            # The first frame mirrors half of its window, and needs as many samples.
            audio = np.pad(audio, (0, self._extract.n_fft - len(audio)))
        return self._extract(audio).astype(np.float32, copy=False)

    def batch(self, spectrograms: list[np.ndarray], frames: int) -> np.ndarray:
        """Put spectrograms together: shape (batch, n_mels, frames), padded with zeros or cut."""
        together = np.zeros((len(spectrograms), self.n_mels, frames), dtype=np.float32)
        for row, spectrogram in zip(together, spectrograms, strict=True):
            length = min(frames, spectrogram.shape[1])
            row[:, :length] = spectrogram[:, :length]
        return together
