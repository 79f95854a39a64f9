"""The stream of a brain's answer: bounded in time and in sentences, in pieces that are worth a frame each."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from loguru import logger
from openai.types.chat import ChatCompletionChunk
from pipecat.utils.string import match_endofsentence

from agent.tools.assembling import ToolCalls


class BrainTimeout(TimeoutError):
    """The endpoint took too long for its first word, or for the next one."""


class ToolLoop(RuntimeError):
    """The brain calls tools without end, and says nothing."""


class BoundedStream:
    """A stream of completion chunks: words in pieces of a few, then the calls of tools. It ends after so many
    sentences, and raises when the next chunk is overdue.
    """

    def __init__(self, stream: Any, timeout_secs: float, max_sentences: int | None, calls: ToolCalls | None = None):
        """
        Args:
            stream: The endpoint's.
            timeout_secs: Longest wait for a chunk.
            max_sentences: Sentences that go through; None lets all.
            calls: Takes calls of tools; None drops them.
        """
        self._stream = stream
        self._timeout_secs = timeout_secs
        self._sentences = SentenceLimit(max_sentences)
        self._pieces = Pieces()
        self._calls = calls
        self.has_words = False

    async def close(self) -> None:
        """Close the connection, so that the endpoint stops writing."""
        await self._stream.close()

    async def __aiter__(self) -> AsyncIterator[ChatCompletionChunk]:
        chunks = aiter(self._stream)
        held: ChatCompletionChunk | None = None
        while (chunk := await self._next(chunks)) is not None:
            delta = chunk.choices[0].delta if chunk.choices else None
            if delta is not None and delta.tool_calls:
                if self._calls is not None:
                    self._calls.take(delta.tool_calls)
                delta.tool_calls = None
            if delta is None or not delta.content:
                if held is not None:
                    yield held
                    held = None
                yield chunk
                continue
            if self._sentences.reached:
                continue
            text = self._sentences.take(delta.content)
            self.has_words = self.has_words or bool(text.strip())
            delta.content = text if held is None else f"{held.choices[0].delta.content}{text}"
            held = chunk
            if self._sentences.reached and self._calls is None:
                break  # With tools the rest is read: a call comes after the words.
            if self._pieces.is_enough(delta.content, text):
                yield held
                held = None
        if held is not None:
            yield held
        if self._calls is None:
            return
        calls = self._calls.chunks()
        if self._calls.dropped:
            logger.warning(f"the brain calls tools too often; {self._calls.dropped} calls were dropped")
            if not calls and not self.has_words:
                raise ToolLoop("it calls tools without end")
        for call in calls:
            yield call

    async def _next(self, chunks: AsyncIterator[ChatCompletionChunk]) -> ChatCompletionChunk | None:
        try:
            async with asyncio.timeout(self._timeout_secs):
                return await anext(chunks, None)
        except TimeoutError as error:
            raise BrainTimeout(f"no more words within {self._timeout_secs:g} s") from error


class Pieces:
    """Joins tokens into pieces of a few words: each piece costs every processor of the pipeline the same.

    The end of a sentence, and the token after it by which the voice knows that it was the end, are not held back.
    """

    ENDS = frozenset(".!?…;:\n。！？")
    MOST_CHARS = 48

    def __init__(self) -> None:
        self._after_end = True  # The first token goes at once: it shows that the brain is at work.

    def is_enough(self, piece: str, newest: str) -> bool:
        """Whether the piece, whose newest token this is, should go on now."""
        enough = self._after_end or len(piece) >= self.MOST_CHARS or not self.ENDS.isdisjoint(newest)
        if newest.strip():
            self._after_end = not self.ENDS.isdisjoint(newest)
        return enough


class SentenceLimit:
    """Lets text through up to the end of the last sentence allowed."""

    def __init__(self, limit: int | None):
        self._left = limit
        self._open = ""

    @property
    def reached(self) -> bool:
        """Whether all sentences allowed have gone through."""
        return self._left == 0

    def take(self, text: str) -> str:
        """The part of the next piece of text that is still allowed."""
        if self._left is None:
            return text
        before = len(self._open)
        self._open += text
        allowed = 0
        # A sentence is over only when another has begun: a full stop may belong to "3.5" or "Mr. Smith".
        while self._left and (end := match_endofsentence(self._open)) and self._open[end:].strip():
            self._left -= 1
            self._open = self._open[end:]
            allowed += end
        return text if self._left else text[: max(0, allowed - before)]
