"""What a client may say on `/v1/stream/asr`. See docs/protocol.md."""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from engines.protocol import TranscriptionOptions
from engines.wire import OPTION_NAMES
from services.common.errors import Refusal

Id = Annotated[str, Field(min_length=1, max_length=128)]
Context = Annotated[str, Field(max_length=10_000)]
Temperature = Annotated[float, Field(ge=0, le=1)]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Options(_Message):
    """What an utterance asks for; see `TranscriptionOptions`. The connection's defaults stand for what is not given."""

    language: str | None = Field(default=None, pattern=r"^([a-z]{2,3}|auto)$")
    prompt: Context | None = None
    hotwords: Context | None = None
    beam_size: int | None = Field(default=None, ge=1, le=10)
    temperatures: list[Temperature] | None = Field(default=None, min_length=1, max_length=10)
    timestamps: bool = False
    word_timestamps: bool = False


class Start(Options):
    """The first message: the version, the audio's rate, and the defaults of the utterances."""

    type: Literal["start"]
    version: int
    sample_rate: int
    endpointing: Literal["client", "server"] = "client"
    partials: bool = False


class Utterance(Options):
    """Begins an utterance: the binary messages that follow are its audio."""

    type: Literal["utterance"]
    id: Id
    stream: Id | None = None
    partial: bool = False


class End(_Message):
    """Ends the audio of the open utterance."""

    type: Literal["end"]
    id: Id


class Cancel(_Message):
    """Drops an utterance, whether it is open or waits for its answer."""

    type: Literal["cancel"]
    id: Id


class Finish(_Message):
    """No more audio will come: the service answers what it has, and closes."""

    type: Literal["finish"]


@dataclass(frozen=True)
class WrongUtterance:
    """An `utterance` that asks for what cannot be: only it is refused, not the connection with all others."""

    id: str
    reason: str


Message = Start | Utterance | End | Cancel | Finish
_ADAPTER: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])


def parse(text: str) -> Message | WrongUtterance:
    """Read a text frame.

    Raises:
        Refusal: It is not one of the messages; says which field was wrong and what was expected.
    """
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        where = ".".join(str(part) for part in faults[0]["loc"])
        reason = f"{where}: {faults[0]['msg']}" if where else faults[0]["msg"]
        if all(_is_option(fault["loc"]) for fault in faults):
            return WrongUtterance(json.loads(text)["id"], reason)
        raise Refusal("bad_message", reason) from None


def _is_option(where: tuple[Any, ...]) -> bool:
    return len(where) >= 2 and where[0] == "utterance" and where[1] in OPTION_NAMES


def options_for(start: Start, utterance: Utterance) -> TranscriptionOptions:
    """The connection's options, overridden by those that the utterance gives."""
    fields = {name: getattr(start, name) for name in OPTION_NAMES if name in start.model_fields_set}
    fields |= {name: getattr(utterance, name) for name in OPTION_NAMES if name in utterance.model_fields_set}
    if fields.get("temperatures") is not None:
        fields["temperatures"] = tuple(fields["temperatures"])
    return TranscriptionOptions(**fields)
