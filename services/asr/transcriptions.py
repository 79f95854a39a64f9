"""`POST /v1/audio/transcriptions`: a file in, its words out, as OpenAI's clients expect."""

import asyncio
import contextlib
from dataclasses import dataclass

from starlette.datastructures import FormData, UploadFile
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from engines.protocol import TranscriptionOptions
from services.asr.audio_files import decode
from services.asr.formats import FORMATS
from services.asr.service import AsrService
from services.common.app import welcome
from services.common.errors import Refusal
from services.common.limits import timely
from services.common.web import unless_hung_up

GRANULARITIES = ("segment", "word")

FIELDS = {
    "file",
    "model",
    "language",
    "prompt",
    "hotwords",
    "response_format",
    "temperature",
    "timestamp_granularities[]",
    "stream",
}
MAX_FIELDS = 20
MAX_FIELD_BYTES = 65_536
CLIENT_CLOSED_REQUEST = 499


@dataclass(frozen=True)
class Order:
    """What a form asks for."""

    file: UploadFile
    model: str | None
    response_format: str
    options: TranscriptionOptions


async def transcriptions(request: Request) -> Response:
    """The endpoint.

    Raises:
        Refusal, EngineError: The request is refused, or the engine could not do it.
    """
    service: AsrService = welcome(request)
    with service.state.request():
        body = Request(request.scope, timely(request.receive, service.state, idle_secs=service.settings.idle_secs))
        try:
            async with body.form(max_files=1, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES) as form:
                order = read_order(form)
                service.check_model(order.model)
                return await unless_hung_up(request, _transcribe(service, order))
        except (ClientDisconnect, asyncio.CancelledError):
            # Nobody reads this: the client has hung up. Or the server cancels us, and answers nothing anyway.
            return Response(status_code=CLIENT_CLOSED_REQUEST)


async def _transcribe(service: AsrService, order: Order) -> Response:
    max_secs = service.settings.max_upload_secs
    pcm = await service.decoders.run(lambda: decode(order.file.file, max_secs=max_secs))
    transcript = await service.transcribe(pcm, order.options, way="file")
    write, media_type = FORMATS[order.response_format]
    written = write(transcript)
    return Response(written, media_type=media_type) if isinstance(written, str) else JSONResponse(written)


def read_order(form: FormData) -> Order:
    """Check a form.

    Raises:
        Refusal: A field is unknown, missing or wrong; names it.
    """
    if unknown := sorted(set(form) - FIELDS - {"timestamp_granularities"}):
        raise Refusal("bad_request", f"unknown field {unknown[0]!r}; expected {', '.join(sorted(FIELDS))}")
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise Refusal("bad_request", "there is no file; expected an audio file in the field 'file'", param="file")
    if (_text(form, "stream") or "false").lower() not in ("false", "0"):
        raise Refusal("unsupported", "stream is not supported here; /v1/stream/asr streams", param="stream")
    wanted = _text(form, "response_format") or "json"
    if wanted not in FORMATS:
        expected = ", ".join(FORMATS)
        raise Refusal(
            "bad_request", f"response_format {wanted!r} is not known; expected {expected}", param="response_format"
        )
    return Order(file, _text(form, "model"), wanted, _options(form, wanted))


def _options(form: FormData, response_format: str) -> TranscriptionOptions:
    name = "timestamp_granularities[]"
    granularities = [str(value) for value in (*form.getlist(name), *form.getlist(name[:-2]))]
    if unknown := [value for value in granularities if value not in GRANULARITIES]:
        raise Refusal("bad_request", f"{name} {unknown[0]!r} is not known; expected segment or word", param=name)
    if granularities and response_format != "verbose_json":
        raise Refusal("bad_request", f"{name} needs response_format verbose_json", param=name)
    temperature = _temperature(_text(form, "temperature"))
    return TranscriptionOptions(
        language=_text(form, "language"),
        prompt=_text(form, "prompt"),
        hotwords=_text(form, "hotwords"),
        # With OpenAI, 0 lets the model raise it by itself where it doubts its result.
        temperatures=(temperature,) if temperature else None,
        timestamps=response_format in ("verbose_json", "srt", "vtt"),
        word_timestamps="word" in granularities,
    )


def _temperature(text: str | None) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= (value := float(text or 0)) <= 1:
            return value
    raise Refusal("bad_request", f"temperature {text!r} is wrong; expected a number from 0 to 1", param="temperature")


def _text(form: FormData, name: str) -> str | None:
    value = form.get(name)
    if isinstance(value, UploadFile):
        raise Refusal("bad_request", f"{name} is a file; expected text", param=name)
    return value.strip() or None if value is not None else None
