"""What a tool is."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pipecat.services.llm_service import FunctionCallParams


class ToolError(Exception):
    """A tool could not do what it was asked. Its message is told to the brain, which may say it to the caller."""


@dataclass(frozen=True)
class Tool:
    """Something the brain may call.

    Attributes:
        name: By which the brain calls it: up to 64 letters, digits, `_` and `-`.
        description: What it does and when to use it, for the brain.
        properties: A JSON schema for each argument.
        required: The arguments that must be given.
        run: Does it. Takes Pipecat's parameters of the call; what it returns, or gives to `params.result_callback`, is
            the result. Raises `ToolError` to say why it could not; any other exception is told as a failure only.
        cancel_on_interruption: Whether it ends when the caller speaks over it; None leaves it to the settings.
        timeout_secs: Longest run; None leaves it to the settings.
    """

    name: str
    description: str
    properties: dict[str, Any]
    required: list[str]
    run: Callable[[FunctionCallParams], Awaitable[Any]]
    cancel_on_interruption: bool | None = None
    timeout_secs: float | None = None
