"""The agent ends a call by itself: when what it is saying has been heard, and unless the caller speaks over it."""

import asyncio
from collections.abc import Awaitable, Callable

from loguru import logger
from pipecat.frames.frames import InterruptionFrame, TTSSpeakFrame
from pipecat.observers.base_observer import BaseObserver, FramePushed
from pipecat.pipeline.worker import PipelineWorker

MOST_SECS = 60.0
"""Longest wait for the last words to be heard."""


class Leaving(BaseObserver):
    """Waits for the last words of a call, then ends it."""

    def __init__(self, end: Callable[[], Awaitable[None]], most_secs: float = MOST_SECS):
        """
        Args:
            end: Ends the call.
            most_secs: After so long it ends whatever is still to be said.
        """
        super().__init__(observe_every_push=False)
        self._end = end
        self._most_secs = most_secs
        self._task: asyncio.Task[None] | None = None
        self._is_ending = False

    def begin(self, worker: PipelineWorker, words: str) -> None:
        """Leave when what is on its way to the caller, and then these words, have been heard."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._leave(worker, words), name="leaving")

    async def on_push_frame(self, data: FramePushed) -> None:
        """The caller who interrupts the last words has more to say."""
        if isinstance(data.frame, InterruptionFrame) and self._task is not None and not self._is_ending:
            logger.info("the caller speaks on, so the call does too")
            self._task.cancel()
            self._task = None

    async def close(self) -> None:
        """Wait no longer."""
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _leave(self, worker: PipelineWorker, words: str) -> None:
        try:
            async with asyncio.timeout(self._most_secs):
                if words.strip():
                    await worker.queue_frame(TTSSpeakFrame(words))
                await worker.flush_pipeline()
        except TimeoutError:
            logger.warning("the last words took too long and were cut")
        self._is_ending = True
        await self._end()
