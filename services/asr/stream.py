"""`/v1/stream/asr`: the socket of one client, from its first message to its close frame."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any

from loguru import logger
from starlette.websockets import WebSocket, WebSocketDisconnect

from engines.wire import VERSION, CloseCode
from services.asr.ear import Ear
from services.asr.intake import ENGINE_RATE, SAMPLE_RATES
from services.asr.messages import Cancel, End, Finish, Start, Utterance, WrongUtterance, options_for, parse
from services.asr.service import AsrService
from services.asr.session import MarkedUtterances, Works
from services.common.errors import Refusal, where_it_failed
from services.common.outbox import Outbox
from services.common.websockets import hang_up, short_reason

FLUSH_SECS = 2.0
REFUSED_BELOW = {int(CloseCode.TOO_BIG): "too_large", int(CloseCode.IDLE): "idle"}
"""What the layer below closes by itself, for the metrics."""


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a connection ends. A code of None: the client has gone."""

    code: int | None
    reason: str = ""
    error: str | None = None
    """Code of the error that is told before."""


async def stream(websocket: WebSocket) -> None:
    """The endpoint."""
    service: AsrService = websocket.app.state.service
    await websocket.accept()
    with contextlib.ExitStack() as held:
        try:
            service.access.check(websocket.headers)
            held.enter_context(service.state.connection())
        except Refusal as refusal:
            service.metrics.refused.labels(refusal.code).inc()
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await websocket.close(refusal.close_code, short_reason(str(refusal)))
            return
        await _Connection(service, websocket).run()


class _Connection:
    def __init__(self, service: AsrService, websocket: WebSocket):
        self._service = service
        self._websocket = websocket
        self._outbox = Outbox(websocket, max_messages=service.settings.max_outgoing)
        self._ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._works = Works(service, self._say, self._fail)
        self._audience: MarkedUtterances | Ear | None = None
        self._heard_at = 0.0
        """When the last audio had been heard, by the loop's clock."""
        self._finishing: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        sending = asyncio.create_task(self._outbox.run())
        self._listening = asyncio.create_task(self._listen())
        self._tasks = [self._listening, asyncio.create_task(self._drain())]
        try:
            ending = await self._ended
            await self._stop()
            await self._close(ending)
        finally:
            sending.cancel()
            await self._stop()
            await asyncio.gather(sending, return_exceptions=True)

    async def _stop(self) -> None:
        """Listen no more, and drop what is under way."""
        for task in self._tasks:
            task.cancel()
        await self._works.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # What the client says.

    async def _listen(self) -> None:
        try:
            async with asyncio.timeout(self._service.settings.idle_secs):
                audience = self._audience = self._greet(await self._receive())
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
        except WebSocketDisconnect as gone:
            if code := REFUSED_BELOW.get(gone.code):
                self._service.metrics.refused.labels(code).inc()
            self._end(Ending(None, str(gone.code)))
        except TimeoutError:
            self._fail(Refusal("idle", f"no `start` came for {self._service.settings.idle_secs:g} s"))
        except Exception as error:
            self._fail(error)

    async def _receive(self) -> str | bytes:
        event = await self._websocket.receive()
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(event.get("code", CloseCode.NORMAL), event.get("reason"))
        text = event.get("text")
        return text if text is not None else event["bytes"]

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

    def _greet(self, message: str | bytes) -> MarkedUtterances | Ear:
        start = parse(message) if isinstance(message, str) else None
        if not isinstance(start, Start):
            came = f"{len(message)} bytes of audio" if isinstance(message, bytes) else "another"
            raise Refusal("bad_message", f"the first message was {came}; expected `start`")
        if start.version != VERSION:
            raise Refusal("unsupported", f"version {start.version} is not spoken here; expected {VERSION}")
        if start.sample_rate not in SAMPLE_RATES:
            rates = ", ".join(map(str, SAMPLE_RATES))
            raise Refusal("unsupported", f"sample_rate {start.sample_rate} is not taken; expected one of {rates}")
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
        if start.endpointing == "client":
            return MarkedUtterances(start, self._works)
        assert self._service.vad is not None
        defaults = options_for(start, Utterance(type="utterance", id="-"))
        return Ear(start, defaults, self._works, self._service.vad)

    async def _obey(self, text: str, audience: MarkedUtterances | Ear) -> None:
        """Do what a control message says."""
        message = parse(text)
        if isinstance(message, Finish):
            await audience.finish()
            # In a task: a client that goes in the meantime is noticed.
            self._finishing = asyncio.create_task(self._finish())
            self._tasks.append(self._finishing)
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

    async def _finish(self) -> None:
        await self._works.done()
        self._end(Ending(CloseCode.NORMAL, "finished"))

    # What is told to the client.

    def _say(self, message: Mapping[str, Any]) -> None:
        self._outbox.put(message)

    async def _drain(self) -> None:
        """When the service stops: say so, answer what runs, and send the client elsewhere."""
        await self._service.state.draining.wait()
        try:
            async with asyncio.timeout(self._service.settings.drain_secs):
                self._say({"type": "draining"})
                if isinstance(self._audience, Ear) and self._finishing is None:
                    # Its client never says that an utterance is complete: what was heard so far is.
                    self._listening.cancel()
                    await asyncio.wait([self._listening])
                    await self._audience.finish()
                while len(self._works) or self._expects_audio:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            logger.warning(f"{len(self._works)} utterances of a connection were not answered in time")
        except Exception as error:
            self._fail(error)
        self._end(Ending(CloseCode.GOING_AWAY, "the service is stopping; go elsewhere"))

    def _fail(self, error: BaseException) -> None:
        """Something ends the connection: a refusal, or a fault of ours."""
        if self._ended.done():
            return
        if not isinstance(error, Refusal):
            # The error's own text may quote what was said.
            logger.error(f"a connection failed: {where_it_failed(error)}")
            error = Refusal("internal", "the service failed at this connection; its log says more")
        self._service.metrics.refused.labels(error.code).inc()
        self._end(Ending(error.close_code, str(error), error.code))

    def _end(self, ending: Ending) -> None:
        if not self._ended.done():
            self._ended.set_result(ending)

    async def _close(self, ending: Ending) -> None:
        if ending.code is None:
            return
        reason = short_reason(ending.reason)
        readable = ending.code != CloseCode.SLOW_READER
        if readable:
            with contextlib.suppress(Refusal):
                if ending.error:
                    self._say({"type": "error", "code": ending.error, "message": ending.reason})
            readable = await self._outbox.flush(FLUSH_SECS)
        if not readable and (tear_down := hang_up(self._websocket.scope)):
            tear_down(ending.code, reason)
            return
        with contextlib.suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
            async with asyncio.timeout(FLUSH_SECS):
                await self._websocket.close(ending.code, reason)
