"""The app: the routes of text to speech."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from services.common.app import service_app, welcome
from services.tts.service import TtsService
from services.tts.speech import Speech
from services.tts.stream import stream

BYTES_PER_CHAR = 12
"""JSON may write one as two escapes of six."""

OTHER_BYTES = 65_536


def create_app(service: TtsService) -> Starlette:
    """Build the app of a service."""
    routes = [
        Route("/v1/audio/speech", Speech(), methods=["POST"]),
        Route("/v1/voices", _voices),
        WebSocketRoute("/v1/stream/tts", stream),
    ]
    most = OTHER_BYTES + BYTES_PER_CHAR * service.settings.max_text_chars
    return service_app(service, routes, max_body_bytes=most)


async def _voices(request: Request) -> Response:
    service: TtsService = welcome(request)
    service.state.check_open()
    return JSONResponse({"voices": await service.voices()})
