"""Loads Chatterbox with upstream's own loaders: from a folder, or from the Hugging Face hub."""

import contextlib
import importlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from loguru import logger

import engines.chatterbox.upstream  # noqa: F401
from engines.chatterbox.checkpoint import Variant, find, first_line
from engines.chatterbox.tokens import tokenize
from engines.errors import WeightsError

LOADERS: dict[Variant, tuple[str, str]] = {
    "turbo": ("chatterbox.tts_turbo", "ChatterboxTurboTTS"),
    "base": ("chatterbox.tts", "ChatterboxTTS"),
}


@dataclass(frozen=True)
class Loaded:
    """Upstream's model, on the CPU in float32: who runs it copies from it what he needs to where he needs it.

    Attributes:
        variant: Which model.
        t3: Upstream's `T3`: text tokens to speech tokens.
        s3gen: Upstream's `S3Gen`: speech tokens to sound; also what reads a voice's clip.
        voice_encoder: Upstream's `VoiceEncoder`.
        tokenizer: Upstream's tokenizer of that variant.
        conditionals: Upstream's `Conditionals` of the voice that comes with the model.
        sample_rate: Of the sound, in Hz.
    """

    variant: Variant
    t3: Any
    s3gen: Any
    voice_encoder: Any
    tokenizer: Any
    conditionals: Any
    sample_rate: int

    def tokenize(self, text: str) -> torch.Tensor:
        """Text tokens of one sentence; see `engines.chatterbox.tokens.tokenize`."""
        return tokenize(self.variant, self.tokenizer, text)


def load_upstream(variant: Variant, model: Path | None = None, device: str = "cpu") -> Loaded:
    """Load a model; takes seconds, and minutes where it is downloaded.

    Args:
        variant: `turbo` or `base`.
        model: Folder of its weights; None takes them from the hub, or from the hub's cache on this machine.
        device: Where it will run: is known to exist afterwards. The model itself stays on the CPU.

    Raises:
        WeightsError: A file is missing or is not of this model, the watermark's package is missing, the hub cannot be
            reached, or there is no such device.
    """
    check_device(device)
    folder = find(variant, model)
    loader = _loader(variant)
    try:
        # On the CPU first, whatever the device: upstream would put a voice on the GPU on which it was once saved.
        with _printed_to_debug():
            upstream = getattr(loader, LOADERS[variant][1]).from_local(folder, "cpu")
    except Exception as error:
        raise WeightsError(f"{folder} does not hold Chatterbox {variant}: {first_line(error)}") from error
    return Loaded(
        variant, upstream.t3, upstream.s3gen, upstream.ve, upstream.tokenizer, upstream.conds, int(upstream.sr)
    )


def check_device(device: str) -> None:
    """Know that torch can use a device.

    Raises:
        WeightsError: It cannot, with what there is.
    """
    wanted = torch.device(device)
    if wanted.type != "cuda":
        return
    if not torch.cuda.is_available():
        raise WeightsError(f"device {device} is not there: torch {torch.__version__} finds no CUDA GPU; expected cpu")
    if (wanted.index or 0) >= (count := torch.cuda.device_count()):
        raise WeightsError(f"device {device} is not there; expected cuda:0 to cuda:{count - 1}")


def _loader(variant: Variant) -> Any:
    try:
        import perth

        loader = importlib.import_module(LOADERS[variant][0])
    except ImportError as error:
        raise WeightsError(f"Chatterbox cannot be imported: {error}; run `make install-gpu`") from error
    if perth.PerthImplicitWatermarker is None:
        # perth swallows why, and upstream would fall over it only after everything is loaded.
        raise WeightsError("the watermark (package resemble-perth) cannot be imported; run `make install-gpu`")
    return loader


@contextlib.contextmanager
def _printed_to_debug() -> Iterator[None]:
    """Upstream's loaders print; standard output belongs to commands that print JSON."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        for line in filter(None, printed.getvalue().splitlines()):
            logger.debug(f"chatterbox: {line}")
