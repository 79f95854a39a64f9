"""What one stream of speech took, as its listener would notice it."""

import asyncio

from services.tts.script import Script


class Account:
    """Follows a stream: when it was asked for sound, and when the sound came. Times by the loop's clock."""

    def __init__(self, script: Script):
        """
        Args:
            script: What is spoken.
        """
        self.script = script
        self._now = asyncio.get_running_loop().time
        self._opened_at = self._now()
        self._asked_at = self._opened_at
        self._first_at: float | None = None
        self._dry_at = 0.0
        """When a listener who plays the sound as it comes has heard all of it."""
        self._was_complete = False
        self.audio_secs = 0.0
        self.engine_secs = 0.0
        self.underruns = 0
        self.underrun_secs = 0.0

    @property
    def waits(self) -> bool:
        """Whether there is text and no sound yet."""
        return self.script.begun_at is not None and self._first_at is None

    @property
    def speaks(self) -> bool:
        """Whether there was sound."""
        return self._first_at is not None

    @property
    def first_audio_secs(self) -> float | None:
        """From the first piece of text to the first sound; None where there was none."""
        if self._first_at is None:
            return None
        return self._first_at - (self._opened_at if self.script.begun_at is None else self.script.begun_at)

    @property
    def total_secs(self) -> float:
        """Since the stream was opened."""
        return self._now() - self._opened_at

    @property
    def real_time_factor(self) -> float | None:
        """Time that the engine took for a second of sound; None where it may have waited for text, not we for it."""
        return self.engine_secs / self.audio_secs if self._was_complete and self.audio_secs else None

    def asks(self) -> None:
        """The engine is asked for sound."""
        self._asked_at = self._now()

    def gets(self, secs: float) -> None:
        """So much sound came."""
        now = self._now()
        self.engine_secs += now - self._asked_at
        if not secs:
            return
        if self._first_at is None:
            self._first_at = self._dry_at = now
            self._was_complete = self.script.is_complete
        elif now > self._dry_at:
            # Where the text was late, or the client would not take more, it is not the engine that was.
            if max(self.script.written_at, self._asked_at) <= self._dry_at:
                self.underruns += 1
                self.underrun_secs += now - self._dry_at
            self._dry_at = now
        self._dry_at += secs
        self.audio_secs += secs
