"""What a client may say on `/v1/stream/tts`. See docs/protocol.md."""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from engines.protocol import SpeechOptions
from engines.wire import SPEECH_OPTION_NAMES
from services.common import messages
from services.common.messages import Id, WrongRequest
from services.common.messages import Message as Said

STREAM_OPTIONS = (*SPEECH_OPTION_NAMES, "format", "sample_rate", "ahead_secs")
"""Fields that concern one stream: a fault in them is its own."""


def _number(**bounds: Any) -> Any:
    return Field(default=None, allow_inf_nan=False, **bounds)


class Options(Said):
    """How a stream is spoken; see `SpeechOptions`. The connection's defaults stand for what is not given."""

    voice: str | None = Field(default=None, min_length=1, max_length=128)
    speed: float | None = _number(ge=0.5, le=2)
    temperature: float | None = _number(gt=0, le=5)
    top_p: float | None = _number(gt=0, le=1)
    top_k: int | None = Field(default=None, ge=0, le=100_000)
    min_p: float | None = _number(ge=0, le=1)
    repetition_penalty: float | None = _number(ge=1, le=5)
    cfg_weight: float | None = _number(ge=0, le=1)
    exaggeration: float | None = _number(ge=0, le=2)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    live: bool = True


class StreamOptions(Options):
    """Options, and how the sound is sent: at which rate, in Hz, and how far ahead of what was heard."""

    format: Literal["pcm16"] = "pcm16"
    sample_rate: int | None = None
    ahead_secs: float | None = _number(gt=0, le=3600)


class Start(StreamOptions):
    """The first message: the version, and the defaults of the streams."""

    type: Literal["start"]
    version: int


class Speak(StreamOptions):
    """Opens a stream."""

    type: Literal["speak"]
    id: Id


class Text(Said):
    """A piece of a stream's text, of any length."""

    type: Literal["text"]
    id: Id
    text: str


class Flush(Said):
    """Nothing follows for now: what has come of a stream's text is spoken."""

    type: Literal["flush"]
    id: Id


class End(Said):
    """The text of a stream is complete."""

    type: Literal["end"]
    id: Id


class Heard(Said):
    """The client has done with so many samples of a stream's sound, counted from its first."""

    type: Literal["heard"]
    id: Id
    samples: int = Field(ge=0)


class Cancel(Said):
    """Drops a stream."""

    type: Literal["cancel"]
    id: Id


class Voices(Said):
    """Asks for the voices."""

    type: Literal["voices"]


class Finish(Said):
    """No more text will come: the service speaks what it has, and closes."""

    type: Literal["finish"]


Message = Start | Speak | Text | Flush | End | Heard | Cancel | Voices | Finish
_ADAPTER: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])


def parse(text: str) -> Message | WrongRequest:
    """Read a text frame.

    Raises:
        Refusal: It is not one of the messages; says which field was wrong and what was expected.
    """
    return messages.parse(_ADAPTER, text, request="speak", options=STREAM_OPTIONS)


def complete(start: Start, speak: Speak) -> StreamOptions:
    """The connection's options, overridden by those that the stream gives."""
    return StreamOptions(**messages.merged(STREAM_OPTIONS, start, speak))


def options_of(asked: Options) -> SpeechOptions:
    """The options for the engine."""
    return SpeechOptions(**{name: getattr(asked, name) for name in SPEECH_OPTION_NAMES})
