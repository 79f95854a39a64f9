"""Where a model's files lie: in a folder, or in the Hugging Face hub's cache. Imports no torch."""

from pathlib import Path
from typing import Literal

from engines.errors import WeightsError

Variant = Literal["turbo", "base"]
VARIANTS: tuple[Variant, ...] = ("turbo", "base")

FILES: dict[Variant, tuple[str, ...]] = {
    "turbo": ("ve.safetensors", "t3_turbo_v1.safetensors", "s3gen_meanflow.safetensors", "conds.pt"),
    "base": ("ve.safetensors", "t3_cfg.safetensors", "s3gen.safetensors", "conds.pt", "tokenizer.json"),
}
TOKENIZER_FILES = ("tokenizer.json", "vocab.json")
"""Turbo's tokenizer is one of these, with what belongs to it."""

REPOSITORIES: dict[Variant, str] = {"turbo": "ResembleAI/chatterbox-turbo", "base": "ResembleAI/chatterbox"}
DOWNLOADS: dict[Variant, tuple[str, ...]] = {
    "turbo": ("*.safetensors", "*.json", "*.txt", "*.pt", "*.model"),
    "base": FILES["base"],
}
"""What upstream's `from_pretrained` takes; the hub's folder of base holds other models as well."""


def find(variant: Variant, model: Path | None) -> Path:
    """The folder of a model's files, all of them there; downloads them where `model` is None and they are not cached.

    Raises:
        WeightsError: A file is missing, or the hub cannot be reached.
    """
    if variant not in VARIANTS:
        raise WeightsError(f"Chatterbox has no variant {variant!r}; expected {' or '.join(VARIANTS)}")
    return complete(variant, model if model is not None else _downloaded(variant))


def cached(variant: Variant) -> Path | None:
    """The folder of a model that was downloaded before, without asking the network; None where it was not."""
    try:
        return complete(variant, _snapshot(variant, offline=True))
    except Exception:
        return None


def complete(variant: Variant, folder: Path) -> Path:
    """The folder, once all files are known to be there.

    Raises:
        WeightsError: They are not; names those that are missing.
    """
    if not folder.is_dir():
        raise WeightsError(f"{folder} is not a folder; expected the weights of Chatterbox {variant}")
    missing = [name for name in FILES[variant] if not (folder / name).is_file()]
    if variant == "turbo" and not any((folder / name).is_file() for name in TOKENIZER_FILES):
        missing.append(" or ".join(TOKENIZER_FILES))
    if missing:
        raise WeightsError(f"{folder} lacks {', '.join(missing)}; expected the weights of Chatterbox {variant}")
    return folder


def _downloaded(variant: Variant) -> Path:
    try:
        return _snapshot(variant, offline=False)
    except Exception as error:
        raise WeightsError(
            f"Chatterbox {variant} cannot be had from the hub ({REPOSITORIES[variant]}): {first_line(error)}; "
            "expected a connection, or the folder of its weights as tts.model"
        ) from error


def _snapshot(variant: Variant, *, offline: bool) -> Path:
    from huggingface_hub import snapshot_download

    patterns = list(DOWNLOADS[variant])
    return Path(snapshot_download(REPOSITORIES[variant], allow_patterns=patterns, local_files_only=offline))


def first_line(error: Exception) -> str:
    """The beginning of what a library says."""
    lines = str(error).strip().splitlines()
    return " ".join(line.strip() for line in lines[:2]) if lines else type(error).__name__
