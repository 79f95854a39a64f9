"""An event loop whose seconds pass at once: what takes minutes is tested in milliseconds, and exactly."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class NoWait(selectors.DefaultSelector):
    """Waits for nothing, and moves the clock by as much as was to be waited."""

    now = 0.0

    def select(self, timeout: float | None = None):
        self.now += timeout or 0
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose seconds pass at once."""

    def __init__(self) -> None:
        self.clock = NoWait()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now


def virtually(work: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(work(loop))
