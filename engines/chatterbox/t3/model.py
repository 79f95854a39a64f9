"""What the two variants of T3 have in common."""

from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F

import engines.chatterbox.upstream  # noqa: F401


class Attend(Protocol):
    """Attention of one pass: it knows which rows and positions are passed and keeps their keys and values."""

    def __call__(self, layer: int, qkv: torch.Tensor) -> torch.Tensor:
        """From (…, 3 × width), queries, keys and values side by side, to (…, width)."""
        ...


class T3Model(Protocol):
    """Weights and layers of one variant.

    Attributes:
        variant: Its name.
        rows: Rows of the batch for each text: two where it is also read without its words.
        layers: Number of layers.
        heads: Number of heads of each.
        head_dim: Width of each head.
        vocabulary: Number of speech tokens, special ones included.
        start: Speech token that comes before the first.
        stop: Speech token after the last.
        prefix: Positions of a usual voice.
        extra: Positions that are read with a text, beside its own tokens.
        most_text: Longest text in tokens.
        text_vocabulary: Number of text tokens.
        text_ends: Text tokens that every text must have.
        dtype: Of the weights.
        rope: Cosines and sines by position, (positions, head_dim) each, or nothing where positions are embedded.
    """

    variant: Literal["turbo", "base"]
    rows: int
    layers: int
    heads: int
    head_dim: int
    vocabulary: int
    start: int
    stop: int
    prefix: int
    extra: int
    most_text: int
    text_vocabulary: int
    text_ends: tuple[int, ...]
    dtype: torch.dtype
    rope: tuple[torch.Tensor, torch.Tensor] | None

    def embed_prefix(self, embeddings: torch.Tensor) -> torch.Tensor:
        """What goes into the layers for a conditioning (1, positions, width)."""
        ...

    def embed_text(self, tokens: torch.Tensor, lengths: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
        """What goes into the layers for texts (texts, positions), padded, whose first token stands at `starts`.

        Returns:
            (texts × rows, positions, width): a text's rows lie together.
        """
        ...

    def embed_speech(self, tokens: torch.Tensor, counts: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """What goes into the layers for speech tokens (texts,), each the `counts`-th of its text.

        Returns:
            (texts × rows, width).
        """
        ...

    def forward(self, x: torch.Tensor, attend: Attend) -> torch.Tensor:
        """All layers, from (…, width) to (…, width)."""
        ...

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the next speech token, float32, from (rows, width)."""
        ...


class Head:
    """Scores of the speech tokens.

    The matrix has rows to spare: with a whole multiple of 64 of them the fastest kernels can be used.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None):
        """Take a matrix (vocabulary, width)."""
        self._vocabulary = len(weight)
        self._weight = F.pad(weight, (0, 0, 0, -len(weight) % 64)).T
        self._bias = bias if bias is None else bias.float()

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """From (rows, width) to (rows, vocabulary) in float32: rounded to bfloat16, many logits would be equal."""
        if x.dtype != torch.float32 and x.device.type == "cuda":
            logits = torch.mm(x, self._weight, out_dtype=torch.float32)
        else:
            logits = (x @ self._weight).float()
        logits = logits[:, : self._vocabulary]
        return logits if self._bias is None else logits + self._bias


def load_model(t3: Any, device: torch.device, dtype: torch.dtype, positions: int) -> T3Model:
    """The layers of upstream's `T3`, with weights of their own.

    Args:
        t3: Left as it is.
        device: Where to.
        dtype: Of the weights.
        positions: Longest sequence.
    """
    from engines.chatterbox.t3.base import BaseModel
    from engines.chatterbox.t3.turbo import TurboModel

    return (TurboModel if t3.is_gpt else BaseModel)(t3, device, dtype, positions)
