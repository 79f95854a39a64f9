"""Bounds a request's body while it is read."""

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.common.errors import Refusal


class BodyLimit:
    """ASGI middleware that refuses a body larger than `most` bytes, without reading the rest of it."""

    def __init__(self, app: ASGIApp, most: int):
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = Refusal("too_large", f"the body is too large; expected at most {self._most} bytes")
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._most:
            await JSONResponse(refusal.body(), refusal.status, headers=refusal.headers())(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._most:
                raise refusal
            return message

        await self._app(scope, counted, send)
