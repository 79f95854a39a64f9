"""The app: the routes of speech to text."""

from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute

from services.asr.service import AsrService
from services.asr.stream import stream
from services.asr.transcriptions import transcriptions
from services.common.app import service_app


def create_app(service: AsrService) -> Starlette:
    """Build the app of a service."""
    routes = [
        Route("/v1/audio/transcriptions", transcriptions, methods=["POST"]),
        WebSocketRoute("/v1/stream/asr", stream),
    ]
    return service_app(service, routes, max_body_bytes=service.settings.max_upload_bytes)
