"""How long a missing packet is worth waiting for, learnt from those that came after all."""

import math
from collections import deque
from dataclasses import dataclass

REMEMBERED = 64
REMEMBERED_SECS = 10.0
QUANTILE = 0.95
MARGIN_SECS = 0.01


@dataclass(frozen=True)
class WaitBounds:
    """Bounds of the wait for a missing packet, in seconds."""

    least_secs: float = 0.01
    most_secs: float = 0.15


class ReorderingWindow:
    """The wait for a missing packet, counted from the arrival of the first packet that overtook it.

    What is in order is never held back, so the spread of arrivals as such asks for no delay: only overtaken packets do.
    A path that keeps its order, however unevenly it delivers, and one that loses packets both leave the window at its
    least; a path that reorders widens it to what 95 of 100 overtaken packets needed in the last ten seconds, and a
    little more, since the wait is over for all that are held as soon as the packet comes.
    """

    def __init__(self, bounds: WaitBounds) -> None:
        self._bounds = bounds
        self._overtaken: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)

    def overtaken(self, by_secs: float, now: float) -> None:
        """A packet came `by_secs` after the first that overtook it, in time to be played or not.

        One that no permitted wait would have saved teaches nothing.
        """
        if by_secs <= self._bounds.most_secs:
            self._overtaken.append((now, by_secs))

    def wait_secs(self, now: float) -> float:
        """The wait at this time."""
        while self._overtaken and now - self._overtaken[0][0] > REMEMBERED_SECS:
            self._overtaken.popleft()
        if not self._overtaken:
            return self._bounds.least_secs
        late = sorted(by_secs for _, by_secs in self._overtaken)
        needed = late[math.ceil(QUANTILE * len(late)) - 1] + MARGIN_SECS
        return min(max(needed, self._bounds.least_secs), self._bounds.most_secs)
