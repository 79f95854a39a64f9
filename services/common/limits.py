"""Bounds a request's body while it is read: its size, and the time it takes."""

import asyncio

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.common.errors import Refusal
from services.common.state import ServiceState, going_away

SLOWEST_BYTES_PER_SEC = 4_000
"""A body that comes more slowly holds a place that others could have."""


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


def timely(receive: Receive, state: ServiceState, *, idle_secs: float) -> Receive:
    """Bound the time in which a body comes. Only for reading the body: after it, nothing has to come.

    Args:
        receive: Of the request.
        state: Of the service: when it stops, a body that has not come by then is not waited for.
        idle_secs: Longest time without a byte; so long, and that of `SLOWEST_BYTES_PER_SEC`, may the whole body take.

    Returns:
        Receives the same messages, or raises `Refusal` (`idle`, `draining`).
    """
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    received = 0

    async def bounded() -> Message:
        nonlocal received
        whole = began_at + idle_secs + received / SLOWEST_BYTES_PER_SEC
        coming, stopping = asyncio.ensure_future(receive()), asyncio.ensure_future(state.draining.wait())
        try:
            longest = max(0.0, min(idle_secs, whole - loop.time()))
            await asyncio.wait([coming, stopping], timeout=longest, return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                message = coming.result()
                received += len(message.get("body", b""))
                return message
            if stopping.done():
                raise going_away()
            came = f"only {received} bytes of the body came in {loop.time() - began_at:.1f} s"
            expected = f"expected more at least every {idle_secs:g} s, and {SLOWEST_BYTES_PER_SEC} bytes a second"
            raise Refusal("idle", f"{came}; {expected}")
        finally:
            coming.cancel()
            stopping.cancel()

    return bounded
