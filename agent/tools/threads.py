"""Threads for tools that are plain functions."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from agent.tools.tool import ToolError


class ToolThreads:
    """Runs functions beside the event loop, so many at once; one more is refused.

    A thread cannot be stopped: a function that hangs keeps its place until it returns. The threads are daemons, so that
    it does not keep the process from ending.
    """

    def __init__(self, most: int):
        """
        Args:
            most: Functions that may run at once.
        """
        self._most = most
        self._running = 0

    async def run(self, function: Callable[[], Any]) -> Any:
        """What the function returns, or raises.

        Raises:
            ToolError: Too many run already.
        """
        if self._running >= self._most:
            raise ToolError("too many tools are running now; try again later")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        context = contextvars.copy_context()

        def settle(result: Any, error: BaseException | None) -> None:
            self._running -= 1
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        def work() -> None:
            result, failure = None, None
            try:
                result = context.run(function)
            except Exception as error:
                # A future takes no StopIteration.
                failure = RuntimeError("StopIteration") if isinstance(error, StopIteration) else error
            except BaseException as error:
                failure = RuntimeError(type(error).__name__)
            with suppress(RuntimeError):  # The loop may be closed by now.
                loop.call_soon_threadsafe(settle, result, failure)

        self._running += 1
        try:
            threading.Thread(target=work, name="tool", daemon=True).start()
        except RuntimeError:
            self._running -= 1
            raise
        return await future
