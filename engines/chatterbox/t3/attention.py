"""Attention over the cache in plain torch: for reading voices and texts, and for steps on any device."""

import torch
import torch.nn.functional as F

from engines.chatterbox.t3.cache import KeyValueCache

Rope = tuple[torch.Tensor, torch.Tensor]


class ReadPrefix:
    """`Attend` for a voice: nothing comes before it. Keys and values are kept in `kept`."""

    def __init__(self, heads: int, rope: Rope | None, positions: int):
        """Read `positions` positions from the first on."""
        self._heads = heads
        self._rope = None if rope is None else (rope[0][:positions], rope[1][:positions])
        self.kept: list[torch.Tensor] = []

    def __call__(self, layer: int, qkv: torch.Tensor) -> torch.Tensor:
        query, key, value = _heads_of(qkv, self._heads, self._rope)
        self.kept.append(torch.cat((key, value)))
        return _joined(F.scaled_dot_product_attention(query, key, value, is_causal=True))


class ReadTexts:
    """`Attend` for padded texts after their voices.

    What padding leaves in the cache lies behind the text: speech overwrites it before it could be seen.
    """

    def __init__(self, cache: KeyValueCache, rope: Rope | None, rows: torch.Tensor, positions: torch.Tensor, room: int):
        """Read at `positions` (texts, length) of `rows` (texts,); all of them lie below `room`, padding aside."""
        self._cache, self._rows, self._room = cache, rows, room
        heads = cache.data.shape[3]
        positions = positions.clamp(max=cache.positions - 1)
        self._rope = None if rope is None else (rope[0][positions][:, None], rope[1][positions][:, None])
        self._at = (rows[:, None, None], torch.arange(heads, device=rows.device)[:, None], positions[:, None])
        self._mask = _mask(positions, room, cache.data.dtype)

    def __call__(self, layer: int, qkv: torch.Tensor) -> torch.Tensor:
        keys, values = self._cache.keys(layer), self._cache.values(layer)
        query, key, value = _heads_of(qkv, keys.shape[1], self._rope)
        keys[self._at] = key
        values[self._at] = value
        keys, values = (one[:, :, : self._room].index_select(0, self._rows) for one in (keys, values))
        return _joined(F.scaled_dot_product_attention(query, keys, values, attn_mask=self._mask))


class ReadSpeech:
    """`Attend` for one token in each of the first rows."""

    def __init__(self, cache: KeyValueCache, rope: Rope | None, positions: torch.Tensor, room: int):
        """The token of row `i` stands at `positions[i]`; rows whose outcome counts lie below `room`."""
        self._cache, self._rows, self._room = cache, len(positions), room
        heads = torch.arange(cache.data.shape[3], device=positions.device)
        self._rope = None if rope is None else (rope[0][positions][:, None, None], rope[1][positions][:, None, None])
        self._at = (torch.arange(self._rows, device=positions.device)[:, None], heads, positions[:, None])
        self._mask = _mask(positions[:, None], room, cache.data.dtype)

    def __call__(self, layer: int, qkv: torch.Tensor) -> torch.Tensor:
        keys, values = self._cache.keys(layer), self._cache.values(layer)
        query, key, value = _heads_of(qkv[:, None], keys.shape[1], self._rope)
        keys[self._at] = key[:, :, 0]
        values[self._at] = value[:, :, 0]
        keys, values = (one[: self._rows, :, : self._room] for one in (keys, values))
        return _joined(F.scaled_dot_product_attention(query, keys, values, attn_mask=self._mask))[:, 0]


def _mask(positions: torch.Tensor, room: int, dtype: torch.dtype) -> torch.Tensor:
    """What is added so that (rows, length) positions see nothing that comes after them: (rows, 1, length, room)."""
    later = torch.arange(room, device=positions.device) > positions[..., None]
    return torch.zeros(later.shape, dtype=dtype, device=later.device).masked_fill_(later, -torch.inf)[:, None]


def _heads_of(qkv: torch.Tensor, heads: int, rope: Rope | None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries, keys and values, (rows, heads, length, head_dim) each, of (rows, length, 3 × width)."""
    query, key, value = qkv.view(*qkv.shape[:2], 3, heads, -1).permute(2, 0, 3, 1, 4)
    if rope is not None:
        query, key = _rotated(query, rope), _rotated(key, rope)
    return query, key, value


def _rotated(x: torch.Tensor, rope: Rope) -> torch.Tensor:
    first, second = x.chunk(2, -1)
    return x * rope[0] + torch.cat((-second, first), -1) * rope[1]


def _joined(heard: torch.Tensor) -> torch.Tensor:
    """From (rows, heads, length, head_dim) to (rows, length, width)."""
    return heard.transpose(1, 2).flatten(2)
