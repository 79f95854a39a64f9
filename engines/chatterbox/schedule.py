"""Who is worked on next: pure decisions, taken anew between two steps.

The rules:

- A listener who has heard nothing yet goes first, then whoever has the least sound left.
- A step takes all who are not far ahead, since many rows cost little more than few; while somebody has heard nothing
  yet it takes only the most urgent.
- A piece of sound that is not urgent waits a moment for others: a run of many costs much less than as many runs.
- The first piece of sound is small; the next ones grow, and with much sound left a piece may be as long as half of it.
- The busier the vocoder, the longer the pieces: each goes over all that was said before, so few long ones cost less.
- The busier the vocoder, the less of its voice's recording a new sentence goes over: each piece does that, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

TOKENS_PER_SEC = 25
LOOKAHEAD_TOKENS = 3
"""Tokens after a piece that its sound is made with."""

T = TypeVar("T")


@dataclass(frozen=True)
class Pace:
    """When there is enough.

    Attributes:
        first_tokens: Speech tokens of the first piece of sound.
        chunk_tokens: Tokens of the pieces after it, the last one repeats.
        max_ahead_secs: With so much sound left, a stream waits.
        most_tokens: Longest piece.
        calm: Up to this share of the time the vocoder may work before pieces grow and prompts shrink.
        strained: From this share on prompts are as short as they may be: the vocoder has next to nothing left.
        min_prompt_tokens: That is so long; a voice whose prompt is no longer always has all of it.
        quick_rows: Rows of a step while somebody has heard nothing yet.
        urgent_secs: With less sound left than this, the next piece does not wait for others.
        gather_secs: So long it waits at most.
        quick_pieces: Pieces that are made together while somebody has heard nothing yet.
    """

    first_tokens: int = 15
    chunk_tokens: tuple[int, ...] = (25, 50, 75)
    max_ahead_secs: float = 8.0
    most_tokens: int = 150
    calm: float = 0.6
    strained: float = 0.9
    min_prompt_tokens: int = 75
    quick_rows: int = 32
    urgent_secs: float = 0.6
    gather_secs: float = 0.15
    quick_pieces: int = 8


@dataclass(frozen=True)
class Candidate(Generic[T]):
    """One stream as the rules see it.

    Attributes:
        item: What is chosen.
        fresh: Whether its listener has heard nothing yet.
        buffered_secs: Sound that its listener has left, with what is made of tokens already.
        live: Whether somebody listens at all.
        waited_secs: How long its next piece could have been made.
    """

    item: T
    fresh: bool
    buffered_secs: float
    live: bool = True
    waited_secs: float = 0.0

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """Lower goes first."""
        return (not self.live, not self.fresh, self.buffered_secs)


def in_order(candidates: Sequence[Candidate[T]]) -> list[T]:
    """Everybody, the most urgent first."""
    return [candidate.item for candidate in sorted(candidates, key=lambda candidate: candidate.rank)]


def to_decode(candidates: Sequence[Candidate[T]], pace: Pace) -> list[T]:
    """Whose next token is made in the next step."""
    wanting = [item for item in candidates if not item.live or item.fresh or item.buffered_secs < pace.max_ahead_secs]
    chosen = in_order(wanting)
    return chosen[: pace.quick_rows] if _somebody_waits(wanting) else chosen


def to_sound(candidates: Sequence[Candidate[T]], pace: Pace, most: int) -> list[T]:
    """Whose next piece is made now, of those whose piece could be; nobody's, if it is better to wait for others.

    Args:
        candidates: All whose next piece could be made.
        pace: When there is enough.
        most: Pieces that go together at most.
    """
    if _somebody_waits(candidates):
        fresh = sum(item.live and item.fresh for item in candidates)
        return in_order(candidates)[: min(most, max(fresh, pace.quick_pieces))]
    urgent = any(item.live and item.buffered_secs < pace.urgent_secs for item in candidates)
    if urgent or len(candidates) >= most or any(item.waited_secs >= pace.gather_secs for item in candidates):
        return in_order(candidates)[:most]
    return []


def _somebody_waits(candidates: Sequence[Candidate[T]]) -> bool:
    return any(item.live and item.fresh for item in candidates)


def next_piece(pieces: int, buffered_secs: float, fresh: bool, pace: Pace, *, busy: float = 0.0) -> int:
    """How many tokens the next piece of a sentence should have.

    Args:
        pieces: Pieces of this sentence so far.
        buffered_secs: Sound that the listener has left.
        fresh: Whether the listener has heard nothing yet.
        pace: When there is enough.
        busy: Share of the time in which the vocoder works, 0 to 1.
    """
    pressure = max(0.0, busy - pace.calm) / (1 - pace.calm)
    if fresh and not pieces:
        return min(int(pace.first_tokens * (1 + pressure)), pace.most_tokens)
    usual = pace.chunk_tokens[min(max(pieces - 1, 0), len(pace.chunk_tokens) - 1)]
    return min(max(int(usual * (1 + 2 * pressure)), int(buffered_secs / 2 * TOKENS_PER_SEC)), pace.most_tokens)


def prompt_tokens(whole: int, pace: Pace, *, busy: float) -> int:
    """How many tokens of its voice's prompt a sentence is spoken over, from its first piece to its last.

    Args:
        whole: Tokens of the voice's prompt.
        pace: When there is enough.
        busy: Share of the time in which the vocoder works, 0 to 1.
    """
    strain = min(max(0.0, busy - pace.calm) / (pace.strained - pace.calm), 1.0)
    return whole - int(strain * max(0, whole - pace.min_prompt_tokens))


def is_due(known: int, used: int, ended: bool, wanted: int) -> bool:
    """Whether a piece can be made: its tokens and their lookahead are known, or all there will be are.

    Args:
        known: Tokens of the sentence so far.
        used: Tokens that pieces were made of.
        ended: Whether there will be no more.
        wanted: What `next_piece` says.
    """
    return ended or known - used >= wanted + LOOKAHEAD_TOKENS
