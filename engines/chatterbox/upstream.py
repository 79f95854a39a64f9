"""Makes upstream's `chatterbox` importable beside this project's packages. Import it before anything of upstream's.

- torchaudio's PyPI build is for CUDA; beside torch's CPU build its C++ extension cannot be loaded. Chatterbox uses only
  parts of torchaudio that are plain Python, so the extension is left out there.
- perth asks `pkg_resources` for the path of its weights; newer setuptools no longer have it. Without it perth's
  watermarker would be None.
- s3tokenizer imports onnx for its converter, which nothing here calls.
"""

import importlib.machinery
import importlib.resources
import importlib.util
import sys
import types
from collections.abc import Callable
from typing import Any

import torch


def _make_importable() -> None:
    if torch.version.cuda is None and "torchaudio" not in sys.modules:
        _module(
            "torchaudio._extension",
            _IS_TORCHAUDIO_EXT_AVAILABLE=False,
            _IS_ALIGN_AVAILABLE=False,
            fail_if_no_align=_without_extension,
            _check_cuda_version=lambda: None,
        )
    if _is_missing("pkg_resources"):
        # Whoever finds the module takes it for the whole: pytest asks it for the second.
        _module("pkg_resources", resource_filename=_resource_filename, fixup_namespace_packages=lambda *_: None)
    if _is_missing("onnx"):
        _module("onnx")


def _is_missing(name: str) -> bool:
    return name not in sys.modules and importlib.util.find_spec(name) is None


def _module(name: str, **attributes: Any) -> None:
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, loader=None)
    module.__dict__.update(attributes)
    sys.modules[name] = module


def _without_extension(function: Callable[..., Any]) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError(f"{function.__name__} needs torchaudio's C++ extension, which torch's CPU build cannot load")

    return refuse


def _resource_filename(package: str, name: str) -> str:
    return str(importlib.resources.files(package).joinpath(name))


_make_importable()
