"""The socket of one WebSocket client, from its first message to its close frame. What is said is each service's own."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from loguru import logger
from starlette.websockets import WebSocket, WebSocketDisconnect

from engines.wire import VERSION, CloseCode
from services.common.errors import Refusal, where_it_failed
from services.common.outbox import Outbox
from services.common.service import Service
from services.common.websockets import hang_up, short_reason

FLUSH_SECS = 2.0
REFUSED_BELOW = {int(CloseCode.TOO_BIG): "too_large", int(CloseCode.IDLE): "idle"}
"""What the layer below closes by itself, for the metrics."""


@dataclass(frozen=True)
class Ending:
    """How a connection ends. A code of None: the client has gone."""

    code: int | None
    reason: str = ""
    error: str | None = None
    """Code of the error that is told before."""


async def converse(websocket: WebSocket, kind: "type[Connection]") -> None:
    """The endpoint of a service: let the client in, or close with the reason why not."""
    service: Service = websocket.app.state.service
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
        await kind(service, websocket).run()


class Connection:
    """One client. A service's own overrides the methods that raise `NotImplementedError`."""

    def __init__(self, service: Service, websocket: WebSocket):
        """
        Args:
            service: Does the work.
            websocket: Accepted.
        """
        self._base = service
        self._websocket = websocket
        self._outbox = Outbox(websocket, max_messages=service.settings.max_outgoing)
        self._ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._finishing: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    # What a service's own connection does.

    def _greet(self, message: str | bytes) -> None:
        """Take the first message.

        Raises:
            Refusal: It is not the one that is expected.
        """
        raise NotImplementedError

    async def _hear_all(self) -> None:
        """Take the messages that follow, for ever.

        Raises:
            Refusal: One breaks the protocol.
        """
        raise NotImplementedError

    @property
    def _under_way(self) -> int:
        """Requests that a drain waits for."""
        raise NotImplementedError

    async def _last_call(self) -> None:
        """The service stops: end what the client would never end by itself."""

    async def _answered(self) -> None:
        """Wait until everything is answered: the client has said `finish`."""
        raise NotImplementedError

    async def _drop_all(self) -> None:
        """Cancel what is under way."""
        raise NotImplementedError

    # The life of the connection.

    async def run(self) -> None:
        """Until the client has gone, or has been closed."""
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
        await self._drop_all()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self) -> None:
        try:
            async with asyncio.timeout(self._base.settings.idle_secs):
                self._greet(await self._receive())
            await self._hear_all()
        except WebSocketDisconnect as gone:
            if code := REFUSED_BELOW.get(gone.code):
                self._base.metrics.refused.labels(code).inc()
            self._end(Ending(None, str(gone.code)))
        except TimeoutError:
            self._fail(Refusal("idle", f"no `start` came for {self._base.settings.idle_secs:g} s"))
        except Exception as error:
            self._fail(error)

    async def _receive(self) -> str | bytes:
        event = await self._websocket.receive()
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(event.get("code", CloseCode.NORMAL), event.get("reason"))
        text = event.get("text")
        return text if text is not None else event["bytes"]

    def _finish(self) -> None:
        """The client has said everything. In a task: one that goes in the meantime is noticed."""

        async def finish() -> None:
            await self._answered()
            self._end(Ending(CloseCode.NORMAL, "finished"))

        self._finishing = asyncio.create_task(finish())
        self._tasks.append(self._finishing)

    async def _drain(self) -> None:
        """When the service stops: say so, answer what runs, and send the client elsewhere."""
        await self._base.state.draining.wait()
        try:
            async with asyncio.timeout(self._base.settings.drain_secs):
                self._say({"type": "draining"})
                if self._finishing is None:
                    await self._last_call()
                while self._under_way:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            logger.warning(f"{self._under_way} requests of a connection were not answered in time")
        except Exception as error:
            self._fail(error)
        self._end(Ending(CloseCode.GOING_AWAY, "the service is stopping; go elsewhere"))

    # What is told to the client.

    def _say(self, message: Mapping[str, Any]) -> None:
        self._outbox.put(message)

    def _fail(self, error: BaseException) -> None:
        """Something ends the connection: a refusal, or a fault of ours."""
        if self._ended.done():
            return
        if not isinstance(error, Refusal):
            # The error's own text may quote what was said.
            logger.error(f"a connection failed: {where_it_failed(error)}")
            error = Refusal("internal", "the service failed at this connection; its log says more")
        self._base.metrics.refused.labels(error.code).inc()
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


def check_version(version: int) -> None:
    """Raises `Refusal` (`unsupported`) unless the client speaks our version."""
    if version != VERSION:
        raise Refusal("unsupported", f"version {version} is not spoken here; expected {VERSION}")


def check_rate(rate: int, rates: tuple[int, ...]) -> None:
    """Raises `Refusal` (`unsupported`) unless a sample rate, in Hz, is one of those that are taken."""
    if rate not in rates:
        raise Refusal("unsupported", f"sample_rate {rate} is not taken; expected one of {', '.join(map(str, rates))}")


def not_a_start(message: str | bytes) -> Refusal:
    """The refusal of a first message that is not `start`."""
    came = f"{len(message)} bytes of audio" if isinstance(message, bytes) else "another"
    return Refusal("bad_message", f"the first message was {came}; expected `start`")
