"""uvicorn's WebSocket protocol, with an end that comes at once also where the client has stopped reading.

uvicorn sends a close frame when the client has read what came before, and closes a socket when its buffer is empty:
for a client that reads no more, never.
"""

from collections.abc import Callable

from starlette.types import Scope
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request
from websockets.protocol import OPEN

from engines.wire import CloseCode

LINGER_SECS = 3.0
"""Time for a client to read the close frame before the socket is torn down."""

HANG_UP = "voice_agent.hang_up"


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Adds the scope's extension `HANG_UP`, and our close code for a client that answers no ping."""

    def handle_connect(self, event: Request) -> None:
        """See uvicorn. The app's task, made here, first runs later."""
        super().handle_connect(event)
        if hasattr(self, "scope"):
            self.scope["extensions"][HANG_UP] = self.hang_up  # pyright: ignore[reportOptionalSubscript,reportGeneralTypeIssues,reportTypedDictNotRequiredAccess,reportArgumentType]

    def keepalive_timeout(self) -> None:
        """A ping has not been answered."""
        self.pong_timer = None
        self.pending_ping_payload = None
        self.hang_up(CloseCode.IDLE, "no answer to a ping")

    def hang_up(self, code: int, reason: str) -> None:
        """Write the close frame behind what waits, and tear the socket down a little later."""
        if not self.close_sent and not self.transport.is_closing() and self.conn.state is OPEN:
            self.conn.fail(code, reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
        self.stop_keepalive()
        self.loop.call_later(LINGER_SECS, self.transport.abort)
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})


def hang_up(scope: Scope) -> Callable[[int, str], None] | None:
    """Ends the WebSocket of a scope at once; None under another server."""
    return scope.get("extensions", {}).get(HANG_UP)


def short_reason(reason: str) -> str:
    """A reason as a close frame can hold it: 123 bytes of UTF-8."""
    return reason.encode()[:123].decode(errors="ignore")
