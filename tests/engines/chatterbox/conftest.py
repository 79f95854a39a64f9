"""Chatterbox with tiny random weights: upstream's own code in both shapes, small enough for a CPU."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
import torch

import engines.chatterbox.upstream  # noqa: F401
from scripts.random_chatterbox import Modules, build, random_conditionals, tiny_architecture, write_checkpoint

RATE = 24_000


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tiny models are slower on several threads, and the tests' machine has few."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_turbo() -> Modules:
    """T3, S3Gen and voice encoder of the turbo variant in float32."""
    with tiny_architecture():
        return build("turbo")


@pytest.fixture(scope="session")
def tiny_base() -> Modules:
    """T3, S3Gen and voice encoder of the base variant in float32."""
    with tiny_architecture():
        return build("base")


@pytest.fixture(scope="session")
def conditionals() -> dict[str, dict[str, Any]]:
    """A voice for each variant, as `Conditionals.save` writes it: keys `t3` and `gen`; the clip was 4 s long."""
    return {variant: random_conditionals(variant, ref_seconds=4.0) for variant in ("turbo", "base")}


@pytest.fixture(scope="session")
def tiny_turbo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that upstream's `ChatterboxTurboTTS.from_local` loads inside `tiny_architecture()`."""
    with tiny_architecture():
        return write_checkpoint(tmp_path_factory.mktemp("turbo"), "turbo", dtype=torch.float32, ref_seconds=4.0)


@pytest.fixture(scope="session")
def tiny_base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that upstream's `ChatterboxTTS.from_local` loads inside `tiny_architecture()`."""
    with tiny_architecture():
        return write_checkpoint(tmp_path_factory.mktemp("base"), "base", dtype=torch.float32, ref_seconds=4.0)


@pytest.fixture(scope="session")
def speech(audio_folder: Path) -> np.ndarray:
    """Real speech: 11 s, float32 mono at 24 kHz."""
    samples, rate = soundfile.read(audio_folder / "jfk.flac", dtype="float32", always_2d=True)
    return soxr.resample(samples.mean(axis=1), rate, RATE).astype(np.float32)


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes samples to a file: `write(samples, name="clip.wav", rate=24000, **options of soundfile)`."""

    def write(samples: np.ndarray, name: str = "clip.wav", rate: int = RATE, **options: Any) -> Path:
        soundfile.write(tmp_path / name, samples, rate, **options)
        return tmp_path / name

    return write
