"""Random numbers by position: the same seed and the same place give the same number, whatever else is in the batch.

A stream is made in pieces and in batches that change from piece to piece; a generator's numbers would depend on both.
The mixing is that of MurmurHash3's finalizer, on 32 bits held in int64: torch has no unsigned arithmetic.
"""

import math

import torch

WORD = 0xFFFFFFFF
GOLDEN = 0x9E3779B9
"""Spreads neighbouring seeds and positions far apart."""


def uniform(seeds: torch.Tensor, positions: torch.Tensor, *, salt: int = 0) -> torch.Tensor:
    """Numbers in the open interval (0, 1).

    Args:
        seeds: int64, 0 to 2**32 - 1; one for each stream. Broadcast with `positions`.
        positions: int64, 0 to 2**32 - 1; where in the stream.
        salt: Another value gives other numbers at the same places.

    Returns:
        float32 of the broadcast shape, on the device of `positions`.
    """
    mixed = _mix((seeds + _constant(salt)) & WORD)
    mixed = _mix((mixed ^ _mix((positions * GOLDEN + GOLDEN) & WORD)) & WORD)
    # 23 bits: neither 0 nor 1 can come out, also after rounding to float32.
    return ((mixed >> 9).to(torch.float32) + 0.5) * 2.0**-23


def normal(seeds: torch.Tensor, positions: torch.Tensor, *, salt: int = 0) -> torch.Tensor:
    """Normally distributed numbers (Box-Muller); arguments as for `uniform`."""
    radius = torch.sqrt(-2 * torch.log(uniform(seeds, positions, salt=2 * salt + 1)))
    return radius * torch.cos(2 * math.pi * uniform(seeds, positions, salt=2 * salt + 2))


def exponential(seeds: torch.Tensor, positions: torch.Tensor, *, salt: int = 0) -> torch.Tensor:
    """Exponentially distributed numbers of mean 1; arguments as for `uniform`."""
    return -torch.log(uniform(seeds, positions, salt=salt))


def _constant(salt: int) -> int:
    return (salt * 0x85EBCA6B + salt) & WORD


def _mix(word: torch.Tensor) -> torch.Tensor:
    word = word ^ (word >> 16)
    word = (word * 0x85EBCA6B) & WORD
    word = word ^ (word >> 13)
    word = (word * 0xC2B2AE35) & WORD
    return word ^ (word >> 16)
