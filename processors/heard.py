"""When each word of an answer is heard."""

from pipecat.utils.context.word_timestamp_tracker import WordTimestamp, WordTimestampTracker
from pipecat.utils.time import nanoseconds_to_seconds, seconds_to_nanoseconds


class HeardWords(WordTimestampTracker):
    """Times words by when their sound is played; times are nanoseconds of the pipeline's clock.

    Pipecat's own takes an answer's sound for unbroken from its first piece. Where the brain or the engine pauses, words
    would be taken for heard before they were, and an interrupted answer would hold words that nobody heard.
    """

    def __init__(self) -> None:
        super().__init__()
        self._plays_until = 0
        self._kept_until = 0
        self._given = 0
        self._shift = 0

    def start(self, now: int) -> list[WordTimestamp]:
        """An answer's first sound is about to leave."""
        self._given = 0
        self._shift = max(now, self._plays_until)
        return super().start(now)

    def sound(self, secs: float, now: int, *, interruptible: bool = True) -> None:
        """The next piece of the answer's sound leaves for the transport, which plays it after what it has already."""
        begins = max(now, self._plays_until)
        self._shift = begins - self._given
        self._given += seconds_to_nanoseconds(secs)
        self._plays_until = self._shift + self._given
        if not interruptible:
            self._kept_until = self._plays_until

    def pts(self, timestamp: float) -> int:
        """When the sound that lies `timestamp` seconds from the answer's beginning is played; it has left already."""
        return max(self.last_pts, self._shift + seconds_to_nanoseconds(timestamp))

    def silence(self) -> None:
        """The transport dropped what it had not played, but for what may not be interrupted."""
        self._plays_until = min(self._plays_until, self._kept_until)

    def ahead_secs(self, now: int) -> float:
        """Sound that has left and is yet to be played."""
        return max(0.0, nanoseconds_to_seconds(self._plays_until - now))
