"""The owner of a model: one thread that runs it, with a bounded queue in front.

A model is not called on the event loop, nor in the loop's default executor (WebRTC encodes its audio there).
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from engines.errors import EngineBusy, EngineClosed, EngineError, EngineFailed

T = TypeVar("T")


class ModelOwner:
    """Runs calls of one model, one after the other, in the order in which they came.

    A caller that is cancelled while it waits leaves the queue; one whose work has begun no longer waits for it.
    """

    def __init__(self, name: str, *, max_queue: int):
        """
        Args:
            name: Name of the thread, and of the engine in errors.
            max_queue: Calls that may wait or run; one more is refused with `EngineBusy`.
        """
        self._name = name
        self._max_queue = max_queue
        self._pending = 0
        self._lock = threading.Lock()
        self._closed = False
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    @property
    def pending(self) -> int:
        """Calls that wait or run."""
        return self._pending

    async def run(self, call: Callable[[], T]) -> T:
        """Run `call` on the owner's thread.

        Raises:
            EngineBusy: The queue is full.
            EngineClosed: The owner was closed, before the call or while it waited.
            EngineFailed: The call raised; its exception is the cause. An `EngineError` is passed on as it is.
        """
        if self._closed:
            raise EngineClosed(f"{self._name} has been shut down")
        if self._pending >= self._max_queue:
            raise EngineBusy(f"{self._name} already has {self._pending} requests waiting (the most it takes)")
        with self._lock:
            self._pending += 1
        future = self._executor.submit(call)
        future.add_done_callback(lambda _: self._leave())
        try:
            return await asyncio.wrap_future(future)
        except EngineError:
            raise
        except asyncio.CancelledError:
            if self._closed and future.cancelled():
                raise EngineClosed(f"{self._name} has been shut down") from None
            raise
        except Exception as error:
            raise EngineFailed(f"{self._name} failed: {type(error).__name__}: {error}") from error

    def _leave(self) -> None:
        with self._lock:
            self._pending -= 1

    async def close(self) -> None:
        """Refuse what waits and let the thread end with the call that it runs."""
        self._closed = True
        self._executor.shutdown(wait=False, cancel_futures=True)
