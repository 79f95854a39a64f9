"""How the services read what a client says: JSON objects with a `type`, strictly."""

import json
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from services.common.errors import Refusal

Id = Annotated[str, Field(min_length=1, max_length=128)]
M = TypeVar("M")


class Message(BaseModel):
    """Fields that are not known, and numbers written as text, are faults."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


@dataclass(frozen=True)
class WrongRequest:
    """A request that asks for what cannot be: only it is refused, not the connection with all others."""

    id: str
    reason: str


def parse(adapter: TypeAdapter[M], text: str, *, request: str, options: tuple[str, ...]) -> M | WrongRequest:
    """Read a text frame.

    Args:
        adapter: Of the messages.
        text: The frame.
        request: Type of the message that begins a request.
        options: Its fields that concern nobody else: a fault in them is the request's own.

    Raises:
        Refusal: It is not one of the messages; says which field was wrong and what was expected.
    """
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        where = ".".join(str(part) for part in faults[0]["loc"])
        reason = f"{where}: {faults[0]['msg']}" if where else faults[0]["msg"]
        if all(_is_option(fault["loc"], request, options) for fault in faults):
            return WrongRequest(json.loads(text)["id"], reason)
        raise Refusal("bad_message", reason) from None


def _is_option(where: tuple[Any, ...], request: str, options: tuple[str, ...]) -> bool:
    return len(where) >= 2 and where[0] == request and where[1] in options


def merged(names: tuple[str, ...], defaults: Message, own: Message) -> dict[str, Any]:
    """The fields of a request: the connection's defaults, overridden by what it gives itself."""
    fields = {name: getattr(defaults, name) for name in names if name in defaults.model_fields_set}
    return fields | {name: getattr(own, name) for name in names if name in own.model_fields_set}
