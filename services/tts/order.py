"""What a body of `POST /v1/audio/speech` asks for."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engines.protocol import SpeechOptions
from services.common.errors import Refusal
from services.tts.messages import Options, options_of

VoiceName = Annotated[str, Field(min_length=1, max_length=128)]
Format = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]


class _VoiceId(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    id: VoiceName


class Order(Options):
    """OpenAI's fields, and beside them ours: those of `SpeechOptions`.

    `instructions` are taken and not followed. `live` says that somebody listens while it is made.
    """

    model: str | None = None
    input: str = Field(min_length=1)
    voice: VoiceName | _VoiceId | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    response_format: Format = "mp3"
    speed: float | None = Field(default=None, ge=0.25, le=4, allow_inf_nan=False)
    instructions: str | None = None
    stream_format: Literal["audio", "sse"] = "audio"
    live: bool = False

    @property
    def options(self) -> SpeechOptions:
        """For the engine."""
        voice = self.voice.id if isinstance(self.voice, _VoiceId) else self.voice
        return options_of(self.model_copy(update={"voice": voice}))


def read_order(body: bytes, *, max_chars: int) -> Order:
    """Check a body.

    Raises:
        Refusal: It is not JSON, or a field is unknown, missing or wrong; names it.
    """
    try:
        order = Order.model_validate_json(body)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        param = str(fault["loc"][0]) if fault["loc"] else None
        where = f"{param}: " if param else "the body is not what is expected: "
        raise Refusal("bad_request", f"{where}{fault['msg']}", param=param) from None
    if order.stream_format != "audio":
        message = "stream_format 'sse' is not supported here; expected 'audio', which is streamed as it is made"
        raise Refusal("unsupported", message, param="stream_format")
    if len(order.input) > max_chars:
        message = f"the input has {len(order.input)} characters; expected at most {max_chars}"
        raise Refusal("too_long", message, param="input")
    return order
