"""What waits to be sent to one WebSocket client: in order, and bounded."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from services.common.errors import Refusal

AUDIO_MESSAGES = 16
"""Pieces of sound that may wait for one client, of all its streams: what is said between them waits for few."""


class Outbox:
    """Sends messages from a queue, so that nobody who has something to say waits for a slow client."""

    def __init__(self, websocket: WebSocket, *, max_messages: int):
        """
        Args:
            websocket: Accepted.
            max_messages: Messages that may wait.
        """
        self._websocket = websocket
        self._queue: asyncio.Queue[tuple[str, bytes | None]] = asyncio.Queue(max_messages)
        self._places = asyncio.Semaphore(max(1, min(AUDIO_MESSAGES, max_messages // 2)))

    async def put_audio(self, message: Mapping[str, Any], pcm: bytes, *, longest_secs: float) -> None:
        """Have a message and, right behind it, a binary one sent; waits while the client has enough to read.

        Raises:
            Refusal: The client has not read what it was sent for so long.
        """
        try:
            async with asyncio.timeout(longest_secs):
                await self._places.acquire()
        except TimeoutError:
            raise Refusal("slow_reader", f"sound has waited for {longest_secs:g} s to be read") from None
        self.put(message, pcm)

    def put(self, message: Mapping[str, Any], pcm: bytes | None = None) -> None:
        """Have a message sent.

        Raises:
            Refusal: The client has not read what it was sent.
        """
        try:
            self._queue.put_nowait((json.dumps(message, ensure_ascii=False, separators=(",", ":")), pcm))
        except asyncio.QueueFull:
            waiting = self._queue.qsize()
            raise Refusal("slow_reader", f"{waiting} messages wait to be read, the most that are kept") from None

    async def run(self) -> None:
        """Send until cancelled, or until the client has gone."""
        while True:
            text, pcm = await self._queue.get()
            try:
                await self._websocket.send_text(text)
                if pcm is not None:
                    await self._websocket.send_bytes(pcm)
                    self._places.release()
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
