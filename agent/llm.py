"""Pipecat's OpenAI service, held to a voice agent's manners: short answers, bounded waits, a bounded history, tools
only where the endpoint takes them.
"""

import asyncio
from contextvars import ContextVar
from typing import Any

from loguru import logger
from openai import APIStatusError, AsyncOpenAI, DefaultAsyncHttpxClient
from pipecat.frames.frames import ErrorFrame, LLMContextSummaryRequestFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.utils.context.llm_context_summarization import LLMContextSummarizationUtil
from pipecat.utils.file_resolver import FileResolver, FileResolverError
from pipecat.utils.http import connection_limits

from agent.brain import Brain
from agent.history import calls_since_caller, trim_history
from agent.stream import BoundedStream, BrainTimeout
from agent.tools.assembling import ToolCalls
from agent.tools.toolbox import ToolBox, chars_of

SUMMARY_WRITING_SECS = 25.0
SUMMARY_PAUSE_SECS = 60.0
"""After a summary that failed, before the next is tried."""

MIN_HISTORY_CHARS = 400
_answering: ContextVar[bool] = ContextVar("answering", default=False)
"""Whether what is asked now is the caller's answer, and not a summary."""

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


class SummaryError(RuntimeError):
    """There is no summary; the conversation goes on without."""


class GuessFailed(Exception):
    """What was asked ahead of the turn's end failed; nobody waits for it."""


class BrainLLMService(OpenAILLMService):
    """The brain of one call.

    An endpoint that is down, slow or wrong becomes an `ErrorFrame` whose exception says which; the call goes on.
    """

    # Many servers know only the roles system, user and assistant.
    supports_developer_role = False

    def __init__(self, brain: Brain, client: AsyncOpenAI, tools: ToolBox | None = None):
        """
        Args:
            brain: What to ask, and how. Its model should be known.
            client: The process' client of it, from `new_client`. The service does not close it.
            tools: Knows whether the endpoint takes tools; which there are stands in the context.
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
        super().__init__(
            file_resolver=_NoFiles(),
            settings=OpenAILLMService.Settings(
                model=brain.model or "default", system_instruction=brain.system_prompt, **options
            ),
        )
        self._brain = brain
        self._tools = tools or ToolBox()
        self._stream: BoundedStream | None = None
        self._summary: asyncio.Task[tuple[str, Any]] | None = None

    @property
    def has_spoken(self) -> bool:
        """Whether the newest answer has words, and not only calls of tools."""
        return self._stream is not None and self._stream.has_words

    async def cleanup(self) -> None:
        """Leave the slot to another call."""
        await super().cleanup()
        if self._summary is not None:
            await self.cancel_task(self._summary)
            self._summary = None
        if self._slot is not None and self._brain.server is not None:
            self._brain.server.release_slot(self._slot)
            self._slot = None

    @property
    def is_guessing(self) -> bool:
        """Whether it works ahead of the turn's end, or holds what came of that."""
        return self._speculation_gate.is_speculating

    async def push_error_frame(self, error: ErrorFrame, force_treat_as_permanent: bool = False) -> None:
        """As Pipecat's; what was asked ahead may fail unheard, since it is asked again when the turn is over."""
        if self.is_guessing:
            failed = GuessFailed(str(error.exception or error.error))
            failed.__cause__ = error.exception
            error.exception = failed
        await super().push_error_frame(error, force_treat_as_permanent)

    def create_client(self, *_: Any, **__: Any) -> AsyncOpenAI:
        """The client of the process. Pipecat would make one a call, and leave its connections open."""
        return self._shared_client

    async def get_chat_completions(self, context: LLMContext) -> Any:
        """The answer's stream, within the brain's bounds."""
        brain = self._brain
        trim_history(
            context,
            brain.history_messages,
            keep_first=2 * len(brain.examples),
            most_chars=max(MIN_HISTORY_CHARS, brain.history_chars - self._tools_chars(context)),
        )
        most_calls = self._tools.max_calls - calls_since_caller(context.get_messages())
        try:
            async with asyncio.timeout(brain.timeout_secs):
                stream = await self._ask(context if most_calls > 0 else _without_tools(context))
        except TimeoutError as error:
            raise BrainTimeout(f"no answer within {brain.timeout_secs:g} s") from error
        calls = ToolCalls(max(0, most_calls)) if context.tools else None
        self._stream = BoundedStream(stream, brain.timeout_secs, brain.max_sentences, calls)
        return self._stream

    def _tools_chars(self, context: LLMContext) -> int:
        """What the tools, and what Pipecat tells the brain about them, take from the history. They are English or JSON,
        which has twice as many characters a token as the history is counted with.
        """
        told = len(str(self._settings.system_instruction or "")) - len(self._brain.system_prompt)
        return (chars_of(context.tools or None) + max(0, told)) // 2

    async def _ask(self, context: LLMContext) -> Any:
        _answering.set(True)
        if not context.tools or self._tools.are_refused:
            return await super().get_chat_completions(_without_tools(context))
        try:
            return await super().get_chat_completions(context)
        except APIStatusError as error:
            if not self._tools.blames(error):
                raise
            stream = await super().get_chat_completions(_without_tools(context))
            self._tools.went_without(error)
            return stream

    def build_chat_completion_params(self, params_from_context: Any) -> dict[str, Any]:
        """As Pipecat's. A conversation stays in its slot of a server in this process; a summary takes any other."""
        params = super().build_chat_completion_params(params_from_context)
        if self._slot is not None and _answering.get():
            params["extra_body"] = {**params.get("extra_body", {}), "id_slot": self._slot}
        return params

    async def _generate_summary(self, frame: LLMContextSummaryRequestFrame) -> tuple[str, int]:
        """A summary, and the index of the last message that is in it.

        One that is asked for while another is written joins that one: the aggregator asks anew after each interruption.
        Messages may have been forgotten meanwhile, so the index is that of the same message now.
        """
        if self._summary is None or self._summary.done():
            self._summary = self.create_task(self._summarize(frame))
        summary, last = await asyncio.shield(self._summary)
        for index, message in enumerate(frame.context.get_messages()):
            if message is last:
                return summary, index
        raise SummaryError("what it sums up has been forgotten meanwhile")

    async def _summarize(self, frame: LLMContextSummaryRequestFrame) -> tuple[str, Any]:
        _answering.set(False)
        chosen = LLMContextSummarizationUtil.get_messages_to_summarize(frame.context, frame.min_messages_to_keep)
        try:
            async with asyncio.timeout(SUMMARY_WRITING_SECS):
                summary, _ = await super()._generate_summary(frame)
        except Exception as error:
            # An endpoint's own words may repeat what was said.
            kind = f"{type(error).__name__} {getattr(error, 'status_code', '')}".strip()
            logger.warning(f"the conversation could not be summarised ({kind}); its oldest words will be forgotten")
            await asyncio.sleep(SUMMARY_PAUSE_SECS)
            raise SummaryError(kind) from None
        return summary, chosen.messages[-1]


def _without_tools(context: LLMContext) -> LLMContext:
    return LLMContext(messages=context.get_messages())
