"""Fixtures that several rooms share."""

import json
from pathlib import Path

import pytest

AUDIO = Path(__file__).parent / "audio"
SPOKEN: dict[str, str] = json.loads((AUDIO / "texts.json").read_text())
"""What is said in each recording."""


@pytest.fixture(scope="session")
def audio_folder() -> Path:
    """Recordings of real speech; `SPOKEN` has their words."""
    return AUDIO
