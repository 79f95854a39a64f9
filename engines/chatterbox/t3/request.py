"""What is asked of the token model."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Conditioning:
    """What comes before a text: a voice, and in the base model an exaggeration too, read once for all requests.

    Attributes:
        keys_values: What the model remembers of it, (layers, 2, heads, positions, head_dim), on the device.
    """

    keys_values: torch.Tensor

    @property
    def positions(self) -> int:
        """How many positions of the cache it takes: 376 in turbo with a full prompt, 34 in base."""
        return self.keys_values.shape[3]

    @property
    def nbytes(self) -> int:
        """Memory that it holds on the device."""
        return self.keys_values.nbytes


@dataclass(frozen=True)
class T3Request:
    """One text to be turned into speech tokens. A value that is `None` is the model's own.

    Attributes:
        text_tokens: One-dimensional int64, on the CPU; for the base model with its start and stop tokens.
        conditioning: From `T3Decoder.condition`.
        max_tokens: At most so many steps will be launched whose tokens count; room is kept for them.
        seed: 0 to 2**63 - 1. The same seed gives the same tokens, whatever else is decoded at the time.
        temperature: Above 0.
        top_p: 0 to 1.
        top_k: 0 considers all tokens. The base model has none.
        min_p: 0 to 1. Turbo has none.
        repetition_penalty: Above 0; 1 is none.
        cfg_weight: How far the text pulls, 0 not at all (classifier-free guidance). Turbo has none.
    """

    text_tokens: torch.Tensor
    conditioning: Conditioning
    max_tokens: int = 1000
    seed: int = 0
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    cfg_weight: float | None = None
