"""How busy something has been of late."""

import math

MEMORY_SECS = 2.0
"""What was longer ago than this hardly counts."""


class BusyMeter:
    """The share of the time in which something was at work, the last seconds counting most. Times are of any clock."""

    def __init__(self) -> None:
        self._share = 0.0
        self._seen_at: float | None = None
        self._working = False

    def turn(self, working: bool, now: float) -> None:
        """From now on it works, or rests."""
        self._share = self.share(now)
        self._seen_at, self._working = now, working

    def share(self, now: float) -> float:
        """0 to 1."""
        if self._seen_at is None:
            return 0.0
        faded = math.exp(-max(0.0, now - self._seen_at) / MEMORY_SECS)
        return self._share * faded + self._working * (1 - faded)
