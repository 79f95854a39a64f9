"""The connection to one text-to-speech service, and the streams that are under way on it."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from engines.errors import EngineError
from engines.protocol import SpeechChunk, SpeechOptions, Voice
from engines.remote_socket import Say, ServiceLink, service_url
from engines.remote_trust import Backoff, Sent, Sleep, Trust
from engines.wire import VERSION, error_of, marks_from_json, options_to_json, voices_from_json

SAMPLE_RATE = 24_000
BYTES_PER_SAMPLE = 2
AHEAD_SECS = 5.0
"""Sound of a stream that a service may send before what came was taken: then it is not made any further."""

PATH = "/v1/stream/tts"


@dataclass(eq=False)
class Stream:
    """One text that is spoken. Until its first sound everything is kept, so that it can be sent to another service."""

    id: str
    options: SpeechOptions
    pieces: list[str] = field(default_factory=list)
    """The text so far; an empty piece is a flush."""

    is_complete: bool = False
    link: "VoiceLink | None" = None
    """Where it is now."""

    sent: Sent | None = None
    """What the service had done when it went there."""

    owed_since: float | None = None
    """Since when the service has everything that it needs for the next sound, by the desk's clock; None: it has not."""

    tried: "set[VoiceLink]" = field(default_factory=set)
    """Links whose service had no room for it, or failed at it."""

    losses: int = 0
    failures: int = 0
    arrived: deque[SpeechChunk] = field(default_factory=deque)
    samples: int = 0
    """Samples that came, and that were taken and told to be."""

    taken: int = 0
    told: int = 0
    is_done: bool = False
    error: BaseException | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)

    _has_unspoken: bool = False

    def add(self, piece: str, now: float) -> None:
        """A piece of the text was written; an empty one is a flush, after which the sound of what came is owed."""
        self.pieces.append(piece)
        self._has_unspoken = self._has_unspoken or any(character.isalnum() for character in piece)
        self.owed_since = now if not piece and self._has_unspoken else None
        if not piece:
            self._has_unspoken = False
        self.news.set()

    def complete(self, now: float) -> None:
        """The text is complete: its sound is owed, or its end."""
        self.is_complete = True
        self.owed_since = now
        self.news.set()

    def fail(self, error: BaseException) -> None:
        """It ends with an error, after what came of it."""
        if self.error is None and not self.is_done:
            self.error = error
        self.news.set()


class Desk(Protocol):
    """Who hands the streams out, and is told what becomes of them."""

    def ready(self, link: "VoiceLink") -> None:
        """A link takes streams from now on."""
        ...

    def arrived(self, link: "VoiceLink", stream: Stream) -> None:
        """Sound of a stream has come, or its end."""
        ...

    def refused(self, link: "VoiceLink", stream: Stream, code: str, error: EngineError) -> None:
        """A service gave a stream up, which has left the link."""
        ...

    def lost(self, link: "VoiceLink", streams: list[Stream]) -> None:
        """The connection was lost with these streams, which have left the link."""
        ...


class VoiceLink(ServiceLink):
    """One service, whose streams share one connection: a new one costs no handshake."""

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
            address: e.g. `ws://127.0.0.1:8002`.
            desk: Told what happens.
            token: The service's access token.
            backoff: Waits between attempts to connect.
            trust: Kept across connections.
            sleep: Waits so many seconds.

        Raises:
            EngineRefused: The address is not one.
        """
        url = service_url(address, path=PATH, what="text-to-speech", example="ws://127.0.0.1:8002")
        super().__init__(address, url, token=token, backoff=backoff, trust=trust, sleep=sleep)
        self.in_flight: dict[str, Stream] = {}
        self._desk = desk
        self._announced: dict[str, Any] | None = None
        self._asked_voices: deque[asyncio.Future[tuple[Voice, ...]]] = deque()

    # What is said to the service.

    def send(self, stream: Stream) -> None:
        """Have a stream spoken: what there is of it, and what `more` and `end` tell of later."""
        stream.link, stream.sent = self, self.trust.sent()
        self.in_flight[stream.id] = stream
        options = options_to_json(stream.options)
        self._put({"type": "speak", "id": stream.id, "ahead_secs": AHEAD_SECS, **options})
        for piece in stream.pieces:
            self.more(stream, piece)
        if stream.is_complete:
            self.end(stream)

    def more(self, stream: Stream, piece: str) -> None:
        """A piece of a stream's text; an empty one is a flush."""
        self._put({"type": "text", "id": stream.id, "text": piece} if piece else {"type": "flush", "id": stream.id})

    def end(self, stream: Stream) -> None:
        """The text of a stream is complete."""
        self._put({"type": "end", "id": stream.id})

    def heard(self, stream: Stream) -> None:
        """The sound that came of a stream was taken so far."""
        stream.told = stream.taken
        self._put({"type": "heard", "id": stream.id, "samples": stream.taken})

    def cancel(self, stream: Stream) -> None:
        """Nobody listens to a stream any more."""
        if self.in_flight.pop(stream.id, None):
            self._put({"type": "cancel", "id": stream.id})

    def ask_voices(self) -> "asyncio.Future[tuple[Voice, ...]]":
        """Ask which voices there are."""
        asked: asyncio.Future[tuple[Voice, ...]] = asyncio.get_running_loop().create_future()
        self._asked_voices.append(asked)
        self._put({"type": "voices"})
        return asked

    def _put(self, message: Mapping[str, Any]) -> None:
        self._outgoing.put_nowait(message)

    # What the socket asks for; see `ServiceLink`.

    def _start(self) -> Mapping[str, Any]:
        return {"type": "start", "version": VERSION, "sample_rate": SAMPLE_RATE}

    async def _send(self, say: Say, item: Mapping[str, Any]) -> None:
        await say(item)

    def _hear(self, message: dict[str, Any]) -> None:
        if self._announced is not None:
            raise ValueError("the service announced sound, and sent none")
        kind, stream_id = message.get("type"), str(message.get("id"))
        if kind == "audio":
            self._announced = message
        elif kind == "done":
            self.trust.worked()
            if stream := self.in_flight.pop(stream_id, None):
                stream.is_done = True
                self._desk.arrived(self, stream)
        elif kind == "voices":
            self._hear_voices(message)
        elif kind == "error" and (stream := self.in_flight.pop(stream_id, None)):
            code = str(message.get("code", "failed"))
            error = error_of(code, f"{self.address}: {message.get('message', 'no reason given')}")
            self._desk.refused(self, stream, code, error)

    def _hear_audio(self, pcm: bytes) -> None:
        if self._announced is None:
            super()._hear_audio(pcm)
            return
        message, self._announced = self._announced, None
        if len(pcm) != message.get("samples", -1) * BYTES_PER_SAMPLE:
            raise ValueError(f"the service announced {message.get('samples')} samples, and sent {len(pcm)} bytes")
        self.trust.worked()
        # Of a stream that was cancelled some is still on its way.
        if stream := self.in_flight.get(str(message.get("id"))):
            stream.samples += len(pcm) // BYTES_PER_SAMPLE
            stream.arrived.append(SpeechChunk(pcm, marks_from_json(message.get("marks", ()))))
            self._desk.arrived(self, stream)

    def _hear_voices(self, message: dict[str, Any]) -> None:
        if not self._asked_voices:
            return
        asked = self._asked_voices.popleft()
        if asked.done():
            return
        try:
            if "code" in message:
                raise error_of(message["code"], f"{self.address}: {message.get('message', 'no reason given')}")
            asked.set_result(voices_from_json(message.get("voices", ())))
        except EngineError as error:
            asked.set_exception(error)

    def _ready(self) -> None:
        self._desk.ready(self)

    def _lost(self) -> None:
        self._announced = None
        asked, self._asked_voices = self._asked_voices, deque()
        for future in asked:
            future.cancel()
        lost, self.in_flight = list(self.in_flight.values()), {}
        if lost:
            self._desk.lost(self, lost)
