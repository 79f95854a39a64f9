"""Which weights a model's name means."""

import os
from pathlib import Path

from engines.errors import WeightsError
from engines.weights import WHISPER_BASE_PARTS, WHISPER_TINY_EN, is_installed, joined_whisper_base, verified


def model_path(model: str) -> str:
    """The folder of a packaged or local model, or the name as it is for faster-whisper to find and download.

    Raises:
        WeightsError: There is no such folder, or the packaged file is missing or damaged.
    """
    if model == "tiny.en":
        return str(verified(WHISPER_TINY_EN).parent)
    if model == "base" and is_installed(WHISPER_BASE_PARTS[0]):
        return str(joined_whisper_base())
    looks_local = os.sep in model and model.startswith((os.sep, ".", "~"))
    path = Path(model).expanduser()
    if looks_local and not path.is_dir():
        raise WeightsError(f"Whisper model {model!r}: no such folder; expected one with model.bin and tokenizer.json")
    return str(path) if path.is_dir() else model
