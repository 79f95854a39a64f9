"""Puts together what a brain streams when it calls tools.

Servers differ: OpenAI sends a call in pieces, others send whole calls, several in one chunk, all with index 0, or
without an id. Pipecat reads the first call of a chunk, and drops one whose arguments are not JSON without a word. So
calls are put together here, and passed on as Pipecat expects them: one a chunk, whole, with an object as arguments.
"""

import json
import re
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from openai.types.chat import ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import (
    Choice,
    ChoiceDelta,
    ChoiceDeltaToolCall,
    ChoiceDeltaToolCallFunction,
)

from agent.tools.schema import MALFORMED

MAX_ARGUMENT_CHARS = 20_000
MAX_MALFORMED_CHARS = 200


@dataclass
class _Call:
    id: str
    name: str
    arguments: str = ""


class ToolCalls:
    """The calls of one answer."""

    def __init__(self, most: int):
        """
        Args:
            most: Further calls are dropped.
        """
        self._most = most
        self._calls: list[_Call] = []
        self._newest: dict[int, _Call] = {}
        self.dropped = 0

    def take(self, pieces: list[ChoiceDeltaToolCall]) -> None:
        """Add the pieces of a chunk."""
        for piece in pieces:
            name = (piece.function.name if piece.function else None) or ""
            arguments = (piece.function.arguments if piece.function else None) or ""
            index = piece.index or 0
            call = self._newest.get(index)
            if call is None or self._begins_another(call, piece.id, name):
                call = self._newest[index] = _Call(piece.id or "", name)
                self._calls.append(call)
            call.id = call.id or piece.id or ""
            call.name = call.name or name
            call.arguments = (call.arguments + arguments)[:MAX_ARGUMENT_CHARS]

    @staticmethod
    def _begins_another(call: _Call, new_id: str | None, name: str) -> bool:
        if new_id and call.id and new_id != call.id:
            return True
        # The same id, or none, with a name again: a server that repeats it in each piece, unless the last is whole.
        return bool(name) and (not new_id or not call.id) and _is_object(call.arguments)

    def chunks(self) -> list[ChatCompletionChunk]:
        """The calls, one a chunk; to be asked for when the answer has ended."""
        named = [call for call in self._calls if call.name]
        self.dropped = max(0, len(named) - self._most)
        return [_chunk(index, call) for index, call in enumerate(named[: self._most])]


def _chunk(index: int, call: _Call) -> ChatCompletionChunk:
    function = ChoiceDeltaToolCallFunction(
        # A name that the endpoint would not take back as part of the history must not get into it.
        name=re.sub(r"[^A-Za-z0-9_-]", "_", call.name)[:64],
        arguments=json.dumps(_object(call.arguments), ensure_ascii=False),
    )
    whole = ChoiceDeltaToolCall(
        index=index, id=call.id or f"call_{uuid4().hex[:12]}", function=function, type="function"
    )
    choice = Choice(index=0, delta=ChoiceDelta(tool_calls=[whole]))
    return ChatCompletionChunk(id="", choices=[choice], created=0, model="", object="chat.completion.chunk")


def _object(text: str) -> dict[str, Any]:
    try:
        arguments = json.loads(text.strip() or "{}")
    except (json.JSONDecodeError, RecursionError):
        return {MALFORMED: text[:MAX_MALFORMED_CHARS]}
    if arguments is None:
        return {}
    return arguments if isinstance(arguments, dict) else {MALFORMED: text[:MAX_MALFORMED_CHARS]}


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (json.JSONDecodeError, RecursionError):
        return False
