"""The HTTP app: the page, signalling, health, metrics."""

import importlib.metadata
import importlib.util
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.access import COOKIE, Access
from agent.calls import Calls, ice_config
from agent.errors import BadRequest, RequestError, TokenRequired, TooLarge
from agent.metrics import Metrics
from configs.settings import Settings
from transports.webrtc import SignallingError, parse_candidates, parse_offer

PAGE = Path(__file__).parent.parent / "transports" / "web" / "dist"
LOCAL_DAILY = Path(__file__).parent.parent / "transports" / "prebuilt" / "local-daily.js"
COOKIE_SECS = 30 * 24 * 3600
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=(self)",
}
PAGE_POLICY = (
    "default-src 'self'; img-src 'self' data:; media-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
    "worker-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)


def version() -> str:
    """The version of the installed project."""
    return importlib.metadata.version("voice-agent")


class BodyLimit:
    """ASGI middleware that refuses a body larger than `most` bytes, without reading it whole."""

    def __init__(self, app: ASGIApp, most: int):
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        error = TooLarge("The request is too large.", where="body", expected=f"at most {self._most} bytes")
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._most:
            await JSONResponse(error.body(), error.status)(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._most:
                raise error
            return message

        await self._app(scope, counted, send)


def create_app(settings: Settings, calls: Calls, metrics: Metrics, info: Callable[[], dict[str, Any]]) -> FastAPI:
    """Build the app.

    Args:
        settings: The settings.
        calls: Where offers go.
        metrics: What `/metrics` shows.
        info: What the page is told of the agent; see `GET /api/info`.
    """
    app = FastAPI(title="Voice agent", version=version(), docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(BodyLimit, most=settings.server.max_body_bytes)
    access = Access(settings.server)
    began_at = time.monotonic()

    @app.exception_handler(RequestError)
    async def _(_: Request, error: RequestError) -> Response:
        metrics.refused.labels(error.code).inc()
        return JSONResponse(error.body(), error.status, headers=error.headers())

    @app.exception_handler(SignallingError)
    async def _(_: Request, error: SignallingError) -> Response:
        refused = BadRequest(f"{error}.", where=error.where, expected=error.expected)
        metrics.refused.labels(refused.code).inc()
        return JSONResponse(refused.body(), refused.status)

    @app.middleware("http")
    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        try:
            access.check_origin(request.headers)
            response = await call_next(request)
        except RequestError as error:
            metrics.refused.labels(error.code).inc()
            response = JSONResponse(error.body(), error.status, headers=error.headers())
        response.headers.update(SECURITY_HEADERS)
        if not request.url.path.startswith("/client"):
            response.headers["Content-Security-Policy"] = PAGE_POLICY
        return response

    def authorize(request: Request) -> None:
        access.check_token(request.headers, request.cookies)

    async def body_of(request: Request) -> Any:
        try:
            return await request.json()
        except (ValueError, RecursionError):
            raise BadRequest("The body is not JSON.", where="body", expected="a JSON object") from None

    @app.get("/api/info")
    async def _(request: Request) -> dict[str, Any]:
        authorize(request)
        return info()

    @app.post("/api/token")
    async def _(request: Request) -> Response:
        body = await body_of(request)
        token = body.get("token") if isinstance(body, dict) else None
        if not isinstance(token, str) or not access.accepts(token.strip()):
            raise TokenRequired("That access token is not the right one.", where="token", expected="the access token")
        response = Response(status_code=204)
        return _with_cookie(response, token.strip(), request) if access.needs_token else response

    @app.post("/start")
    async def _(request: Request) -> dict[str, Any]:
        authorize(request)
        if await request.body():
            body = await body_of(request)
            if not isinstance(body, dict):
                raise BadRequest("The body is not an object.", where="body", expected="a JSON object, or nothing")
            if body.get("transport", "webrtc") != "webrtc":
                raise BadRequest("Only calls over WebRTC are taken.", where="transport", expected='"webrtc"')
        started: dict[str, Any] = {"sessionId": calls.new_session()}
        if settings.server.ice_servers:
            started["iceConfig"] = {"iceServers": ice_config(settings.server)}
        return started

    @app.post("/api/offer")
    async def _(request: Request) -> dict[str, str]:
        authorize(request)
        return await calls.offer(parse_offer(await body_of(request)))

    @app.patch("/api/offer")
    async def _(request: Request) -> dict[str, str]:
        authorize(request)
        await calls.add_candidates(parse_candidates(await body_of(request)))
        return {"status": "success"}

    @app.post("/sessions/{session}/api/offer")
    async def _(request: Request, session: str) -> dict[str, str]:
        authorize(request)
        offer = parse_offer(await body_of(request))
        calls.check_session(session, offer.pc_id)
        return await calls.offer(offer, session)

    @app.patch("/sessions/{_session}/api/offer")
    async def _(request: Request, _session: str) -> dict[str, str]:
        authorize(request)
        await calls.add_candidates(parse_candidates(await body_of(request)))
        return {"status": "success"}

    @app.get("/health")
    async def _() -> dict[str, Any]:
        return {
            "status": "ok",
            "version": version(),
            "uptime_secs": round(time.monotonic() - began_at, 1),
            "active_calls": calls.count,
            "max_calls": settings.server.max_calls,
        }

    @app.get("/ready")
    async def _() -> Response:
        reason = await calls.not_ready()
        return JSONResponse({"ready": reason is None, "reason": reason}, 200 if reason is None else 503)

    @app.get("/metrics")
    async def _(request: Request) -> Response:
        authorize(request)
        return PlainTextResponse(metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/", include_in_schema=False, response_model=None)
    async def _(request: Request) -> Response:
        token = request.query_params.get("token")
        if token is not None and access.needs_token and access.accepts(token):
            return _with_cookie(RedirectResponse("/", status_code=303), token, request)
        return await page.get_response("index.html", request.scope)

    @app.get("/client/assets/daily-esm-{build}.js", response_model=None)
    async def _(build: str) -> Response:  # noqa: ARG001
        return FileResponse(LOCAL_DAILY, media_type="text/javascript")

    app.mount("/client", StaticFiles(directory=prebuilt_client(), html=True), name="client")
    page = StaticFiles(directory=PAGE, html=True)
    app.mount("/", page, name="page")
    return app


def prebuilt_client() -> Path:
    """The folder of Pipecat's prebuilt client. Importing its package would print to the terminal."""
    found = importlib.util.find_spec("pipecat_ai_prebuilt")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent / "client" / "dist"


def _with_cookie(response: Response, token: str, request: Request) -> Response:
    response.set_cookie(
        COOKIE, token, max_age=COOKIE_SECS, httponly=True, samesite="strict", secure=request.url.scheme == "https"
    )
    return response
