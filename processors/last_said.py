"""What the agent said last, as far as the caller has heard it."""

from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMAssistantAggregator


class LastSaid:
    """Reads the conversation, and what of the present answer has been played."""

    def __init__(self, context: LLMContext):
        """
        Args:
            context: The conversation.
        """
        self._context = context
        self._assistant: LLMAssistantAggregator | None = None

    def listen_to(self, assistant: LLMAssistantAggregator) -> None:
        """Follow what is being played."""
        self._assistant = assistant

    def now(self) -> str:
        """What has been played of the answer that is being spoken, else of the last one."""
        playing = self._assistant.aggregation_string() if self._assistant is not None else ""
        return playing or self.last()

    def last(self) -> str:
        """The agent's last words that the brain remembers."""
        for message in reversed(self._context.messages):
            if not isinstance(message, dict):
                continue
            content = message.get("content")
            if message.get("role") == "assistant" and isinstance(content, str):
                return content
        return ""
