"""Threads for work that would hold up the event loop, with a bound on what waits for them."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from services.common.errors import Refusal

T = TypeVar("T")


class BoundedPool:
    """A thread pool that refuses what it cannot begin soon. Never the loop's default executor."""

    def __init__(self, name: str, *, threads: int, max_queue: int):
        """
        Args:
            name: Of the threads, and in refusals.
            threads: Calls at once.
            max_queue: Calls that may wait besides.
        """
        self._name = name
        self._most = threads + max_queue
        self._pending = 0
        self._lock = threading.Lock()
        self._executor = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)

    async def run(self, call: Callable[[], T]) -> T:
        """Run `call` on a thread. A call that has begun ends also when nobody waits for it any more.

        Raises:
            Refusal: Too many calls wait.
        """
        with self._lock:
            if self._pending >= self._most:
                raise Refusal("busy", f"{self._pending} requests already wait for {self._name}, the most that may")
            self._pending += 1
        future = self._executor.submit(call)
        future.add_done_callback(self._leave)
        return await asyncio.wrap_future(future)

    def _leave(self, _: object) -> None:
        with self._lock:
            self._pending -= 1

    def close(self) -> None:
        """Drop what waits."""
        self._executor.shutdown(wait=False, cancel_futures=True)
