"""What a listener has of a stream: it plays from the first sound on, at the pace of time."""


class Listener:
    """How much sound one listener has left to play. Times are seconds of any clock that only goes forward."""

    def __init__(self) -> None:
        self._ends_at: float | None = None
        self.underruns = 0
        """How often the sound ran out before there was more."""

    @property
    def has_heard(self) -> bool:
        """Whether any sound has come."""
        return self._ends_at is not None

    def receive(self, secs: float, now: float) -> None:
        """Sound of a length has come."""
        if self._ends_at is not None and now > self._ends_at:
            self.underruns += 1
        self._ends_at = max(now, self._ends_at or now) + secs

    def buffered_secs(self, now: float) -> float:
        """Sound that is left; 0 before the first and after the last."""
        return max(0.0, self._ends_at - now) if self._ends_at is not None else 0.0
