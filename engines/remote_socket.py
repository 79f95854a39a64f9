"""The connection to one service: kept open, and opened again when it is lost. See docs/protocol.md."""

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from engines.errors import EngineRefused
from engines.remote_trust import Backoff, Sleep, Trust

PING_SECS = 2.0
PONG_SECS = 4.0
"""How often a service is asked whether it is there, and how long it may think about it."""

CLOSE_SECS = 1.0
MAX_ANSWER_BYTES = 4 * 1024 * 1024


class ServiceLink:
    """One service. Opens and keeps the connection in `run`; everything else is called on the same event loop.

    What is said is each service's own: it overrides the methods that raise `NotImplementedError`.
    """

    def __init__(
        self,
        address: str,
        url: str,
        *,
        token: str | None,
        backoff: Backoff,
        trust: Trust,
        sleep: Sleep = asyncio.sleep,
        open_secs: float = 5.0,
    ):
        """
        Args:
            address: As people know it, e.g. `ws://127.0.0.1:8001`.
            url: Of the WebSocket.
            token: The service's access token.
            backoff: Waits between attempts to connect.
            trust: Kept across connections.
            sleep: Waits so many seconds.
            open_secs: Longest wait for a connection, and for the service's first message.
        """
        self.address = address
        self.url = url
        self.healthy = False
        """Whether it takes requests."""

        self.problem = "not connected yet"
        """Why it is not healthy, for people."""

        self.trust = trust
        """Whether what it takes is also answered."""

        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._backoff = backoff
        self._sleep = sleep
        self._open_secs = open_secs
        self._socket: ClientConnection | None = None
        self._hung_up = False
        self._outgoing: asyncio.Queue[Any] = asyncio.Queue()

    # What a service's own link does.

    def _start(self) -> Mapping[str, Any]:
        """The first message."""
        raise NotImplementedError

    async def _send(self, say: "Say", item: Any) -> None:
        """Send what was put into `_outgoing`."""
        raise NotImplementedError

    def _hear(self, message: dict[str, Any]) -> None:
        """The service has said something; `ready` and `draining` are known already."""
        raise NotImplementedError

    def _hear_audio(self, pcm: bytes) -> None:
        """A binary message came.

        Raises:
            ValueError: It belongs to nothing. The connection is made anew.
        """
        raise ValueError(f"the service sent {len(pcm)} bytes that belong to nothing")

    def _ready(self) -> None:
        """The connection takes requests from now on."""
        raise NotImplementedError

    def _lost(self) -> None:
        """The connection is lost with what was under way on it."""
        raise NotImplementedError

    # The life of the connection.

    @property
    def works(self) -> bool:
        """Whether it takes requests and, as far as is known, answers them."""
        return self.healthy and self.trust.problem is None

    @property
    def state(self) -> str:
        """Why it did not answer, for people."""
        return f"{self.address} {self.trust.problem or ('is slow' if self.healthy else self.problem)}"

    def hang_up(self, problem: str) -> None:
        """Give the connection up and make a new one: the service answers, but does no work."""
        self.rest(problem)
        self._hung_up = True
        if self._socket is not None:
            self._socket.transport.abort()

    def rest(self, problem: str) -> None:
        """Take no more requests on this connection; what is under way may still be answered."""
        self.healthy = False
        self.problem = problem

    async def run(self) -> None:
        """Connect, and connect again, until cancelled."""
        while True:
            self._hung_up = False
            try:
                await self._converse()
            except ConnectionClosed as closed:
                self.problem = f"closed the connection: {_why(closed)}"
            except Exception as error:
                # Whatever it was, the link must come back: there is nobody else to bring it back.
                self.problem = str(error) or type(error).__name__
            finally:
                self._lose()
            if not self._hung_up:
                # It went by itself, so what comes back may well be another process, without the fault of the old one.
                self.trust.restore()
            await self._sleep(self._backoff.next())

    async def _converse(self) -> None:
        async with connect(
            self.url,
            additional_headers=self._headers,
            compression=None,
            open_timeout=self._open_secs,
            ping_interval=PING_SECS,
            ping_timeout=PONG_SECS,
            close_timeout=CLOSE_SECS,
            max_size=MAX_ANSWER_BYTES,
            proxy=None,
        ) as socket:
            await socket.send(json.dumps(self._start()))
            async with asyncio.timeout(self._open_secs):
                self._hear_any(await socket.recv())
                while not self.healthy:
                    self._hear_any(await socket.recv())
            self._socket = socket
            self._backoff.reset()
            self._ready()
            tasks = [asyncio.create_task(self._send_all(Say(socket))), asyncio.create_task(self._hear_all(socket))]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    if task.done():
                        task.result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _send_all(self, say: "Say") -> None:
        while True:
            await self._send(say, await self._outgoing.get())

    async def _hear_all(self, socket: ClientConnection) -> None:
        while True:
            self._hear_any(await socket.recv())

    def _hear_any(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self._hear_audio(message)
            return
        fields = json.loads(message)
        if not isinstance(fields, dict):
            raise ValueError("the service's message is not an object")
        if fields.get("type") == "ready":
            self.healthy = True
        elif fields.get("type") == "draining":
            self.rest("is stopping")
        self._hear(fields)

    def _lose(self) -> None:
        self.healthy = False
        self._socket = None
        self._outgoing = asyncio.Queue()
        self._lost()


class Say:
    """Sends messages to a service."""

    def __init__(self, socket: ClientConnection):
        self._socket = socket

    async def __call__(self, message: Mapping[str, Any]) -> None:
        """Send a control message."""
        await self._socket.send(json.dumps(message))

    async def audio(self, pcm: bytes) -> None:
        """Send a binary message."""
        await self._socket.send(pcm)


def service_url(address: str, *, path: str, what: str, example: str) -> str:
    """The WebSocket's URL of an address such as `ws://127.0.0.1:8001`, `https://asr.example.org` or `127.0.0.1:8001`.

    Args:
        address: With or without a scheme and a path.
        path: The path where none is given.
        what: The kind of service, for the error.
        example: An address, for the error.

    Raises:
        EngineRefused: It is not an address.
    """
    with contextlib.suppress(ValueError):
        parts = urlsplit(address if "://" in address else f"ws://{address}")
        scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
        if scheme in ("ws", "wss") and parts.hostname and parts.port != 0:
            return f"{scheme}://{parts.netloc}{parts.path.rstrip('/') or path}"
    raise EngineRefused(f"address {address!r} of a {what} service; expected one such as {example}")


def _why(closed: ConnectionClosed) -> str:
    frame = closed.rcvd
    return f"{frame.code} {frame.reason}".strip() if frame else "without a word"
