"""Stands in for what Chatterbox imports and synthesis never calls, for machines that have torch and little else.

Import it, and call `stub_optional`, before `chatterbox`. What is installed is left alone. Nothing stubbed may serve
callers: the watermark of a stubbed perth is none.
"""

import importlib.machinery
import importlib.util
import sys
import types
from typing import Any

import numpy as np

import engines.chatterbox.upstream  # noqa: F401 - before transformers, which imports torchaudio.


def stub_optional() -> list[str]:
    """Put a stand-in for each missing optional module into `sys.modules`.

    Returns:
        The names that were missing: of librosa, perth, pyloudnorm, omegaconf and conformer.
    """
    stand_ins = {
        "librosa": _librosa,
        "perth": _perth,
        "pyloudnorm": lambda: _module("pyloudnorm"),
        "omegaconf": lambda: _module("omegaconf", DictConfig=dict),
        "conformer": _conformer,
    }
    missing = [name for name in stand_ins if name not in sys.modules and importlib.util.find_spec(name) is None]
    for name in missing:
        stand_ins[name]()
    return missing


def _module(name: str, **attributes: Any) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, loader=None)
    module.__dict__.update(attributes)
    sys.modules[name] = module
    return module


def _librosa() -> None:
    # transformers looks for librosa and imports what comes with it: it must look before the stub is there.
    from transformers import AutoTokenizer, GPT2Model, LlamaModel, LlamaPreTrainedModel  # noqa: F401

    librosa = _module("librosa", filters=_module("librosa.filters", mel=_mel_filters))
    librosa.__path__ = []


def _perth() -> None:
    class PerthImplicitWatermarker:
        def apply_watermark(self, wav: np.ndarray, sample_rate: int | None = None, **_: Any) -> np.ndarray:
            return wav

    _module("perth", PerthImplicitWatermarker=PerthImplicitWatermarker)


def _conformer() -> None:
    import torch

    _module("conformer", ConformerBlock=type("ConformerBlock", (torch.nn.Module,), {}))


def _mel_filters(
    *, sr: float, n_fft: int, n_mels: int = 128, fmin: float = 0.0, fmax: float | None = None, **_: Any
) -> np.ndarray:
    """Triangles on Slaney's mel scale, of equal area: what librosa gives by default, (n_mels, n_fft // 2 + 1)."""
    edges = _hertz(np.linspace(_mel(fmin), _mel(fmax or sr / 2), n_mels + 2))
    ramps = edges[:, None] - np.linspace(0, sr / 2, n_fft // 2 + 1)[None]
    widths = np.diff(edges)
    triangles = np.maximum(0, np.minimum(-ramps[:-2] / widths[:-1, None], ramps[2:] / widths[1:, None]))
    return (triangles * (2.0 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)


def _mel(hertz: float) -> float:
    """Linear below 1 kHz, logarithmic above."""
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * np.log(hertz / 1000) / np.log(6.4)


def _hertz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(np.log(6.4) / 27 * (mel - 15)))
