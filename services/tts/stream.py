"""`/v1/stream/tts`: one client, its texts and their sound."""

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.websockets import WebSocket

from engines.errors import EngineError
from engines.wire import VERSION
from services.common.audio import SAMPLE_RATES
from services.common.connection import Connection, check_rate, check_version, converse, not_a_start
from services.common.errors import Refusal, refusal_of
from services.common.messages import WrongRequest
from services.tts.messages import Cancel, End, Finish, Flush, Heard, Speak, Start, Text, Voices, parse
from services.tts.service import TtsService
from services.tts.session import Streams


async def stream(websocket: WebSocket) -> None:
    """The endpoint."""
    await converse(websocket, _Connection)


class _Connection(Connection):
    def __init__(self, service: TtsService, websocket: WebSocket):
        super().__init__(service, websocket)
        self._service = service
        self._streams = Streams(service, self._say, self._put_audio, self._fail)
        self._start: Start | None = None
        self._telling: asyncio.Task[None] | None = None
        self._asked_voices = 0

    # What the client says.

    def _greet(self, message: str | bytes) -> None:
        start = parse(message) if isinstance(message, str) else None
        if not isinstance(start, Start):
            raise not_a_start(message)
        check_version(start.version)
        if start.sample_rate is not None:
            check_rate(start.sample_rate, SAMPLE_RATES)
        self._service.state.check_open()
        assert self._service.engine is not None
        settings = self._service.settings
        self._start = start
        self._say(
            {
                "type": "ready",
                "version": VERSION,
                "model": self._service.model,
                "voice": self._service.voice,
                "engine_sample_rate": self._service.engine.sample_rate,
                "max_message_bytes": settings.max_message_bytes,
                "max_text_chars": settings.max_text_chars,
                "max_streams": settings.max_streams,
                "idle_secs": settings.idle_secs,
            }
        )

    async def _hear_all(self) -> None:
        while True:
            message = await self._receive()
            if isinstance(message, bytes):
                raise Refusal("bad_message", f"{len(message)} bytes came in a binary message; expected text messages")
            self._obey(message)

    def _obey(self, text: str) -> None:
        """Do what a message says."""
        message = parse(text)
        if isinstance(message, Heard):
            self._streams.hear(message)
        elif isinstance(message, Cancel):
            self._streams.cancel(message.id)
        elif self._finishing is not None:
            raise Refusal("bad_message", "a message came after `finish`; expected `heard` or `cancel` only")
        elif isinstance(message, Text):
            self._streams.write(message)
        elif isinstance(message, Flush):
            self._streams.flush(message.id)
        elif isinstance(message, End):
            self._streams.end(message.id)
        else:
            self._begin(message)

    def _begin(self, message: Speak | WrongRequest | Voices | Finish | Start) -> None:
        assert self._start is not None
        if isinstance(message, Speak):
            self._streams.begin(self._start, message)
        elif isinstance(message, WrongRequest):
            self._streams.begin_wrong(message)
        elif isinstance(message, Voices):
            if self._telling is None or self._telling.done():
                self._telling = asyncio.create_task(self._tell_voices())
            self._asked_voices += 1
        elif isinstance(message, Finish):
            self._streams.finish()
            self._finish()
        else:
            raise Refusal("bad_message", "`start` came twice; expected it once, first")

    async def _tell_voices(self) -> None:
        """One after the other, however often it is asked."""
        try:
            while self._asked_voices:
                self._say(await self._voices())
                self._asked_voices -= 1
        except Exception as error:
            self._fail(error)

    async def _voices(self) -> Mapping[str, Any]:
        try:
            return {"type": "voices", "voices": await self._service.voices()}
        except EngineError as error:
            refusal = refusal_of(error)
            return {"type": "voices", "voices": [], "code": refusal.code, "message": str(refusal)}

    # What the connection does.

    async def _put_audio(self, message: Mapping[str, Any], pcm: bytes) -> None:
        await self._outbox.put_audio(message, pcm, longest_secs=self._service.settings.slow_secs)

    @property
    def _under_way(self) -> int:
        return len(self._streams)

    async def _answered(self) -> None:
        await self._streams.done()

    async def _drop_all(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
        await self._streams.close()
