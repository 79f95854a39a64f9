"""The memory that a batch works in: it stays in one place, so that CUDA graphs can be replayed on it."""

import torch

from engines.whisper.torch_model import CrossCache, SelfCache, new_cross_cache, new_self_cache
from engines.whisper.torch_weights import WhisperWeights

TOKEN_ROOMS = (64, 128, 256, 448)
"""Lengths of the token cache that a step looks at: most utterances need only the shortest."""

FIRST_ROOM = 128
"""Positions that every row of the largest batch has from the beginning; the memory grows if ever more are needed."""


class Buffers:
    """Keys and values of one batch, and the encoder's output: blocks of which smaller batches use the beginning."""

    def __init__(self, weights: WhisperWeights):
        """Make no memory yet."""
        self._weights = weights
        self._like = weights.encoder.positions
        self._cross = [self._empty(0) for _ in weights.decoder.layers]
        self._tokens = [self._empty(0) for _ in weights.decoder.layers]
        self._audio = self._empty(0)

    def make_room_for_audio(self, batch: int, positions: int) -> bool:
        """Have room for the encoder's output of a batch. Returns whether the memory moved."""
        size = batch * positions * self._weights.width
        if size <= len(self._audio):
            return False
        self._audio = self._empty(size)
        for number in range(len(self._cross)):
            self._cross[number] = self._empty(0)  # Before the larger one is made, the smaller one goes.
            self._cross[number] = self._empty(2 * size)
        return True

    def make_room_for_tokens(self, batch: int, positions: int) -> bool:
        """Have room for that many tokens of a batch; what is there stays. Returns whether the memory moved."""
        size = batch * positions * 2 * self._weights.width
        if size <= len(self._tokens[0]):
            return False
        for number, old in enumerate(self._tokens):
            new = self._empty(size)
            new[: len(old)].copy_(old)
            self._tokens[number] = new
        return True

    def audio(self, batch: int, positions: int) -> torch.Tensor:
        """The encoder's output, (batch, positions, width)."""
        return self._audio[: batch * positions * self._weights.width].view(batch, positions, -1)

    def cross(self, batch: int, positions: int) -> CrossCache:
        """Keys and values of the encoder's output."""
        return new_cross_cache(self._weights, self._cross, batch, positions)

    def tokens(self, batch: int, positions: int) -> SelfCache:
        """Keys and values of the tokens."""
        return new_self_cache(self._weights, self._tokens, batch, positions)

    def _empty(self, size: int) -> torch.Tensor:
        # Zeros, not whatever lay there: a position that no token has reached is masked, but 0 × NaN is NaN.
        return torch.zeros(size, dtype=self._like.dtype, device=self._like.device)


def room_for(positions: int, most: int) -> int:
    """The shortest cache that holds `positions` tokens, at most `most`."""
    return min(next((room for room in TOKEN_ROOMS if room >= positions), most), most)


def buckets_up_to(largest: int) -> tuple[int, ...]:
    """Batch sizes that are run: powers of two, and the largest."""
    powers = [1 << power for power in range(largest.bit_length()) if 1 << power < largest]
    return (*powers, largest)


def bucket_for(rows: int, buckets: tuple[int, ...]) -> int:
    """The smallest batch that holds `rows`."""
    return next(bucket for bucket in buckets if bucket >= rows)
