"""The connection to one speech-to-text service, and the utterances that are under way on it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from engines.protocol import Transcript, TranscriptionOptions
from engines.remote_socket import Say, ServiceLink, service_url
from engines.remote_trust import Backoff, Sent, Sleep, Trust
from engines.wire import VERSION, options_to_json

SAMPLE_RATE = 16_000
CHUNK_BYTES = 65_536
"""Audio in one message: small enough for every service, large enough to be few."""

PATH = "/v1/stream/asr"


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


class Link(ServiceLink):
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
    ):
        """
        Args:
            address: e.g. `ws://127.0.0.1:8001`.
            desk: Told what happens.
            token: The service's access token.
            backoff: Waits between attempts to connect.
            trust: Kept across connections.
            sleep: Waits so many seconds.

        Raises:
            EngineRefused: The address is not one.
        """
        super().__init__(address, url_of(address), token=token, backoff=backoff, trust=trust, sleep=sleep)
        self.in_flight: dict[str, Request] = {}
        self._room = True
        self._desk = desk

    @property
    def has_room(self) -> bool:
        """Whether, as far as is known, nothing waits there."""
        return self.healthy and (self._room or not self.in_flight)

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

    def _start(self) -> Mapping[str, Any]:
        return {"type": "start", "version": VERSION, "sample_rate": SAMPLE_RATE, "endpointing": "client"}

    async def _send(self, say: Say, item: Request | str) -> None:
        if isinstance(item, str):
            await say({"type": "cancel", "id": item})
        elif not item.future.done():
            await self._send_one(say, item)

    async def _send_one(self, say: Say, request: Request) -> None:
        await say({"type": "utterance", "id": request.id, **options_to_json(request.options)})
        for at in range(0, len(request.pcm), CHUNK_BYTES):
            if request.id not in self.in_flight:
                # Cancelled or refused: the `cancel` that is on its way would come too late to spare the rest.
                break
            await say.audio(request.pcm[at : at + CHUNK_BYTES])
        await say({"type": "end" if request.id in self.in_flight else "cancel", "id": request.id})

    def _hear(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        self._room = message.get("has_room", self._room)
        if kind not in ("final", "error"):
            return
        if request := self.in_flight.pop(str(message.get("id")), None):
            self._desk.answered(self, request, message)
        elif kind == "final":
            # Nobody waits for it any more, but it shows that the service works.
            self.trust.worked()

    def _ready(self) -> None:
        self._desk.ready(self)

    def _lost(self) -> None:
        lost, self.in_flight = list(self.in_flight.values()), {}
        if lost:
            self._desk.lost(self, lost)


def url_of(address: str) -> str:
    """The WebSocket's URL of a speech-to-text service's address.

    Raises:
        EngineRefused: It is not an address.
    """
    return service_url(address, path=PATH, what="speech-to-text", example="ws://127.0.0.1:8001")
