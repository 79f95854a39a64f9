"""Speech to text: faster-whisper."""

from engines.whisper.engine import WhisperEngine

__all__ = ["WhisperEngine"]
