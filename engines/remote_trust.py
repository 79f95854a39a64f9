"""Whether the services that a client knows work, as far as their answers tell; and how long it waits to come back."""

import random
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

MAX_SILENT = 2
MAX_FAILED = 3
"""After so many in a row that it left unanswered, or failed at, a service is no longer taken for one that works."""

DOUBT_SECS = 5.0
MOST_DOUBT_SECS = 30.0
"""How long a service goes last, at first and at most. Then one utterance tries it: nothing else tells that it works."""

Sleep = Callable[[float], Awaitable[object]]
Clock = Callable[[], float]


class Backoff:
    """Waits that double up to a limit, each somewhere in its upper half, so that many clients do not return at once."""

    def __init__(self, *, first_secs: float = 0.1, most_secs: float = 5.0, rng: Callable[[], float] = random.random):
        """
        Args:
            first_secs: The first wait, before it is shortened.
            most_secs: The longest.
            rng: A number from 0 to 1.
        """
        self._first = first_secs
        self._most = most_secs
        self._rng = rng
        self._tries = 0

    def next(self) -> float:
        """The next wait, in seconds."""
        longest = min(self._most, self._first * 2**self._tries)
        self._tries = min(self._tries + 1, 30)
        return longest * (0.5 + 0.5 * self._rng())

    def reset(self) -> None:
        """It went well: begin again with short waits."""
        self._tries = 0


class Record(NamedTuple):
    """What a service has done: the answers that came from it, and its faults since the last of them."""

    answers: int = 0
    faults: int = 0


class Sent(NamedTuple):
    """A request at a service: what the service had done before it came, and when that was, in seconds."""

    record: Record
    at: float


class Trust:
    """Whether a service works, as far as its answers tell: with a hung driver it still answers pings.

    A fault is counted only if the record is what it was when the request was sent. So the requests that one stall or
    one bad batch took with it are one fault, and a service that goes on answering others is slow, not at fault.
    """

    def __init__(self, *, backoff: Backoff, clock: Clock = time.monotonic, what: str = "utterances"):
        """
        Args:
            backoff: How long it is doubted, each time.
            clock: The time in seconds.
            what: What is asked of it, for people.
        """
        self.record = Record()
        self._backoff = backoff
        self._clock = clock
        self._what = what
        self._doubted_until: float | None = None
        self._problem: str | None = None

    @property
    def doubted(self) -> bool:
        """Whether others go first."""
        return self._doubted_until is not None and self._clock() < self._doubted_until

    @property
    def problem(self) -> str | None:
        """Why it is not taken for one that works, for people; None where it is."""
        return self._problem if self.doubted else None

    def worked(self) -> None:
        """An answer came: a transcript, or sound."""
        self.record = Record(self.record.answers + 1)
        self.restore()

    def restore(self) -> None:
        """Whatever was wrong may be over."""
        self.record = Record(self.record.answers)
        self._backoff.reset()
        self._doubted_until = self._problem = None

    def sent(self) -> Sent:
        """A request goes there."""
        return Sent(self.record, self._clock())

    def secs_since(self, sent: Sent) -> float:
        """How long a request has been there, in seconds."""
        return self._clock() - sent.at

    def silent_since(self, sent: Sent) -> bool:
        """Whether no answer came since a request went there."""
        return self.record.answers == sent.record.answers

    def left_unanswered(self, sent: Sent) -> bool:
        """A request was not answered when it should have been; returns whether this is a fault."""
        if self.record != sent.record:
            return False
        faults = self._add_fault()
        self._doubt(f"left {faults} {self._what} in a row without an answer" if faults >= MAX_SILENT else None)
        return True

    def failed(self, sent: Sent, reason: str) -> None:
        """A request failed there."""
        if self.record == sent.record and (faults := self._add_fault()) >= MAX_FAILED:
            self._doubt(f"failed at {faults} {self._what} in a row: {reason}")

    def _add_fault(self) -> int:
        self.record = Record(self.record.answers, self.record.faults + 1)
        return self.record.faults

    def _doubt(self, problem: str | None) -> None:
        self._doubted_until = self._clock() + self._backoff.next()
        self._problem = problem
