"""The services that one client knows, whatever they do: connected together, and told of together."""

import asyncio
from collections.abc import Sequence
from typing import Generic, TypeVar

from engines.errors import EngineUnreachable
from engines.remote_socket import ServiceLink

L = TypeVar("L", bound=ServiceLink)


class ServicePool(Generic[L]):
    """Several services that do the same."""

    def __init__(self, links: Sequence[L], *, ready_secs: float):
        """
        Args:
            links: One to each service.
            ready_secs: Longest wait of `warm_up` for the first service.
        """
        self._links = list(links)
        self._ready_secs = ready_secs
        self._any_ready = asyncio.Event()
        self._running: list[asyncio.Task[None]] = []

    @property
    def problem(self) -> str | None:
        """Why none of them does any work now, in a sentence; None where one does."""
        return None if any(link.works for link in self._links) else self._problems()

    async def warm_up(self) -> None:
        """Connect, and wait until one service is ready.

        Raises:
            EngineUnreachable: None was in time.
        """
        self._start()
        try:
            async with asyncio.timeout(self._ready_secs):
                await self._any_ready.wait()
        except TimeoutError:
            raise EngineUnreachable(f"no service is ready after {self._ready_secs:g} s: {self._problems()}") from None

    def _start(self) -> None:
        """Connect, unless that was done."""
        if not self._running:
            self._running = [asyncio.create_task(link.run()) for link in self._links]

    async def _hang_up(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _problems(self) -> str:
        return "; ".join(link.state for link in self._links)


def first(links: Sequence[L]) -> Sequence[L]:
    """The healthy ones that go first: those that are doubted are kept for when there is no other."""
    healthy = [link for link in links if link.healthy]
    return [link for link in healthy if not link.trust.doubted] or healthy
