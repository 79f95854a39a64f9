"""What a request is sampled with, and which requests can be decoded at all."""

from typing import Any

import torch

from engines.chatterbox.t3.model import T3Model
from engines.chatterbox.t3.request import T3Request
from engines.errors import EngineRefused

DEFAULTS: dict[str, dict[str, Any]] = {
    "turbo": {"temperature": 0.8, "top_p": 0.95, "top_k": 1000, "min_p": 0.0, "repetition_penalty": 1.2},
    "base": {"temperature": 0.8, "top_p": 1.0, "top_k": 0, "min_p": 0.05, "repetition_penalty": 1.2, "cfg_weight": 0.5},
}
"""What upstream's `generate` samples with."""

RANGES: dict[str, tuple[float, float, bool]] = {
    "temperature": (0, float("inf"), True),
    "top_p": (0, 1, False),
    "top_k": (0, float("inf"), False),
    "min_p": (0, 1, False),
    "repetition_penalty": (0, float("inf"), True),
    "cfg_weight": (0, float("inf"), False),
}
"""Least, most, and whether the least itself is too little."""


def setting(request: T3Request, variant: str, name: str) -> Any:
    """The request's own value, or the model's; 0 where the model has none."""
    value = getattr(request, name)
    return DEFAULTS[variant].get(name, 0.0) if value is None else value


def needs_sort(request: T3Request, variant: str) -> bool:
    """Whether sampling has to sort the vocabulary for this request."""
    return setting(request, variant, "top_p") < 1 or (variant == "turbo" and setting(request, variant, "top_k") > 0)


def check_request(request: T3Request, model: T3Model, max_positions: int) -> None:
    """Raise `EngineRefused` unless this model can decode the request within `max_positions`."""
    for name in RANGES:
        _check_range(name, setting(request, model.variant, name))
    if request.seed < 0 or request.max_tokens < 1:
        raise EngineRefused(
            f"seed {request.seed} and max_tokens {request.max_tokens}: expected one from 0 and one from 1 on"
        )
    _check_text(request.text_tokens, model)
    before, text = request.conditioning.positions, len(request.text_tokens) + model.extra
    needed = before + text + request.max_tokens
    if needed > max_positions:
        raise EngineRefused(
            f"a text of {text} positions after a voice of {before} and before up to {request.max_tokens} speech tokens"
            f" needs {needed} positions; a slot has {max_positions}"
        )


def _check_range(name: str, value: float) -> None:
    least, most, open_below = RANGES[name]
    if not least <= value <= most or (open_below and value == least) or value == float("inf"):
        expected = f"{'more than' if open_below else 'at least'} {least:g}"
        raise EngineRefused(f"{name} {value}: expected {expected}" + (f", at most {most:g}" if most == 1 else ""))


def _check_text(tokens: torch.Tensor, model: T3Model) -> None:
    if tokens.ndim != 1 or tokens.dtype != torch.int64 or tokens.device.type != "cpu":
        raise EngineRefused(
            f"text tokens of shape {tuple(tokens.shape)}, {tokens.dtype} on {tokens.device}: expected one dimension of"
            " int64 on the CPU"
        )
    if not 1 <= len(tokens) <= model.most_text:
        raise EngineRefused(f"a text of {len(tokens)} tokens: expected 1 to {model.most_text}")
    least, most = int(tokens.min()), int(tokens.max())
    if least < 0 or most >= model.text_vocabulary:
        raise EngineRefused(f"text tokens from {least} to {most}: expected 0 to {model.text_vocabulary - 1}")
    missing = [token for token in model.text_ends if not (tokens == token).any()]
    if missing:
        raise EngineRefused(f"a text without its token {missing[0]}: expected start and stop {model.text_ends}")
