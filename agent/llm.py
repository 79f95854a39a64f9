"""Pipecat's OpenAI service, held to a voice agent's manners: short answers, bounded waits, a bounded history."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from openai.types.chat import ChatCompletionChunk
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.utils.file_resolver import FileResolver, FileResolverError
from pipecat.utils.http import connection_limits
from pipecat.utils.string import match_endofsentence

from agent.brain import Brain

OPENAI_HOST = "api.openai.com"
CONNECTIONS = connection_limits(max_connections=1000, max_keepalive_connections=100, keepalive_expiry=60)


class _NoFiles(FileResolver):
    """Fetches nothing: a caller could otherwise have this machine ask any address, by sending it as a file's."""

    async def fetch(self, *_: Any, **__: Any) -> Any:
        raise FileResolverError("this agent takes no files")

    async def classify(self, *_: Any, **__: Any) -> Any:
        raise FileResolverError("this agent takes no files")


def new_client(brain: Brain) -> AsyncOpenAI:
    """A client of the brain's endpoint, for all calls: its connections stay open from one answer to the next.

    It tries once: the caller is waiting, and is told at once that something is wrong.
    """
    return AsyncOpenAI(
        api_key=brain.api_key,
        base_url=brain.base_url,
        max_retries=0,
        http_client=DefaultAsyncHttpxClient(limits=CONNECTIONS),
    )


class BrainTimeout(TimeoutError):
    """The endpoint took too long for its first word, or for the next one."""


class BrainLLMService(OpenAILLMService):
    """The brain of one call.

    An endpoint that is down, slow or wrong becomes an `ErrorFrame` whose exception says which; the call goes on.
    """

    # Many servers know only the roles system, user and assistant.
    supports_developer_role = False

    def __init__(self, brain: Brain, client: AsyncOpenAI):
        """
        Args:
            brain: What to ask, and how. Its model should be known.
            client: The process' client of it, from `new_client`. The service does not close it.
        """
        self._shared_client = client
        # OpenAI's own newest models refuse the name that every other server knows.
        limit = "max_completion_tokens" if OPENAI_HOST in brain.base_url else "max_tokens"
        options: dict[str, Any] = {limit: brain.max_tokens}
        if brain.temperature is not None:
            options["temperature"] = brain.temperature
        if brain.frequency_penalty is not None:
            options["frequency_penalty"] = brain.frequency_penalty
        self._slot = brain.server.take_slot() if brain.server else None
        if self._slot is not None:
            options["extra"] = {"extra_body": {"id_slot": self._slot}}
        super().__init__(
            file_resolver=_NoFiles(),
            settings=OpenAILLMService.Settings(
                model=brain.model or "default", system_instruction=brain.system_prompt, **options
            ),
        )
        self._brain = brain

    async def cleanup(self) -> None:
        """Leave the slot to another call."""
        await super().cleanup()
        if self._slot is not None and self._brain.server is not None:
            self._brain.server.release_slot(self._slot)
            self._slot = None

    def create_client(self, *_: Any, **__: Any) -> AsyncOpenAI:
        """The client of the process. Pipecat would make one a call, and leave its connections open."""
        return self._shared_client

    async def get_chat_completions(self, context: LLMContext) -> Any:
        """The answer's stream, within the brain's bounds."""
        brain = self._brain
        trim_history(
            context, brain.history_messages, keep_first=2 * len(brain.examples), most_chars=brain.history_chars
        )
        try:
            async with asyncio.timeout(self._brain.timeout_secs):
                stream = await super().get_chat_completions(context)
        except TimeoutError as error:
            raise BrainTimeout(f"no answer within {self._brain.timeout_secs:g} s") from error
        return BoundedStream(stream, self._brain.timeout_secs, self._brain.max_sentences)


class BoundedStream:
    """A stream of completion chunks, in pieces of a few words. It ends after so many sentences, and raises when the
    next chunk is overdue.
    """

    def __init__(self, stream: Any, timeout_secs: float, max_sentences: int | None):
        self._stream = stream
        self._timeout_secs = timeout_secs
        self._sentences = SentenceLimit(max_sentences)
        self._pieces = Pieces()

    async def close(self) -> None:
        """Close the connection, so that the endpoint stops writing."""
        await self._stream.close()

    async def __aiter__(self) -> AsyncIterator[ChatCompletionChunk]:
        chunks = aiter(self._stream)
        held: ChatCompletionChunk | None = None
        while (chunk := await self._next(chunks)) is not None:
            delta = chunk.choices[0].delta if chunk.choices else None
            if delta is None or not delta.content or delta.tool_calls:
                if held is not None:
                    yield held
                    held = None
                yield chunk
                continue
            text = self._sentences.take(delta.content)
            delta.content = text if held is None else f"{held.choices[0].delta.content}{text}"
            held = chunk
            if self._sentences.reached:
                break
            if self._pieces.is_enough(delta.content, text):
                yield held
                held = None
        if held is not None:
            yield held

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


def trim_history(context: LLMContext, most: int, *, keep_first: int = 0, most_chars: int | None = None) -> None:
    """Forget the oldest messages once more than `most`, or `most_chars` characters, follow the first `keep_first`.

    Half of them go at once: while a conversation only grows, a server that keeps its last prompt has little to read.
    What remains begins with a message of the caller, since some models refuse a conversation that the agent begins. A
    single message that is too long loses its beginning.
    """
    messages = context.get_messages()
    first, rest = messages[:keep_first], messages[keep_first:]
    if most_chars is not None:
        rest = [_shortened(message, most_chars) for message in rest]
    while len(rest) > 1 and (len(rest) > most or (most_chars is not None and _chars(rest) > most_chars)):
        rest = rest[-max(1, min(most, len(rest)) // 2) :]
        while rest and not (isinstance(rest[0], dict) and rest[0].get("role") == "user"):
            rest = rest[1:]
    context.set_messages([*first, *rest])


def _chars(messages: list[Any]) -> int:
    return sum(len(str(message.get("content") or "")) for message in messages if isinstance(message, dict))


def _shortened(message: Any, most_chars: int) -> Any:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str) and len(content) > most_chars:
        return {**message, "content": content[-most_chars:]}
    return message
