"""Somebody who listens to a stream of speech as it comes: what he has left to play, and when he runs dry.

He plays at the pace of time from the first sound on, or so much later as his jitter buffer holds. Where the sound
runs out before there is more, he hears nothing until it comes and then goes on at once: that is an underrun. Whether
the end of what has come is the end of the answer, only the stream can tell; who is dry at that end misses nothing.
"""

SHORTEST_GAP_SECS = 0.001
"""What is shorter is the clock's doing, and nobody hears it."""


class Listener:
    """One listener of one stream. Times are seconds of one clock.

    Attributes:
        first_at: When the first sound came.
        ends_at: When what has come so far will have been played.
        secs: Sound that has come.
        gaps_secs: Length of each underrun.
        margins_secs: What was left to play whenever more sound came, the first excepted; 0 where it had run dry.
        most_secs: The most that was ever left to play.
    """

    def __init__(self, sample_rate: int, *, buffer_secs: float = 0.0):
        """
        Args:
            sample_rate: Of the PCM, in Hz.
            buffer_secs: Playing begins so long after the first sound has come.
        """
        self._sample_rate = sample_rate
        self._buffer_secs = buffer_secs
        self.first_at: float | None = None
        self.ends_at: float | None = None
        self.secs = 0.0
        self.gaps_secs: list[float] = []
        self.margins_secs: list[float] = []
        self.most_secs = 0.0

    def receive(self, pcm: bytes, now: float) -> None:
        """Signed 16-bit mono samples have come; no samples are no sound."""
        if not pcm:
            return
        if self.ends_at is None:
            self.first_at, self.ends_at = now, now + self._buffer_secs
        else:
            self.margins_secs.append(max(0.0, self.ends_at - now))
            self._dry_until(now)
        secs = len(pcm) / 2 / self._sample_rate
        self.secs += secs
        self.ends_at = max(self.ends_at, now) + secs
        self.most_secs = max(self.most_secs, self.ends_at - now)

    def stop(self, now: float) -> None:
        """Listening ends here although the answer does not: who is dry now has been waiting for what never came."""
        if self.ends_at is not None:
            self._dry_until(now)
            self.ends_at = min(self.ends_at, now)

    def _dry_until(self, now: float) -> None:
        if self.ends_at is not None and now - self.ends_at >= SHORTEST_GAP_SECS:
            self.gaps_secs.append(now - self.ends_at)
