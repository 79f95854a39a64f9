"""The random checkpoints that everything else is tested with are ones that upstream loads and speaks with."""

from pathlib import Path
from typing import Any

import pytest
import torch
from chatterbox.tts import ChatterboxTTS
from chatterbox.tts_turbo import ChatterboxTurboTTS

from scripts.random_chatterbox import build, tiny_architecture


def spoken(upstream: Any, monkeypatch: pytest.MonkeyPatch, method: str, limit: str) -> torch.Tensor:
    """Twelve tokens of speech: random weights never end a sentence, and upstream would go on to a thousand."""
    inference = getattr(upstream.t3, method)
    monkeypatch.setattr(upstream.t3, method, lambda **options: inference(**{**options, limit: 12}))
    torch.manual_seed(0)
    return upstream.generate("Hello there.")


def test_upstream_speaks_with_a_tiny_turbo(tiny_turbo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tiny_architecture():
        upstream = ChatterboxTurboTTS.from_local(tiny_turbo_folder, "cpu")
    audio = spoken(upstream, monkeypatch, "inference_turbo", "max_gen_len")
    assert 0.2 < audio.shape[-1] / 24_000 < 1
    assert audio.isfinite().all() and audio.std() > 1e-4 and audio.abs().max() < 1


def test_upstream_speaks_with_a_tiny_base(tiny_base_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tiny_architecture():
        upstream = ChatterboxTTS.from_local(tiny_base_folder, "cpu")
    audio = spoken(upstream, monkeypatch, "inference", "max_new_tokens")
    assert 0.2 < audio.shape[-1] / 24_000 < 1
    assert audio.isfinite().all() and audio.std() > 1e-4 and audio.abs().max() < 1


def test_a_built_model_is_the_loaded_one(tiny_turbo: Any, tiny_turbo_folder: Path) -> None:
    with tiny_architecture():
        upstream = ChatterboxTurboTTS.from_local(tiny_turbo_folder, "cpu")
    for built, loaded in zip(tiny_turbo, (upstream.t3, upstream.s3gen, upstream.ve), strict=True):
        weights = loaded.state_dict()
        assert built.state_dict().keys() == weights.keys()
        assert all(torch.equal(value, weights[name]) for name, value in built.state_dict().items())


def test_the_architecture_is_put_back() -> None:
    from chatterbox.models.t3.llama_configs import LLAMA_CONFIGS

    with tiny_architecture():
        assert LLAMA_CONFIGS["Llama_520M"]["hidden_size"] == 64
    assert LLAMA_CONFIGS["Llama_520M"]["hidden_size"] == 1024
    with pytest.raises(ValueError, match="variant 'nano' is not one of turbo, base"):
        build("nano")
