"""Text to speech on CPU: the embedded voice."""

from engines.voices.hibari_voice import HibariEngine

__all__ = ["HibariEngine"]
