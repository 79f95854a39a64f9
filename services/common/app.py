"""The app of every service: the routes that all have, and what every route shares."""

import time
from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from services.common.limits import BodyLimit
from services.common.service import Service
from services.common.state import Status
from services.common.web import error_handlers


def service_app(service: Service, routes: Sequence[BaseRoute], *, max_body_bytes: int) -> Starlette:
    """Build the app of a service.

    Args:
        service: What it serves; its endpoints find it as `app.state.service`.
        routes: Its own routes, beside `/health`, `/metrics` and `/v1/models`.
        max_body_bytes: Largest body of a request.
    """
    model = {"id": service.model, "object": "model", "created": int(time.time()), "owned_by": "voice-agent"}
    app = Starlette(
        routes=[
            Route("/health", _health),
            Route("/metrics", _metrics),
            Route("/v1/models", _models),
            Route("/v1/models/{id:path}", _model),
            *routes,
        ],
        middleware=[Middleware(BodyLimit, most=max_body_bytes)],
        exception_handlers=error_handlers(lambda code: service.metrics.refused.labels(code).inc()),
    )
    app.state.service, app.state.model = service, model
    return app


def welcome(request: Request) -> Any:
    """The service of a request, of which it is certain that it may be made.

    Raises:
        Refusal: It shows no token, or is made by a page of another site.
    """
    service: Service = request.app.state.service
    service.access.check(request.headers)
    return service


async def _health(request: Request) -> Response:
    body = await request.app.state.service.health()
    return JSONResponse(body, 200 if body["status"] == Status.OK else 503)


async def _metrics(request: Request) -> Response:
    exposition = welcome(request).metrics.exposition()
    return Response(exposition, media_type="text/plain; version=0.0.4; charset=utf-8")


async def _models(request: Request) -> Response:
    welcome(request)
    return JSONResponse({"object": "list", "data": [request.app.state.model]})


async def _model(request: Request) -> Response:
    welcome(request).check_model(request.path_params["id"])
    return JSONResponse(request.app.state.model)
