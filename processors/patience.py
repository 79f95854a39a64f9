"""How long to wait for more, after somebody has fallen silent: a pure rule of what was said, how, and by whom."""

from collections import deque
from dataclasses import dataclass, field

from processors.endings import Ending

PAUSES_KEPT = 12
MARGIN = 1.3
"""Somebody who pauses for a second in a sentence is given that, and a bit."""

CERTAIN, EVEN, UNCERTAIN = 0.9, 0.5, 0.1
"""Smart Turn's probability that a turn is over: from the first on it is, at the second it may be, below the third it is
not. Of turns that were over, nine in ten are above the first."""

HURRY_SECS = 0.2
"""A sentence that ends is given so much less than one that does not."""


@dataclass(frozen=True)
class Patience:
    """The silences that end a turn, in seconds from the last sound of the voice.

    Attributes:
        sure_secs: After a whole answer, or where voice and words both say that it is over.
        doubt_secs: Where one of them says so.
        open_secs: Where neither does: what a caller is given who has not paused yet.
        spelling_secs: While something is spelled out.
        longest_secs: The most that anybody is given.
    """

    sure_secs: float = 0.2
    doubt_secs: float = 0.55
    open_secs: float = 1.3
    spelling_secs: float = 1.15
    longest_secs: float = 2.0


@dataclass
class Pauses:
    """How long one caller pauses without having finished."""

    seen: deque[float] = field(default_factory=lambda: deque(maxlen=PAUSES_KEPT))

    def add(self, secs: float) -> None:
        """A pause after which the caller went on."""
        self.seen.append(secs)

    @property
    def usual_secs(self) -> float | None:
        """A long one of theirs; None before there are two."""
        if len(self.seen) < 2:
            return None
        ordered = sorted(self.seen)
        return ordered[int(0.8 * (len(ordered) - 1))]


def wait_secs(ending: Ending, probability: float | None, pauses: Pauses, patience: Patience) -> float:
    """The silence after which the turn is over.

    Args:
        ending: What the words say.
        probability: What Smart Turn says, 0 to 1; None without it.
        pauses: The caller's own.
        patience: The bounds.
    """
    if ending is Ending.WHOLE:
        return patience.sure_secs
    unfinished = _unfinished_secs(pauses, patience)
    if ending is Ending.HANGING:
        return unfinished
    if ending is Ending.SPELLING:
        usual = 0.0 if pauses.usual_secs is None else unfinished
        return min(max(patience.spelling_secs, usual), patience.longest_secs)
    if probability is None:
        return patience.doubt_secs if ending is Ending.CLOSED else min(patience.open_secs, unfinished)
    if probability >= CERTAIN:
        return patience.sure_secs
    most = unfinished if ending is Ending.OPEN else max(patience.doubt_secs, unfinished - HURRY_SECS)
    even = max(patience.doubt_secs, most - HURRY_SECS)
    if probability >= EVEN:
        return _between(patience.sure_secs, even, (CERTAIN - probability) / (CERTAIN - EVEN))
    return _between(even, most, min(1.0, (EVEN - probability) / (EVEN - UNCERTAIN)))


def _between(least: float, most: float, share: float) -> float:
    return least + share * (most - least)


def _unfinished_secs(pauses: Pauses, patience: Patience) -> float:
    usual = pauses.usual_secs
    if usual is None:
        return min(patience.open_secs, patience.longest_secs)
    return min(max(MARGIN * usual, patience.doubt_secs), patience.longest_secs)
