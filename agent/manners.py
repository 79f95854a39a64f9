"""What the agent says of its own accord: a greeting, a word while the brain is slow, a question into a long silence."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipecat.frames.frames import TTSSpeakFrame
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregator

from configs.settings import ConversationSettings
from processors.barge_in import BargeIn
from processors.tts import EngineTTSService

AGAIN_SECS = 0.2
LISTEN_SECS = 0.35
"""Before the greeting: a caller who already speaks is not talked over."""


@dataclass(frozen=True)
class Parts:
    """Of a call's pipeline, what manners need."""

    user: LLMUserAggregator
    barge_in: BargeIn
    voice: EngineTTSService


class Manners:
    """Keeps one conversation going. Close it when the call ends."""

    def __init__(
        self,
        parts: Parts,
        settings: ConversationSettings,
        give_up: Callable[[], Awaitable[None]],
        choose: Callable[[Sequence[str]], str] = random.choice,
    ):
        """
        Args:
            parts: Of the call's pipeline.
            settings: What is said, and when.
            give_up: Ends the call when the caller has not answered the last question.
            choose: Picks one of several sentences.
        """
        self._parts = parts
        self._settings = settings
        self._give_up = give_up
        self._choose = choose
        self._asked = 0
        self._last_filler = ""
        self._typed = 0
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._thinking: asyncio.Task[None] | None = None
        parts.user.add_event_handler("on_user_turn_started", self._caller_speaks)
        parts.user.add_event_handler("on_user_turn_stopped", self._caller_has_spoken)
        parts.user.add_event_handler("on_user_turn_idle", self._caller_is_silent)

    def connected(self) -> None:
        """The caller is there."""
        if self._settings.greeting:
            self._spawn(self._greet(self._settings.greeting))
        else:
            self._spawn(self._wait())

    def close(self) -> None:
        """Say nothing more. Who gives up ends the call, and so comes here, too."""
        self._closed = True
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()

    async def _greet(self, greeting: str) -> None:
        await asyncio.sleep(LISTEN_SECS)
        if not self._parts.barge_in.is_turn:
            await self._say(greeting)

    async def _wait(self) -> None:
        await asyncio.sleep(LISTEN_SECS)
        if not self._parts.barge_in.is_turn:
            # Pipecat waits for the caller only once the agent has spoken, and has no other way to begin.
            await self._parts.user._user_idle_controller.wait_for_user()

    async def _caller_speaks(self, *_: Any) -> None:
        self._asked = 0
        self._stop_thinking()

    async def _caller_has_spoken(self, _: Any, __: Any, message: Any) -> None:
        self._stop_thinking()
        if message.content and self._settings.filler_secs and self._settings.fillers and not self._closed:
            self._thinking = self._spawn(self._fill())

    async def _fill(self) -> None:
        """Words while nothing of the answer has come; each wait is twice the last."""
        wait = self._settings.filler_secs
        for _ in range(2):
            await asyncio.sleep(wait)
            while self._parts.barge_in.owes_answer and not self._parts.barge_in.is_thinking:
                await asyncio.sleep(AGAIN_SECS)
            if not self._parts.barge_in.owes_answer:
                return
            others = [filler for filler in self._settings.fillers if filler != self._last_filler]
            self._last_filler = self._choose(others or self._settings.fillers)
            self._parts.barge_in.aside()
            await self._say(self._last_filler)
            wait *= 2

    async def _caller_is_silent(self, *_: Any) -> None:
        barge_in = self._parts.barge_in
        if self._closed or barge_in.owes_answer:
            return
        if barge_in.typed > self._typed:
            self._typed, self._asked = barge_in.typed, 0
        questions = self._settings.reprompts
        if self._asked < len(questions):
            self._asked += 1
            await self._say(questions[self._asked - 1])
        else:
            self._spawn(self._give_up())

    async def _say(self, text: str) -> None:
        # Straight to the voice: what comes by the brain waits until the brain has answered.
        await self._parts.voice.queue_frame(TTSSpeakFrame(text, append_to_context=False))

    def _stop_thinking(self) -> None:
        if self._thinking is not None:
            self._thinking.cancel()
            self._thinking = None

    def _spawn(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.ensure_future(work)  # pyright: ignore[reportAssignmentType]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
