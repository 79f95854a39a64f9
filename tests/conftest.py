"""Fixtures that several rooms share."""

from pathlib import Path

import pytest

AUDIO = Path(__file__).parent / "audio"
SPOKEN = {
    "jfk.flac": "and so my fellow americans ask not what your country can do for you "
    "ask what you can do for your country",
    "librivox-0870.wav": "and mister john dashwood had then leisure to consider how much "
    "there might be prudently in his power to do for them",
    "librivox-0880.wav": "he was not an ill disposed young man",
}


@pytest.fixture(scope="session")
def audio_folder() -> Path:
    """Recordings of real speech; `SPOKEN` has their words."""
    return AUDIO
