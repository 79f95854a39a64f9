"""What a client may say on `/v1/stream/asr`. See docs/protocol.md."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from engines.protocol import TranscriptionOptions
from engines.wire import OPTION_NAMES
from services.common import messages
from services.common.messages import Id, WrongRequest
from services.common.messages import Message as Said

WrongUtterance = WrongRequest
Context = Annotated[str, Field(max_length=10_000)]
Temperature = Annotated[float, Field(ge=0, le=1)]


class Options(Said):
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


class End(Said):
    """Ends the audio of the open utterance."""

    type: Literal["end"]
    id: Id


class Cancel(Said):
    """Drops an utterance, whether it is open or waits for its answer."""

    type: Literal["cancel"]
    id: Id


class Finish(Said):
    """No more audio will come: the service answers what it has, and closes."""

    type: Literal["finish"]


Message = Start | Utterance | End | Cancel | Finish
_ADAPTER: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])


def parse(text: str) -> Message | WrongUtterance:
    """Read a text frame.

    Raises:
        Refusal: It is not one of the messages; says which field was wrong and what was expected.
    """
    return messages.parse(_ADAPTER, text, request="utterance", options=OPTION_NAMES)


def options_for(start: Start, utterance: Utterance) -> TranscriptionOptions:
    """The connection's options, overridden by those that the utterance gives."""
    fields = messages.merged(OPTION_NAMES, start, utterance)
    if fields.get("temperatures") is not None:
        fields["temperatures"] = tuple(fields["temperatures"])
    return TranscriptionOptions(**fields)
