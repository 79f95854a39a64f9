"""Whether a service takes work, and what it has to finish before it may stop."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from services.common.errors import Refusal


class Status(StrEnum):
    """What a service is doing, as `GET /health` says it."""

    LOADING = "loading"
    OK = "ok"
    DRAINING = "draining"
    FAILED = "failed"


def going_away() -> Refusal:
    """The refusal of a service that stops."""
    return Refusal("draining", "the service is stopping; go elsewhere")


class ServiceState:
    """The status, the connections, and the work in hand. Belongs to one event loop."""

    def __init__(self, *, max_connections: int, max_requests: int):
        """
        Args:
            max_connections: WebSockets at once; one more is refused with `too_many`.
            max_requests: Requests over HTTP at once that have a body; one more is refused with `too_many`.
        """
        self._max_connections = max_connections
        self._max_requests = max_requests
        self.status = Status.LOADING
        self.connections = 0
        self.requests = 0
        self.draining = asyncio.Event()

    def check_open(self) -> None:
        """Raises `Refusal` unless the service takes work."""
        if self.status is Status.DRAINING:
            raise going_away()
        if self.status is not Status.OK:
            raise Refusal("not_ready", f"the service is not ready: {self.status}")

    @contextmanager
    def connection(self) -> Iterator[None]:
        """Count a connection.

        Raises:
            Refusal: There are as many as may be, or the service takes no work.
        """
        self.check_open()
        if self.connections >= self._max_connections:
            raise Refusal("too_many", f"{self.connections} connections are open, the most that the service takes")
        self.connections += 1
        try:
            yield
        finally:
            self.connections -= 1

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count a request over HTTP, from before its body is read until it is answered.

        Raises:
            Refusal: There are as many as may be, or the service takes no work.
        """
        self.check_open()
        if self.requests >= self._max_requests:
            raise Refusal("too_many", f"{self.requests} requests are under way, the most that the service takes")
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    def start_draining(self) -> None:
        """Take no more work. Connections end themselves when what runs on them is done."""
        self.status = Status.DRAINING
        self.draining.set()

    async def drained(self, longest_secs: float) -> bool:
        """Wait until nothing is left; False when that took too long."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + longest_secs
        while self.connections or self.requests:
            if loop.time() >= deadline:
                return False
            await asyncio.sleep(0.02)
        return True
