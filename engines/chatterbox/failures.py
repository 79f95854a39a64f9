"""How often each of the models failed of late, and what is told of it."""

from collections import Counter
from collections.abc import Callable
from enum import StrEnum

from loguru import logger

from engines.errors import EngineBusy, EngineError, EngineFailed, EngineRefused

FAILURES_TO_TELL = 3
FAILURES_TO_GIVE_UP = 20
"""In a row. A GPU that has failed once often fails for ever, until the process is started again."""


class Part(StrEnum):
    """What fails by itself: while the one is well, the other may have failed for good."""

    TOKENS = "the token model"
    SOUND = "the vocoder"
    ROUND = "the round"


class Failures:
    """Counts each part's failures in a row. The worker's thread counts; any thread may read."""

    def __init__(self, *, recover: Callable[[], None], give_up: Callable[[], None]):
        """
        Args:
            recover: Done after each failure.
            give_up: Done after the last that is borne.
        """
        self._recover, self._give_up = recover, give_up
        self._in_a_row: Counter[Part] = Counter()
        self._lasts: dict[Part, str] = {}
        self.last = ""
        """What went wrong last, in a line."""

    @property
    def problem(self) -> str | None:
        """What went wrong last with a part that has made nothing for a while; None where each makes something."""
        worst = max(Part, key=lambda part: self._in_a_row[part])
        return self._lasts[worst] if self._in_a_row[worst] >= FAILURES_TO_TELL else None

    def went_well(self, *parts: Part) -> None:
        """Something was made by these: their counts begin anew."""
        for part in parts:
            self._in_a_row[part] = 0

    def failed(self, part: Part, error: Exception) -> None:
        """Count a failure, unless the request is at fault."""
        if isinstance(error, (EngineRefused, EngineBusy)):
            return
        self.last = self._lasts[part] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        self._in_a_row[part] += 1
        logger.error(f"chatterbox failed, {part} {self._in_a_row[part]} times in a row now: {self.last}")
        self._recover()
        if self._in_a_row[part] >= FAILURES_TO_GIVE_UP:
            logger.critical("chatterbox gives up: start the process again")
            self._give_up()


def as_engine_error(error: Exception) -> EngineError:
    """What a stream is told of a failure."""
    if isinstance(error, EngineError):
        return error
    failure = EngineFailed(f"chatterbox failed: {type(error).__name__}: {str(error).splitlines()[:1]}")
    failure.__cause__ = error
    return failure
