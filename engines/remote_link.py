"""The connection to one speech-to-text service: kept open, and opened again when it is lost. See docs/protocol.md."""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from engines.errors import EngineRefused
from engines.protocol import Transcript, TranscriptionOptions
from engines.wire import VERSION, options_to_json

SAMPLE_RATE = 16_000
CHUNK_BYTES = 65_536
"""Audio in one message: small enough for every service, large enough to be few."""

PATH = "/v1/stream/asr"
PING_SECS = 2.0
PONG_SECS = 4.0
"""How often a service is asked whether it is there, and how long it may think about it."""

CLOSE_SECS = 1.0
MAX_ANSWER_BYTES = 4 * 1024 * 1024

MAX_SILENT = 2
MAX_FAILED = 3
"""After so many in a row that it left unanswered, or failed at, a service is no longer taken for one that works."""

DOUBT_SECS = 5.0
MOST_DOUBT_SECS = 30.0
"""How long a service goes last, at first and at most. Then one utterance tries it: nothing else tells that it works."""

Sleep = Callable[[float], Awaitable[object]]
Clock = Callable[[], float]


class Backoff:
    """Waits that double up to a limit, each somewhere in its upper half, so that many clients do not return at once."""

    def __init__(self, *, first_secs: float = 0.1, most_secs: float = 5.0, rng: Callable[[], float] = random.random):
        """
        Args:
            first_secs: The first wait, before it is shortened.
            most_secs: The longest.
            rng: A number from 0 to 1.
        """
        self._first = first_secs
        self._most = most_secs
        self._rng = rng
        self._tries = 0

    def next(self) -> float:
        """The next wait, in seconds."""
        longest = min(self._most, self._first * 2**self._tries)
        self._tries = min(self._tries + 1, 30)
        return longest * (0.5 + 0.5 * self._rng())

    def reset(self) -> None:
        """It went well: begin again with short waits."""
        self._tries = 0


class Record(NamedTuple):
    """What a service has done: the transcripts that came from it, and its faults since the last of them."""

    transcripts: int = 0
    faults: int = 0


class Sent(NamedTuple):
    """A request at a service: what the service had done before it came, and when that was, in seconds."""

    record: Record
    at: float


class Trust:
    """Whether a service works, as far as its answers tell: with a hung driver it still answers pings.

    A fault is counted only if the record is what it was when the request was sent. So the requests that one stall or
    one bad batch took with it are one fault, and a service that goes on answering others is slow, not at fault.
    """

    def __init__(self, *, backoff: Backoff, clock: Clock = time.monotonic):
        """
        Args:
            backoff: How long it is doubted, each time.
            clock: The time in seconds.
        """
        self.record = Record()
        self._backoff = backoff
        self._clock = clock
        self._doubted_until: float | None = None
        self._problem: str | None = None

    @property
    def doubted(self) -> bool:
        """Whether others go first."""
        return self._doubted_until is not None and self._clock() < self._doubted_until

    @property
    def problem(self) -> str | None:
        """Why it is not taken for one that works, for people; None where it is."""
        return self._problem if self.doubted else None

    def worked(self) -> None:
        """A transcript came."""
        self.record = Record(self.record.transcripts + 1)
        self.restore()

    def restore(self) -> None:
        """Whatever was wrong may be over."""
        self.record = Record(self.record.transcripts)
        self._backoff.reset()
        self._doubted_until = self._problem = None

    def sent(self) -> Sent:
        """A request goes there."""
        return Sent(self.record, self._clock())

    def secs_since(self, sent: Sent) -> float:
        """How long a request has been there, in seconds."""
        return self._clock() - sent.at

    def silent_since(self, sent: Sent) -> bool:
        """Whether no transcript came since a request went there."""
        return self.record.transcripts == sent.record.transcripts

    def left_unanswered(self, sent: Sent) -> bool:
        """A request was not answered when it should have been; returns whether this is a fault."""
        if self.record != sent.record:
            return False
        faults = self._add_fault()
        self._doubt(f"left {faults} utterances in a row without an answer" if faults >= MAX_SILENT else None)
        return True

    def failed(self, sent: Sent, reason: str) -> None:
        """A request failed there."""
        if self.record == sent.record and (faults := self._add_fault()) >= MAX_FAILED:
            self._doubt(f"failed at {faults} utterances in a row: {reason}")

    def _add_fault(self) -> int:
        self.record = Record(self.record.transcripts, self.record.faults + 1)
        return self.record.faults

    def _doubt(self, problem: str | None) -> None:
        self._doubted_until = self._clock() + self._backoff.next()
        self._problem = problem


@dataclass(eq=False)
class Request:
    """One utterance that has not been answered; it is kept until it is, so that it can be sent again."""

    id: str
    pcm: bytes
    options: TranscriptionOptions
    future: "asyncio.Future[Transcript]"
    links: "dict[Link, Sent]" = field(default_factory=dict)
    """Where it is now, the service that was asked first being the first."""

    sends: int = 0
    losses: int = 0
    """How often a service was lost that had it."""

    failures: int = 0
    tried: "set[Link]" = field(default_factory=set)
    """Links whose service had no room for it, or failed at it."""


class Desk(Protocol):
    """Who hands the requests out, and is told what becomes of them."""

    def ready(self, link: "Link") -> None:
        """A link takes requests from now on."""
        ...

    def answered(self, link: "Link", request: Request, message: dict[str, Any]) -> None:
        """A `final` or an `error` came for a request, which has left the link."""
        ...

    def lost(self, link: "Link", requests: list[Request]) -> None:
        """The connection was lost with these requests unanswered, which have left the link."""
        ...


class Link:
    """One service. Opens and keeps the connection in `run`; everything else is called on the same event loop."""

    def __init__(
        self,
        address: str,
        desk: Desk,
        *,
        token: str | None,
        backoff: Backoff,
        trust: Trust,
        sleep: Sleep = asyncio.sleep,
        open_secs: float = 5.0,
    ):
        """
        Args:
            address: e.g. `ws://127.0.0.1:8001`.
            desk: Told what happens.
            token: The service's access token.
            backoff: Waits between attempts to connect.
            trust: Kept across connections.
            sleep: Waits so many seconds.
            open_secs: Longest wait for a connection, and for the service's first message.

        Raises:
            EngineRefused: The address is not one.
        """
        self.address = address
        self.url = url_of(address)
        self.healthy = False
        """Whether it takes requests."""

        self.problem = "not connected yet"
        """Why it is not healthy, for people."""

        self.trust = trust
        """Whether what it takes is also answered."""

        self.in_flight: dict[str, Request] = {}
        self._room = True
        self._desk = desk
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._backoff = backoff
        self._sleep = sleep
        self._open_secs = open_secs
        self._socket: ClientConnection | None = None
        self._hung_up = False
        self._outgoing: asyncio.Queue[Request | str] = asyncio.Queue()

    @property
    def has_room(self) -> bool:
        """Whether, as far as is known, nothing waits there."""
        return self.healthy and (self._room or not self.in_flight)

    @property
    def works(self) -> bool:
        """Whether it takes requests and, as far as is known, answers them."""
        return self.healthy and self.trust.problem is None

    def send(self, request: Request) -> None:
        """Have a request sent."""
        request.links[self] = self.trust.sent()
        request.sends += 1
        self.in_flight[request.id] = request
        self._outgoing.put_nowait(request)

    def cancel(self, request: Request) -> None:
        """Nobody waits for a request any more."""
        if self.in_flight.pop(request.id, None):
            self._outgoing.put_nowait(request.id)

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
            start = {"type": "start", "version": VERSION, "sample_rate": SAMPLE_RATE, "endpointing": "client"}
            await socket.send(json.dumps(start))
            async with asyncio.timeout(self._open_secs):
                self._hear(await socket.recv())
                while not self.healthy:
                    self._hear(await socket.recv())
            self._socket = socket
            self._backoff.reset()
            self._desk.ready(self)
            tasks = [asyncio.create_task(self._send_all(socket)), asyncio.create_task(self._hear_all(socket))]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    if task.done():
                        task.result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _send_all(self, socket: ClientConnection) -> None:
        while True:
            item = await self._outgoing.get()
            if isinstance(item, str):
                await socket.send(json.dumps({"type": "cancel", "id": item}))
            elif not item.future.done():
                await self._send_one(socket, item)

    async def _send_one(self, socket: ClientConnection, request: Request) -> None:
        begin = {"type": "utterance", "id": request.id, **options_to_json(request.options)}
        await socket.send(json.dumps(begin))
        for at in range(0, len(request.pcm), CHUNK_BYTES):
            if request.id not in self.in_flight:
                # Cancelled or refused: the `cancel` that is on its way would come too late to spare the rest.
                break
            await socket.send(request.pcm[at : at + CHUNK_BYTES])
        await socket.send(json.dumps({"type": "end" if request.id in self.in_flight else "cancel", "id": request.id}))

    async def _hear_all(self, socket: ClientConnection) -> None:
        while True:
            self._hear(await socket.recv())

    def _hear(self, text: str | bytes) -> None:
        message = json.loads(text)
        if not isinstance(message, dict):
            raise ValueError("the service's message is not an object")
        kind, request_id = message.get("type"), message.get("id")
        self._room = message.get("has_room", self._room)
        if kind == "ready":
            self.healthy = True
        elif kind == "draining":
            self.rest("is stopping")
        elif kind in ("final", "error"):
            if request := self.in_flight.pop(str(request_id), None):
                self._desk.answered(self, request, message)
            elif kind == "final":
                # Nobody waits for it any more, but it shows that the service works.
                self.trust.worked()

    def _lose(self) -> None:
        self.healthy = False
        self._socket = None
        self._outgoing = asyncio.Queue()
        lost, self.in_flight = list(self.in_flight.values()), {}
        if lost:
            self._desk.lost(self, lost)


def url_of(address: str) -> str:
    """The WebSocket's URL of an address such as `ws://127.0.0.1:8001`, `https://asr.example.org` or `127.0.0.1:8001`.

    Raises:
        EngineRefused: It is not an address.
    """
    with contextlib.suppress(ValueError):
        parts = urlsplit(address if "://" in address else f"ws://{address}")
        scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
        if scheme in ("ws", "wss") and parts.hostname and parts.port != 0:
            return f"{scheme}://{parts.netloc}{parts.path.rstrip('/') or PATH}"
    raise EngineRefused(f"address {address!r} of a speech-to-text service; expected one such as ws://127.0.0.1:8001")


def _why(closed: ConnectionClosed) -> str:
    frame = closed.rcvd
    return f"{frame.code} {frame.reason}".strip() if frame else "without a word"
