"""What any thread may ask of the worker: a place for a stream, and something to be done between two steps."""

import threading
from collections import deque
from collections.abc import Callable

from engines.errors import EngineBusy, EngineClosed


class Inbox:
    """Streams that are open, and commands that wait. Any thread may call, but for what is said otherwise."""

    def __init__(self, max_streams: int):
        """
        Args:
            max_streams: Streams at once; one more is refused.
        """
        self._max_streams = max_streams
        self._commands: deque[Callable[[], None]] = deque()
        self._wake = threading.Condition()
        self.closed = False
        """Nothing is taken any more."""

        self.gave_up = False
        """It was closed because nothing went well any more."""

        self.open_streams = self.most_open = 0

    def enter(self) -> None:
        """Take a place for a stream.

        Raises:
            EngineBusy: There are too many.
            EngineClosed: The engine has been shut down.
        """
        with self._wake:
            if self.closed:
                raise EngineClosed("chatterbox has been shut down")
            if self.open_streams >= self._max_streams:
                raise EngineBusy(f"chatterbox already speaks {self.open_streams} streams (the most it takes)")
            self.open_streams += 1
            self.most_open = max(self.most_open, self.open_streams)

    def leave(self) -> None:
        """Give a stream's place back."""
        with self._wake:
            self.open_streams -= 1

    def post(self, command: Callable[[], None]) -> bool:
        """Have something done by the worker's thread; False if it does nothing any more."""
        with self._wake:
            if self.closed:
                return False
            self._commands.append(command)
            self._wake.notify()
        return True

    def close(self) -> None:
        """Take nothing more, and wake the worker."""
        with self._wake:
            self.closed = True
            self._wake.notify()

    def give_up(self) -> None:
        """The worker ends by itself, unless it was told to before."""
        with self._wake:
            self.gave_up |= not self.closed
            self.closed = True

    # On the worker's thread.

    def obey(self) -> None:
        """Do all that waits, in its order."""
        while self._commands:
            self._commands.popleft()()

    def rest(self, secs: float | None) -> None:
        """Wait for a command, not longer than so many seconds; None waits until one comes."""
        with self._wake:
            if not self._commands and not self.closed:
                self._wake.wait(secs)
