"""The app: routes and what every route shares."""

import time

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from services.asr.service import AsrService
from services.asr.stream import stream
from services.asr.transcriptions import transcriptions
from services.common.limits import BodyLimit
from services.common.state import Status
from services.common.web import error_handlers


def create_app(service: AsrService) -> Starlette:
    """Build the app of a service."""
    created = int(time.time())

    async def health(_: Request) -> Response:
        body = await service.health()
        return JSONResponse(body, 200 if body["status"] == Status.OK else 503)

    async def metrics(request: Request) -> Response:
        service.access.check(request.headers)
        return Response(service.metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def models(request: Request) -> Response:
        service.access.check(request.headers)
        model = {"id": service.model, "object": "model", "created": created, "owned_by": "voice-agent"}
        return JSONResponse({"object": "list", "data": [model]})

    app = Starlette(
        routes=[
            Route("/health", health),
            Route("/metrics", metrics),
            Route("/v1/models", models),
            Route("/v1/audio/transcriptions", transcriptions, methods=["POST"]),
            WebSocketRoute("/v1/stream/asr", stream),
        ],
        middleware=[Middleware(BodyLimit, most=service.settings.max_upload_bytes)],
        exception_handlers=error_handlers(lambda code: service.metrics.refused.labels(code).inc()),
    )
    app.state.service = service
    return app
