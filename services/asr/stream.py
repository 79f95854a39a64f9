"""`/v1/stream/asr`: one client and its audio."""

import asyncio

from starlette.websockets import WebSocket

from engines.wire import VERSION
from services.asr.ear import Ear
from services.asr.intake import ENGINE_RATE
from services.asr.messages import Cancel, End, Finish, Start, Utterance, WrongUtterance, options_for, parse
from services.asr.service import AsrService
from services.asr.session import MarkedUtterances, Works
from services.common.audio import SAMPLE_RATES
from services.common.connection import Connection, check_rate, check_version, converse, not_a_start
from services.common.errors import Refusal


async def stream(websocket: WebSocket) -> None:
    """The endpoint."""
    await converse(websocket, _Connection)


class _Connection(Connection):
    def __init__(self, service: AsrService, websocket: WebSocket):
        super().__init__(service, websocket)
        self._service = service
        self._works = Works(service, self._say, self._fail)
        self._audience: MarkedUtterances | Ear | None = None
        self._heard_at = 0.0
        """When the last audio had been heard, by the loop's clock."""

    # What the client says.

    def _greet(self, message: str | bytes) -> None:
        start = parse(message) if isinstance(message, str) else None
        if not isinstance(start, Start):
            raise not_a_start(message)
        check_version(start.version)
        check_rate(start.sample_rate, SAMPLE_RATES)
        settings = self._service.settings
        self._say(
            {
                "type": "ready",
                "version": VERSION,
                "model": self._service.model,
                "engine_sample_rate": ENGINE_RATE,
                "has_room": self._service.has_room,
                "max_message_bytes": settings.max_message_bytes,
                "max_utterance_secs": settings.max_utterance_secs,
                "max_in_flight": settings.max_in_flight,
                "idle_secs": settings.idle_secs,
            }
        )
        self._audience = self._audience_of(start)

    def _audience_of(self, start: Start) -> MarkedUtterances | Ear:
        if start.endpointing == "client":
            return MarkedUtterances(start, self._works)
        assert self._service.vad is not None
        defaults = options_for(start, Utterance(type="utterance", id="-"))
        return Ear(start, defaults, self._works, self._service.vad)

    async def _hear_all(self) -> None:
        audience = self._audience
        assert audience is not None
        self._heard_at = asyncio.get_running_loop().time()
        while True:
            message = await self._receive_from(audience)
            if self._finishing is not None:
                raise Refusal("bad_message", "a message came after `finish`; expected none")
            if isinstance(message, bytes):
                await audience.hear(message)
                if message:
                    self._heard_at = asyncio.get_running_loop().time()
            else:
                await self._obey(message, audience)

    @property
    def _expects_audio(self) -> bool:
        return isinstance(self._audience, MarkedUtterances) and self._audience.expects_audio

    async def _receive_from(self, audience: MarkedUtterances | Ear) -> str | bytes:
        """The next message. Where audio is expected, this also sees that it has stopped coming."""
        while True:
            if isinstance(audience, Ear):
                limit = asyncio.timeout_at(self._silent_at(audience))
            else:
                limit = asyncio.timeout(self._service.settings.idle_secs if self._expects_audio else None)
            try:
                async with limit:
                    return await self._receive()
            except TimeoutError:
                await self._miss_audio(audience)

    def _silent_at(self, ear: Ear) -> float | None:
        """Until when audio has to come with server endpointing; None after `finish`."""
        if self._finishing is not None:
            return None
        gap = ear.longest_gap_secs
        return self._heard_at + (self._service.settings.idle_secs if gap is None else gap)

    async def _miss_audio(self, audience: MarkedUtterances | Ear) -> None:
        """The audio has stopped coming.

        Raises:
            Refusal: This ends the connection (`idle`).
        """
        refusal = Refusal("idle", f"no audio came for {self._service.settings.idle_secs:g} s")
        if isinstance(audience, MarkedUtterances):
            # Only this utterance is given up; the connection lives on its pongs.
            audience.refuse(refusal)
        elif audience.longest_gap_secs is not None:
            await audience.pause()
        elif len(self._works):
            # It waits for answers of ours.
            self._heard_at = asyncio.get_running_loop().time()
        else:
            raise refusal

    async def _obey(self, text: str, audience: MarkedUtterances | Ear) -> None:
        """Do what a control message says."""
        message = parse(text)
        if isinstance(message, Finish):
            await audience.finish()
            self._finish()
        elif isinstance(message, Cancel) and isinstance(audience, Ear):
            audience.cancel(message.id)
        elif isinstance(message, Start):
            raise Refusal("bad_message", "`start` came twice; expected it once, first")
        elif not isinstance(audience, MarkedUtterances):
            raise Refusal("bad_message", "only `cancel` and `finish` are taken with endpointing 'server'")
        elif isinstance(message, WrongUtterance):
            audience.begin_wrong(message)
        elif isinstance(message, Utterance):
            audience.begin(message)
        elif isinstance(message, End):
            audience.end(message)
        else:
            audience.cancel(message)

    # What the connection does.

    @property
    def _under_way(self) -> int:
        return len(self._works) + self._expects_audio

    async def _last_call(self) -> None:
        if isinstance(self._audience, Ear):
            # Its client never says that an utterance is complete: what was heard so far is.
            self._listening.cancel()
            await asyncio.wait([self._listening])
            await self._audience.finish()

    async def _answered(self) -> None:
        await self._works.done()

    async def _drop_all(self) -> None:
        await self._works.close()
