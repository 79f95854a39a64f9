"""The next speech token, chosen as upstream chooses it: one sort at most, nothing that waits for the device."""

from dataclasses import dataclass
from typing import Literal

import torch

from engines.chatterbox.noise import exponential

SALT = 3
"""Keeps these random numbers apart from those of the waveform, whose seed may be the same."""

NEVER = -1.0
"""In place of 1 - top_p: no sum of probabilities is as small."""


@dataclass(frozen=True)
class Rules:
    """How each row is sampled: columns of shape (rows, 1).

    Attributes:
        temperature: Above 0.
        rest: 1 - top_p, as float32 of the exact difference; `NEVER` where there is no top_p.
        min_p: 0 to 1.
        penalty: Of tokens that came before, above 0.
        top_k: int64, 1 to the size of the vocabulary.
    """

    temperature: torch.Tensor
    rest: torch.Tensor
    min_p: torch.Tensor
    penalty: torch.Tensor
    top_k: torch.Tensor


def guided(logits: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Classifier-free guidance.

    Args:
        logits: (2 × texts, vocabulary), each text's row with its words first.
        weight: (texts, 1).

    Returns:
        (texts, vocabulary).
    """
    worded, wordless = logits.view(-1, 2, logits.shape[1]).unbind(1)
    return worded + weight * (worded - wordless)


def warped(
    logits: torch.Tensor, seen: torch.Tensor, rules: Rules, *, variant: Literal["turbo", "base"], sort: bool
) -> torch.Tensor:
    """Scores as upstream's chain of processors leaves them.

    Args:
        logits: float32 (rows, vocabulary).
        seen: Tokens that came before, bool, of the same shape.
        rules: Of each row.
        variant: Each has its own order.
        sort: Whether any row needs top_p or top_k; without them the result is the same and costs less.
    """
    if variant == "base":
        scores = _penalized(logits, seen, rules) / rules.temperature
        chances = scores.softmax(-1)
        scores = scores.masked_fill(chances < rules.min_p * chances.amax(-1, keepdim=True), -torch.inf)
        return _nucleus(scores, *scores.sort(-1), rules) if sort else scores
    scores = logits / rules.temperature
    if sort:
        ascending, order = scores.sort(-1)
        least = ascending.gather(1, scores.shape[1] - rules.top_k)
        scores = scores.masked_fill(scores < least, -torch.inf)
        scores = _nucleus(scores, ascending.masked_fill(ascending < least, -torch.inf), order, rules)
    return _penalized(scores, seen, rules)


def choose(scores: torch.Tensor, noise: torch.Tensor, stop: int) -> torch.Tensor:
    """Draw one token of each row (rows,), int64; the stop token where nothing can be drawn.

    Args:
        scores: (rows, vocabulary).
        noise: Exponentially distributed, of the same shape: dividing by it is what `torch.multinomial` does.
        stop: The stop token.
    """
    drawn = (scores.softmax(-1) / noise).argmax(-1)
    return torch.where(scores.amax(-1).isfinite(), drawn, stop)


def counted_noise(seeds: torch.Tensor, counts: torch.Tensor, vocabulary: int) -> torch.Tensor:
    """Exponential noise (rows, vocabulary) of each row's seed and the number of its token."""
    places = counts[:, None] * vocabulary + torch.arange(vocabulary, device=counts.device)
    return exponential(seeds[:, None], places, salt=SALT)


def _penalized(scores: torch.Tensor, seen: torch.Tensor, rules: Rules) -> torch.Tensor:
    smaller = torch.where(scores < 0, scores * rules.penalty, scores / rules.penalty)
    return torch.where(seen, smaller, scores)


def _nucleus(scores: torch.Tensor, ascending: torch.Tensor, order: torch.Tensor, rules: Rules) -> torch.Tensor:
    """Without the least likely tokens that together make up no more than `rest`; one is always kept."""
    out = ascending.softmax(-1).cumsum(-1) <= rules.rest
    out[:, -1] = False
    return scores.masked_fill(torch.empty_like(out).scatter_(1, order, out), -torch.inf)
