"""How much sound has left for the listener and is yet to be played: an estimate, for engines that make it ahead."""

from pipecat.utils.time import nanoseconds_to_seconds, seconds_to_nanoseconds


class Playout:
    """Counts sound that leaves for the transport, which plays it piece after piece; times are nanoseconds of the
    pipeline's clock. A transport that holds its sound is behind the estimate by as much.
    """

    def __init__(self) -> None:
        self._plays_until = 0
        self._kept_until = 0

    def sound(self, secs: float, now: int, *, interruptible: bool = True) -> None:
        """The next piece leaves; the transport plays it after what it has already."""
        self._plays_until = max(now, self._plays_until) + seconds_to_nanoseconds(secs)
        if not interruptible:
            self._kept_until = self._plays_until

    def silence(self) -> None:
        """The transport dropped what it had not played, but for what may not be interrupted."""
        self._plays_until = min(self._plays_until, self._kept_until)

    def ahead_secs(self, now: int) -> float:
        """Sound that has left and is yet to be played."""
        return max(0.0, nanoseconds_to_seconds(self._plays_until - now))
