"""What a request may ask of the models: each variant's own values, and what is in range."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from engines.errors import EngineRefused
from engines.protocol import SpeechOptions


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn; see `engines.protocol.SpeechOptions`."""

    temperature: float = 0.8
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.2
    cfg_weight: float = 0.0
    exaggeration: float = 0.5


OWN: Mapping[str, Sampling] = {
    "turbo": Sampling(top_p=0.95, top_k=1000),
    "base": Sampling(min_p=0.05, cfg_weight=0.5),
}
"""Upstream's defaults by variant."""

RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0.05, 2.0),
    "top_p": (0.01, 1.0),
    "top_k": (0, 6561),
    "min_p": (0.0, 1.0),
    "repetition_penalty": (1.0, 3.0),
    "cfg_weight": (0.0, 1.0),
    "exaggeration": (0.0, 2.0),
}


def resolve(options: SpeechOptions, defaults: Sampling) -> Sampling:
    """What a stream's sentences are drawn with.

    Raises:
        EngineRefused: A value is out of range.
    """
    chosen = {}
    for field in fields(Sampling):
        value = getattr(options, field.name)
        low, high = RANGES[field.name]
        if value is not None and not low <= value <= high:
            raise EngineRefused(f"{field.name} {value!r} is out of range; expected {low:g} to {high:g}")
        chosen[field.name] = getattr(defaults, field.name) if value is None else value
    return Sampling(**chosen)
