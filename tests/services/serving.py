"""Any service in this process, on a free port, and clients that talk to it."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from configs.settings import ServiceSettings
from services.common.serving import new_server


@asynccontextmanager
async def serving(app: Starlette, settings: ServiceSettings, port: int = 0) -> AsyncIterator[int]:
    """Serve an app; gives the port. At the end its connections are closed."""
    listener = socket.create_server(("127.0.0.1", port))
    # As `server.serve()` does, without the tenths of a second that it sleeps.
    server = new_server(settings, app)
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup(sockets=[listener])
    try:
        yield listener.getsockname()[1]
    finally:
        for listening in server.servers:
            listening.close()
        listener.close()
        for connection in list(server.server_state.connections):
            connection.shutdown()
        await until(lambda: not server.server_state.connections and not server.server_state.tasks)


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[ClientConnection]:
    """A raw WebSocket, before anything was said."""
    async with connect(url, **{"proxy": None, "compression": None, "close_timeout": 1, **options}) as websocket:
        yield websocket


@dataclass
class Talk:
    """Says and hears messages."""

    socket: ClientConnection

    async def say(self, kind: str, **fields: Any) -> None:
        """Send a control message."""
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def hear(self, secs: float = 10) -> dict[str, Any]:
        """The next message."""
        async with asyncio.timeout(secs):
            return json.loads(await self.socket.recv())

    async def hear_all(self) -> list[dict[str, Any]]:
        """Every message until the connection is closed."""
        async with asyncio.timeout(10):
            return [json.loads(message) async for message in _until_closed(self.socket)]

    async def close_code(self) -> int | None:
        """The code with which the service closes, whatever it says before."""
        async with asyncio.timeout(10):
            async for _ in _until_closed(self.socket):
                pass
            await self.socket.wait_closed()
        return self.socket.close_code


async def _until_closed(websocket: ClientConnection) -> AsyncIterator[str | bytes]:
    try:
        while True:
            yield await websocket.recv()
    except ConnectionClosed:
        return


@asynccontextmanager
async def silent_client(port: int, path: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client below WebSocket libraries: it answers no ping, and reads only what it wants to."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    writer.write(f"{request}Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await asyncio.sleep(0.01)


def frame(payload: bytes, opcode: int = 1) -> bytes:
    """A masked frame; the mask is zero."""
    return struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, len(payload)) + bytes(4) + payload


async def until(condition: Any, secs: float = 5) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(secs):
        while not condition():
            await asyncio.sleep(0.01)


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return closed.getsockname()[1]
