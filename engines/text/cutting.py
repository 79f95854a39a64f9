"""Cuts what is too long to be said at once, where a speaker would breathe."""

from collections.abc import Sequence
from math import ceil

from engines.text.spoken import Spoken

_CONJUNCTIONS = """and but or so because which that who when while where if although though since unless until after
                   before as then than nor yet whereas with without from for to in on at by"""
CONJUNCTIONS = frozenset(_CONJUNCTIONS.split())
WORTH = ((".!?…", 1.0), (";:", 0.8), (",–—", 0.6))
"""How good it is to cut after a mark; before a conjunction 0.3, elsewhere nothing."""

BEFORE_CONJUNCTION = 0.3
ROOM = 0.92
"""Parts are planned a little shorter than they may be, so that a good place is within reach."""

REACH = 0.5
"""A cut may lie so far from the even one, as a share of a part, and then must be so much better."""


def in_parts(words: Sequence[Spoken], longest: int) -> list[tuple[Spoken, ...]]:
    """Cut words into parts of about the same length, none longer than `longest` characters as they are spoken."""
    words = [part for word in words for part in _bearable(word, longest)]
    parts: list[tuple[Spoken, ...]] = []
    while (length := _length(words)) > longest:
        count = max(2, ceil(length / (ROOM * longest)))
        cut = _cut(words, length / count, longest)
        parts.append(tuple(words[:cut]))
        words = words[cut:]
    return [*parts, tuple(words)]


def _length(words: Sequence[Spoken]) -> int:
    return sum(len(word.spoken) + 1 for word in words if word.spoken) - 1


def _cut(words: Sequence[Spoken], even: float, longest: int) -> int:
    """Before which word to cut: near `even` characters, and at `longest` at most."""
    best, best_worth, length = 1, float("-inf"), 0
    for index in range(1, len(words)):
        length += len(words[index - 1].spoken) + bool(words[index - 1].spoken)
        if length - 1 > longest:
            break
        worth = _worth(words[index - 1], words[index]) - abs(length - even) / (even * REACH)
        # The first of those that fit may be all there is.
        if worth > best_worth:
            best, best_worth = index, worth
    return best


def _worth(before: Spoken, after: Spoken) -> float:
    mark = before.spoken.rstrip("\"')]")[-1:]
    for marks, worth in WORTH:
        if mark and mark in marks:
            return worth
    return BEFORE_CONJUNCTION if after.spoken.lower() in CONJUNCTIONS else 0.0


def _bearable(word: Spoken, longest: int) -> list[Spoken]:
    """A word that alone is too long, in parts: the first has what was written, the others only what is said."""
    parts: list[Spoken] = []
    source, rest = word.source, word.spoken
    while len(rest) > longest:
        cut = rest.rfind(" ", 1, longest + 1)
        cut = cut if cut > 0 else longest
        parts.append(Spoken(source, rest[:cut].strip()))
        source, rest = "", rest[cut:].strip()
    return [*parts, Spoken(source, rest)]
