"""The real engines, loaded once, and recordings of speech as the engines take them."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from engines.voices import HibariEngine
from engines.whisper import WhisperEngine


@pytest.fixture(scope="session")
def recordings(audio_folder: Path) -> dict[str, bytes]:
    """Every recording by its file's name, as PCM16 mono at 16 kHz."""
    return {
        path.name: pcm_at_16_khz(path) for path in sorted(audio_folder.iterdir()) if path.suffix in (".wav", ".flac")
    }


def pcm_at_16_khz(path: Path) -> bytes:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = soxr.resample(samples.mean(axis=1), rate, 16_000)
    return (np.clip(mono, -1, 1) * 32767).astype("<i2").tobytes()


@pytest.fixture(scope="session")
def whisper() -> Iterator[WhisperEngine]:
    engine = WhisperEngine()
    yield engine
    asyncio.run(engine.close())


@pytest.fixture(scope="session")
def hibari() -> Iterator[HibariEngine]:
    engine = HibariEngine()
    yield engine
    asyncio.run(engine.close())


def words(text: str) -> str:
    """Lower-case words without punctuation, titles written out."""
    plain = re.sub(r"[^a-z' ]+", " ", text.lower().replace("-", " "))
    return " ".join("mister" if word == "mr" else word for word in plain.split())
