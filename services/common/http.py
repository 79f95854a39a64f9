"""uvicorn's HTTP protocol, with an end that comes at once, also in the middle of an answer.

An answer that is streamed and cannot be completed must not end like a complete one; and one that its client does not
read would otherwise be kept for as long as the client likes.
"""

from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from services.common.websockets import HANG_UP

_Protocol: Any = AutoHTTPProtocol


class HttpProtocol(_Protocol):
    """Adds the scope's extension `HANG_UP`, which tears the connection down."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        app: ASGIApp = self.app

        async def with_hang_up(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[HANG_UP] = self.transport.abort
            await app(scope, receive, send)

        self.app = with_hang_up


def hang_up(scope: Scope) -> None:
    """Tear the connection of a request down at once."""
    if abort := scope.get("extensions", {}).get(HANG_UP):
        abort()
