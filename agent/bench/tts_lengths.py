"""How many speech tokens a sentence gets where the weights are random and would never end by themselves."""

import zlib

import numpy as np

CHARS_PER_SEC = 14.0
SPREAD = 0.15
"""Speakers are up to so much faster or slower."""

TOKENS_PER_SEC = 25
FEWEST_TOKENS = 8


def fixed_tokens(text: str, *, seed: int = 0) -> int:
    """Speech tokens (25 a second) of a sentence, as real ones have: the same for the same text and seed."""
    random = np.random.default_rng([seed, zlib.crc32(text.encode())])
    secs = len(text) / (CHARS_PER_SEC * random.uniform(1 - SPREAD, 1 + SPREAD))
    return max(FEWEST_TOKENS, round(secs * TOKENS_PER_SEC))
