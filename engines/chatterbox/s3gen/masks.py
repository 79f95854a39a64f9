"""Which position may look at which.

A row's positions are left-aligned, the rest of the row is padding. In full attention every position sees the whole row;
in chunked attention it sees its own chunk and those before, the prompt being the first chunk.
"""

import torch

CHUNK_SHIFT = 16
"""A token travels with its chunk's number in one int32: the id below, the chunk above."""

TOKEN_MASK = (1 << CHUNK_SHIFT) - 1


def inside(lengths: torch.Tensor, size: int) -> torch.Tensor:
    """(batch, size), whether a position belongs to its row."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def hidden_keys(lengths: torch.Tensor, size: int, chunks: torch.Tensor | None) -> torch.Tensor:
    """True where a query must not look.

    Args:
        lengths: Positions of each row, at least one.
        size: Positions with padding.
        chunks: Chunk of each position (batch, size), 0 in the padding; None for full attention.

    Returns:
        (batch, 1, 1 or size, size). No query has all its keys hidden, the padding's queries neither: all see the first
        position, since the prompt's chunk is 0.
    """
    hidden = ~inside(lengths, size)[:, None, None, :]
    if chunks is None:
        return hidden
    return hidden | (chunks[:, None, None, :] > chunks[:, None, :, None])


def additive(hidden: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The same as what is added to the scores; made once, since attention would make it in every layer."""
    return torch.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill_(hidden, float("-inf"))
