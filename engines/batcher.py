"""The owner of a model that works on batches: one thread, and a bounded queue that puts together what waits.

The rules of the queue:

- A lone request never waits for company; those that wait while the model works go together, if they have the same key.
- Finals go before partials and before what runs in the background, which goes one at a time.
- A partial is dropped when its stream asks for something newer, or a final needs its place.
- The same audio of a stream asked for again joins the request that already waits or runs; a final makes it a final.
- A full queue refuses the newest. A request that everybody has stopped waiting for is removed, unless it already runs.
- A batch that raises is run again one by one, so that only the guilty request fails.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from engines.errors import EngineBusy, EngineClosed, EngineError, EngineFailed, EngineOvertaken

FAILURES_TO_TELL = 3
FAILURES_TO_GIVE_UP = 20
"""In a row. A GPU that has failed once often fails for ever, until the process is started again."""

R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True)
class Done(Generic[T]):
    """The request has its result."""

    value: T


@dataclass(frozen=True)
class Again(Generic[R]):
    """The request has to go through the model once more, changed; it goes to the head of the queue."""

    request: R
    key: Hashable


Outcome = Done[T] | Again[R]


@dataclass
class Ticket(Generic[T]):
    """One caller that waits for a request."""

    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[T]"


@dataclass(eq=False)
class _Work(Generic[R, T]):
    request: R
    key: Hashable
    partial: bool
    background: bool
    stream: str | None
    identity: Hashable
    tickets: list[Ticket[T]] = field(default_factory=list)


class Batcher(Generic[R, T]):
    """Runs a model on batches of requests, on a thread of its own."""

    def __init__(
        self,
        name: str,
        run: Callable[[Sequence[R]], Sequence[Outcome]],
        *,
        max_batch: int | Callable[[Hashable], int],
        max_queue: int,
        max_partial_batch: int | None = None,
        partial_share: float = 0.5,
        on_wait: Callable[[R], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        """
        Args:
            name: Name of the thread, and of the engine in errors.
            run: Runs the model on requests of one key and gives an outcome for each, in order.
            max_batch: Most requests that go together, for all keys or by key.
            max_queue: Requests that may wait; one more is refused with `EngineBusy`.
            max_partial_batch: Most partials that go together, so that a final never waits long behind them.
            partial_share: Largest share of the model's time that partials take, 0 to 1.
            on_wait: Told, on the event loop, of a request that was taken while the model works on others.
            clock: Seconds, for the share of the partials.
        """
        self._name = name
        self._run = run
        self._max_batch = max_batch if callable(max_batch) else lambda _: max_batch
        self._max_partial_batch = max_partial_batch
        self._max_queue = max_queue
        self._partial_rest = 1 / partial_share - 1
        self._on_wait = on_wait
        self._clock = clock
        self._failures = 0
        self._last_failure = ""
        self._partials_rest_until = 0.0
        self._waiting: list[_Work[R, T]] = []
        self._running: list[_Work[R, T]] = []
        self._closed = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Requests that wait for the model."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Requests that the model works on."""
        return len(self._running)

    @property
    def problem(self) -> str | None:
        """What went wrong, when nothing has gone well for a while; None otherwise."""
        return self._last_failure if self._failures >= FAILURES_TO_TELL else None

    async def submit(
        self,
        request: R,
        *,
        key: Hashable,
        partial: bool = False,
        background: bool = False,
        stream: str | None = None,
        identity: Hashable = None,
    ) -> T:
        """Wait for the result of a request.

        Args:
            request: What `run` gets.
            key: Requests of one key may go together.
            partial: Whether it yields to others.
            background: Whether nobody waits for it from one moment to the next.
            stream: Newer requests of a stream overtake its partials that wait.
            identity: Requests of one stream with one identity are the same.

        Raises:
            EngineBusy: The queue is full.
            EngineOvertaken: It was a partial, and was overtaken.
            EngineFailed: The model raised; its exception is the cause. An `EngineError` is passed on as it is.
            EngineClosed: The batcher was closed, before the call or while it waited.
        """
        loop = asyncio.get_running_loop()
        ticket: Ticket[T] = Ticket(loop, loop.create_future())
        work = self._admit(_Work(request, key, partial, background, stream, identity, [ticket]))
        if self._on_wait and self._running:
            self._on_wait(work.request)
        try:
            return await ticket.future
        except asyncio.CancelledError:
            self._leave(work, ticket)
            raise

    def close(self) -> None:
        """Refuse what waits and let the thread end with the batch that it runs."""
        with self._wake:
            self._closed = True
            dropped, self._waiting = self._waiting, []
            self._wake.notify()
        for work in dropped:
            self._fail(work, EngineClosed(f"{self._name} has been shut down"))

    def join(self, timeout_secs: float) -> None:
        """Wait until the thread has ended; not for the event loop."""
        self._thread.join(timeout_secs)

    # The callers' side.

    def _admit(self, work: _Work[R, T]) -> _Work[R, T]:
        overtaken: list[_Work[R, T]] = []
        try:
            with self._wake:
                if self._closed:
                    raise EngineClosed(f"{self._name} has been shut down")
                if self._failures >= FAILURES_TO_GIVE_UP:
                    raise EngineClosed(f"{self._name} has given up: {self._last_failure}")
                if same := self._same(work):
                    same.tickets.extend(work.tickets)
                    same.partial = same.partial and work.partial
                    self._wake.notify()
                    return same
                if work.stream is not None:
                    overtaken = [other for other in self._waiting if other.partial and other.stream == work.stream]
                if len(self._waiting) - len(overtaken) >= self._max_queue:
                    partials = [other for other in self._waiting if other.partial and other not in overtaken]
                    if work.partial or not partials:
                        waiting = len(self._waiting)
                        raise EngineBusy(f"{self._name} already has {waiting} requests waiting (the most it takes)")
                    overtaken.append(partials[0])
                for other in overtaken:
                    self._waiting.remove(other)
                self._waiting.append(work)
                self._wake.notify()
                return work
        finally:
            for other in overtaken:
                self._fail(other, EngineOvertaken(f"{self._name}: the partial was overtaken"))

    def _same(self, work: _Work[R, T]) -> _Work[R, T] | None:
        if work.stream is None or work.identity is None:
            return None
        for other in (*self._running, *self._waiting):
            if other.stream == work.stream and other.identity == work.identity:
                return other
        return None

    def _leave(self, work: _Work[R, T], ticket: Ticket[T]) -> None:
        with self._wake:
            if ticket in work.tickets:
                work.tickets.remove(ticket)
            if not work.tickets and work in self._waiting:
                self._waiting.remove(work)

    # The model's side.

    def _work(self) -> None:
        while True:
            with self._wake:
                while not (batch := self._take()):
                    if self._closed:
                        return
                    self._wake.wait(self._pause())
                self._running = batch
                partial = batch[0].partial
            began_at = self._clock()
            outcomes = self._attempt(batch)
            if partial:
                ended_at = self._clock()
                self._partials_rest_until = ended_at + self._partial_rest * (ended_at - began_at)
            self._settle(batch, outcomes)

    def _pause(self) -> float | None:
        """Seconds after which partials may go on; None where none waits. The lock is held."""
        if not self._waiting:
            return None
        return max(0.0, self._partials_rest_until - self._clock())

    def _take(self) -> list[_Work[R, T]]:
        """The next batch, removed from the queue. The lock is held."""
        if self._closed:
            return []
        rests = self._clock() < self._partials_rest_until
        first = min(
            (work for work in self._waiting if not (work.partial and rests)),
            key=lambda work: work.partial or work.background,
            default=None,
        )
        if first is None:
            return []
        most = self._max_batch(first.key)
        if first.background:
            most = 1
        elif first.partial and self._max_partial_batch:
            most = min(most, self._max_partial_batch)
        kind = (first.key, first.partial, first.background)
        batch = [work for work in self._waiting if (work.key, work.partial, work.background) == kind][:most]
        taken = set(map(id, batch))
        self._waiting = [work for work in self._waiting if id(work) not in taken]
        return batch

    def _attempt(self, batch: list[_Work[R, T]]) -> list[Outcome | EngineError]:
        try:
            outcomes: list[Outcome | EngineError] = list(self._run([work.request for work in batch]))
            self._failures = 0
            return outcomes
        except Exception as error:
            if len(batch) > 1:
                return [outcome for work in batch for outcome in self._attempt([work])]
            self._failures += 1
            self._last_failure = f"{type(error).__name__}: {error}"
            if isinstance(error, EngineError):
                return [error]
            failure = EngineFailed(f"{self._name} failed: {type(error).__name__}: {error}")
            failure.__cause__ = error
            return [failure]

    def _settle(self, batch: list[_Work[R, T]], outcomes: list[Outcome | EngineError]) -> None:
        again: list[_Work[R, T]] = []
        with self._wake:
            self._running = []
            for work, outcome in zip(batch, outcomes, strict=True):
                if isinstance(outcome, Again) and work.tickets and not self._closed:
                    work.request, work.key = outcome.request, outcome.key
                    again.append(work)
            self._waiting[:0] = again
        for work, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Done):
                self._succeed(work, outcome.value)
            elif isinstance(outcome, EngineError):
                self._fail(work, outcome)
            elif self._closed:
                self._fail(work, EngineClosed(f"{self._name} has been shut down"))

    @staticmethod
    def _succeed(work: _Work[R, T], value: T) -> None:
        for ticket in list(work.tickets):
            _tell(ticket, lambda future: future.set_result(value))

    @staticmethod
    def _fail(work: _Work[R, T], error: EngineError) -> None:
        for ticket in list(work.tickets):
            _tell(ticket, lambda future: future.set_exception(error))


def _tell(ticket: Ticket, tell: Callable[[asyncio.Future], None]) -> None:
    def settle() -> None:
        if not ticket.future.done():
            tell(ticket.future)

    try:
        ticket.loop.call_soon_threadsafe(settle)
    except RuntimeError:
        # The caller's loop has been closed: nobody is left to tell.
        return
