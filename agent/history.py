"""How much of a conversation the brain is sent: the oldest words are summarised by the brain, or forgotten."""

from typing import Any, cast

from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMAssistantAggregatorParams
from pipecat.utils.context.llm_context_summarization import (
    CHARS_PER_TOKEN,
    LLMAutoContextSummarizationConfig,
    LLMContextSummaryConfig,
)

from agent.brain import Brain

SUMMARY_MARK = "[Earlier in this call]"
"""What the message that holds the summary begins with."""

SUMMARY_PROMPT = (
    "You write notes for a voice assistant about a phone call that goes on. Sum up the conversation so far. Keep every "
    "name, number, date, wish, promise and open question, and all that an earlier summary says; leave out greetings "
    "and small talk. Write plain short sentences in the language of the call, nothing else."
)
MOST_SUMMARY_TOKENS = 800
SUMMARY_SECS = 90.0
"""Longest wait for a summary, the pause after one that failed included."""

KEPT_MESSAGES = 8
MESSAGES_SHARE = 2 / 3
"""Of the messages that may be sent; more since the last summary ask for the next."""


def assistant_params(brain: Brain, llm: Any) -> LLMAssistantAggregatorParams:
    """How Pipecat's aggregator summarises the conversation with this brain; not at all for the packaged model.

    Args:
        brain: Its `history_chars` and `history_messages` are what may be sent.
        llm: The call's service of it. Asked by the aggregator itself, outside of the pipeline: a summary that fails is
            then logged, and not told to the caller as a fault of the brain.
    """
    if brain.summarize_share is None or brain.small:
        return LLMAssistantAggregatorParams()
    tokens = int(brain.summarize_share * brain.history_chars / CHARS_PER_TOKEN)
    return LLMAssistantAggregatorParams(
        enable_auto_context_summarization=True,
        auto_context_summarization_config=LLMAutoContextSummarizationConfig(
            max_context_tokens=tokens,
            max_unsummarized_messages=max(KEPT_MESSAGES + 2, int(MESSAGES_SHARE * brain.history_messages)),
            summary_config=LLMContextSummaryConfig(
                target_context_tokens=min(MOST_SUMMARY_TOKENS, max(64, tokens // 3)),
                min_messages_after_summary=KEPT_MESSAGES,
                summarization_prompt=SUMMARY_PROMPT,
                summary_message_template=SUMMARY_MARK + " {summary}",
                summarization_timeout=SUMMARY_SECS,
                llm=llm,
            ),
        ),
    )


def trim_history(context: LLMContext, most: int, *, keep_first: int = 0, most_chars: int | None = None) -> None:
    """Forget the oldest messages once more than `most`, or `most_chars` characters, follow the first `keep_first` and
    the summary.

    Half of them go at once: while a conversation only grows, a server that keeps its last prompt has little to read.
    What remains begins with a message of the caller, since some models refuse a conversation that the agent begins, and
    the caller's last message stays. A call of a tool stays or goes with its result. A single message that is too long
    loses its beginning, a tool's result its end.
    """
    messages = cast(list[Any], context.get_messages())
    first, rest = messages[:keep_first], messages[keep_first:]
    if rest and is_summary(rest[0]):
        summary = _shortened(rest[0], None if most_chars is None else most_chars // 2)
        first, rest = [*first, summary], rest[1:]
        most_chars = None if most_chars is None else most_chars - _chars([summary])
    rest = [_shortened(message, most_chars) for message in rest]
    while len(rest) > 1 and (len(rest) > most or (most_chars is not None and _chars(rest) > most_chars)):
        shorter = _shorter(rest, most)
        if shorter is None:
            break
        rest = shorter
    if most_chars is not None and _chars(rest) > most_chars:
        rest = [_shortened(message, most_chars // len(rest)) for message in rest]
    context.set_messages([*first, *rest])


def is_summary(message: Any) -> bool:
    """Whether this message holds the summary of what came before."""
    content = message.get("content") if isinstance(message, dict) else None
    return _role(message) == "user" and isinstance(content, str) and content.startswith(SUMMARY_MARK)


def calls_since_caller(messages: list[Any]) -> int:
    """Calls of tools since the caller last said something."""
    count = 0
    for message in reversed(messages):
        if _role(message) == "user":
            break
        count += len(message.get("tool_calls") or ()) if isinstance(message, dict) else 0
    return count


def _shorter(messages: list[Any], most: int) -> list[Any] | None:
    half = messages[-max(1, min(most, len(messages)) // 2) :]
    begins = next((at for at, message in enumerate(half) if _role(message) == "user"), None)
    if begins is not None and (begins or len(half) < len(messages)):
        return half[begins:]
    last = max((at for at, message in enumerate(messages) if _role(message) == "user"), default=None)
    if last is None:
        return []
    if last:
        return messages[last:]
    # One question that took many calls of tools: the oldest call goes with its results.
    after = next((at for at in range(2, len(messages)) if _role(messages[at]) != "tool"), None)
    return None if after is None else [messages[0], *messages[after:]]


def _role(message: Any) -> Any:
    return message.get("role") if isinstance(message, dict) else None


def _chars(messages: list[Any]) -> int:
    """Characters of what was said, and of what tools were called with."""
    return sum(
        len(str(message.get("content") or "")) + len(str(message.get("tool_calls") or ""))
        for message in messages
        if isinstance(message, dict)
    )


def _shortened(message: Any, most_chars: int | None) -> Any:
    content = message.get("content") if isinstance(message, dict) else None
    if most_chars is None or not isinstance(content, str) or len(content) <= most_chars:
        return message
    if _role(message) == "tool" or is_summary(message):
        return {**message, "content": content[:most_chars]}
    return {**message, "content": content[-most_chars:]}
