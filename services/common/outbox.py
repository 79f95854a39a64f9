"""What waits to be sent to one WebSocket client: in order, and bounded."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from services.common.errors import Refusal


class Outbox:
    """Sends messages from a queue, so that nobody who has something to say waits for a slow client."""

    def __init__(self, websocket: WebSocket, *, max_messages: int):
        """
        Args:
            websocket: Accepted.
            max_messages: Messages that may wait.
        """
        self._websocket = websocket
        self._queue: asyncio.Queue[str] = asyncio.Queue(max_messages)

    def put(self, message: Mapping[str, Any]) -> None:
        """Have a message sent.

        Raises:
            Refusal: The client has not read what it was sent.
        """
        try:
            self._queue.put_nowait(json.dumps(message, ensure_ascii=False, separators=(",", ":")))
        except asyncio.QueueFull:
            waiting = self._queue.qsize()
            raise Refusal("slow_reader", f"{waiting} messages wait to be read, the most that are kept") from None

    async def run(self) -> None:
        """Send until cancelled, or until the client has gone."""
        while True:
            text = await self._queue.get()
            try:
                await self._websocket.send_text(text)
            except (WebSocketDisconnect, RuntimeError):
                # Starlette's word for a socket that was closed in the meantime is RuntimeError.
                return
            finally:
                self._queue.task_done()

    async def flush(self, longest_secs: float) -> bool:
        """Wait until everything has been sent; False when that took too long."""
        try:
            async with asyncio.timeout(longest_secs):
                await self._queue.join()
        except TimeoutError:
            return False
        return True
