"""Attention of a decoding step as one kernel: every row is read as far as it goes, rows that pause are not read.

One program is one head of one row, or a part of its keys where there are few rows. It puts the new key and value into
the cache itself; nobody else reads that place in this step.
"""

import torch
import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]

from engines.chatterbox.t3.cache import KeyValueCache

BLOCK = 64
"""Keys that a program looks at together."""

PROGRAMS = 1024
"""Enough to keep a large GPU busy."""

MOST_SPLITS = 16
LOG2_E = 1.4426950408889634


class ReadSpeech:
    """`Attend` for one token in each of the first rows."""

    def __init__(
        self,
        cache: KeyValueCache,
        rope: tuple[torch.Tensor, torch.Tensor] | None,
        positions: torch.Tensor,
        active: torch.Tensor,
    ):
        """The token of row `i` stands at `positions[i]`; what comes of rows that are not `active` is zero."""
        self._cache = cache
        _, _, _, self._heads, _, self._width = cache.data.shape
        self._rows = len(positions)
        self._positions = torch.where(active, positions, -1).to(torch.int32)
        self._rotates = rope is not None
        self._cos, self._sin = rope or (cache.data, cache.data)
        self._splits = splits_for(self._rows * self._heads)
        parts = (self._rows, self._heads, self._splits)
        # Of every part: what was heard, the greatest score and the sum of what the scores weigh.
        self._heard = torch.empty(*parts, self._width, dtype=torch.float32, device=positions.device)
        self._score, self._weight = torch.empty(2, *parts, dtype=torch.float32, device=positions.device)

    def __call__(self, layer: int, qkv: torch.Tensor) -> torch.Tensor:
        keys, values = self._cache.keys(layer), self._cache.values(layer)
        out = torch.empty(self._rows, self._heads * self._width, dtype=qkv.dtype, device=qkv.device)
        _attend[(self._rows, self._heads, self._splits)](  # pyright: ignore[reportIndexIssue]
            *(qkv.contiguous(), keys, values, self._cos, self._sin, self._positions),
            *(out, self._heard, self._score, self._weight),
            *(keys.stride(0), keys.stride(1), LOG2_E * self._width**-0.5),
            HEADS=self._heads,
            WIDTH=self._width,
            SPLITS=self._splits,
            BLOCK=BLOCK,
            ROTATES=self._rotates,
            num_warps=4,
        )
        if self._splits > 1:
            _combine[(self._rows, self._heads)](  # pyright: ignore[reportIndexIssue]
                *(self._positions, self._heard, self._score, self._weight, out),
                HEADS=self._heads,
                WIDTH=self._width,
                SPLITS=self._splits,
                num_warps=1,
            )
        return out


def splits_for(programs: int) -> int:
    """Into how many parts the keys of each row are divided: a power of two."""
    wanted = -(-PROGRAMS // programs)
    return min(1 << (wanted - 1).bit_length(), MOST_SPLITS)


@triton.jit
def _attend(
    qkv,
    keys,
    values,
    cos,
    sin,
    positions,
    out,
    heard_parts,
    score_parts,
    weight_parts,
    row_stride,
    head_stride,
    scale,
    HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    SPLITS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROTATES: tl.constexpr,
):
    row, head, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    position = tl.load(positions + row)
    active = position >= 0
    length = tl.maximum(position, 0)
    column = tl.arange(0, WIDTH)

    # The new token: its query, key and value.
    given = qkv + row * (3 * HEADS * WIDTH) + head * WIDTH
    query = tl.load(given + column).to(tl.float32)
    key = tl.load(given + HEADS * WIDTH + column).to(tl.float32)
    value = tl.load(given + 2 * HEADS * WIDTH + column)
    if ROTATES:
        partner = (column + WIDTH // 2) % WIDTH
        sign = tl.where(column < WIDTH // 2, -1.0, 1.0)
        along = tl.load(cos + length * WIDTH + column).to(tl.float32)
        across = tl.load(sin + length * WIDTH + column).to(tl.float32) * sign
        query = query * along + tl.load(given + partner).to(tl.float32) * across
        key = key * along + tl.load(given + HEADS * WIDTH + partner).to(tl.float32) * across
    key = key.to(keys.dtype.element_ty)
    query = query * scale

    cached = row.to(tl.int64) * row_stride + head * head_stride
    mine = active & (split == 0)
    new = cached + length.to(tl.int64) * WIDTH + column
    tl.store(keys + new, key, mask=(column < WIDTH) & mine)
    tl.store(values + new, value, mask=(column < WIDTH) & mine)

    # Every lane has its own running softmax over the keys that it sees; they are brought together at the end.
    lane = tl.arange(0, BLOCK)
    takes_new = (lane == 0) & (split == 0)
    own = tl.sum(query * key.to(tl.float32), 0)
    score = tl.where(takes_new, own, -float("inf"))
    weight = tl.where(takes_new, 1.0, 0.0)
    heard = weight[:, None] * value.to(tl.float32)[None, :]
    share = tl.cdiv(tl.cdiv(length, SPLITS), BLOCK) * BLOCK
    begin = split * share
    end = tl.minimum(begin + share, length)
    for first in range(begin, end, BLOCK):
        place = first + lane
        there = place < end
        at = cached + place.to(tl.int64)[:, None] * WIDTH + column[None, :]
        some_keys = tl.load(keys + at, mask=there[:, None], other=0.0).to(tl.float32)
        some_values = tl.load(values + at, mask=there[:, None], other=0.0).to(tl.float32)
        found = tl.where(there, tl.sum(some_keys * query[None, :], 1), -float("inf"))
        greatest = tl.maximum(score, found)
        # A lane that has seen nothing yet stays at minus infinity; the difference of two of them is no number.
        known = tl.where(greatest == -float("inf"), 0.0, greatest)
        keeps, takes = tl.exp2(score - known), tl.exp2(found - known)
        weight = weight * keeps + takes
        heard = heard * keeps[:, None] + takes[:, None] * some_values
        score = greatest

    greatest = tl.max(score, 0)
    known = tl.where(greatest == -float("inf"), 0.0, greatest)
    keeps = tl.exp2(score - known)
    total = tl.sum(weight * keeps, 0)
    together = tl.sum(heard * keeps[:, None], 0)
    if SPLITS == 1:
        together = tl.where(active, together / total, 0.0)
        tl.store(out + row * (HEADS * WIDTH) + head * WIDTH + column, together.to(out.dtype.element_ty))
    else:
        part = (row * HEADS + head) * SPLITS + split
        tl.store(heard_parts + part * WIDTH + column, together)
        tl.store(score_parts + part, greatest)
        tl.store(weight_parts + part, total)


@triton.jit
def _combine(
    positions,
    heard_parts,
    score_parts,
    weight_parts,
    out,
    HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    SPLITS: tl.constexpr,
):
    row, head = tl.program_id(0), tl.program_id(1)
    active = tl.load(positions + row) >= 0
    column = tl.arange(0, WIDTH)
    part = (row * HEADS + head) * SPLITS + tl.arange(0, SPLITS)
    score = tl.load(score_parts + part)
    keeps = tl.exp2(score - tl.max(score, 0))  # The first part has the new token: its score is a number.
    total = tl.sum(keeps * tl.load(weight_parts + part), 0)
    heard = tl.load(heard_parts + part[:, None] * WIDTH + column[None, :])
    together = tl.where(active, tl.sum(heard * keeps[:, None], 0) / total, 0.0)
    tl.store(out + row * (HEADS * WIDTH) + head * WIDTH + column, together.to(out.dtype.element_ty))
