"""How often the models failed of late, and what is told of it."""

from collections.abc import Callable

from loguru import logger

from engines.errors import EngineBusy, EngineError, EngineFailed, EngineRefused

FAILURES_TO_TELL = 3
FAILURES_TO_GIVE_UP = 20
"""In a row. A GPU that has failed once often fails for ever, until the process is started again."""


class Failures:
    """Counts failures in a row. The worker's thread counts; any thread may read."""

    def __init__(self, *, recover: Callable[[], None], give_up: Callable[[], None]):
        """
        Args:
            recover: Done after each failure.
            give_up: Done after the last that is borne.
        """
        self._recover, self._give_up = recover, give_up
        self._in_a_row = 0
        self.last = ""
        """What went wrong last, in a line."""

    @property
    def problem(self) -> str | None:
        """What went wrong, when nothing has gone well for a while; None otherwise."""
        return self.last if self._in_a_row >= FAILURES_TO_TELL else None

    def went_well(self) -> None:
        """Something was made: the count begins anew."""
        self._in_a_row = 0

    def failed(self, error: Exception) -> None:
        """Count a failure, unless the request is at fault."""
        if isinstance(error, (EngineRefused, EngineBusy)):
            return
        self._in_a_row += 1
        self.last = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        logger.error(f"chatterbox failed, {self._in_a_row} times in a row now: {self.last}")
        self._recover()
        if self._in_a_row >= FAILURES_TO_GIVE_UP:
            logger.critical("chatterbox gives up: start the process again")
            self._give_up()


def as_engine_error(error: Exception) -> EngineError:
    """What a stream is told of a failure."""
    if isinstance(error, EngineError):
        return error
    failure = EngineFailed(f"chatterbox failed: {type(error).__name__}: {str(error).splitlines()[:1]}")
    failure.__cause__ = error
    return failure
