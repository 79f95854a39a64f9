"""The real engines and recordings, as the engines' own tests have them, and an engine that does as a test says."""

from tests.engines.conftest import hibari, recordings, whisper

__all__ = ["hibari", "recordings", "whisper"]
