"""`POST /v1/audio/speech`: a text in, its sound out as it is made, as OpenAI's clients expect."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

from loguru import logger
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from engines.errors import EngineError
from services.common.app import welcome
from services.common.errors import Refusal, refusal_of, where_it_failed
from services.common.http import hang_up
from services.common.limits import timely
from services.common.web import unless_hung_up
from services.tts.account import Account
from services.tts.encoders import FORMATS
from services.tts.order import Order, read_order
from services.tts.outlet import Outlet
from services.tts.script import Script
from services.tts.service import TtsService

SAMPLE_RATE = 24_000
"""Of every file, in Hz, as OpenAI's `pcm` has it."""


class Speech:
    """The endpoint, as an ASGI app: it has its place in the service until the last byte is sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        service: TtsService = welcome(request)
        with service.state.request():
            try:
                body = Request(scope, timely(receive, service.state, idle_secs=service.settings.idle_secs))
                order = read_order(await body.body(), max_chars=service.settings.max_text_chars)
                service.check_model(order.model)
                await unless_hung_up(request, _Answer(service, request, order, send).run())
            except (ClientDisconnect, asyncio.CancelledError):
                # Nobody reads more: the client has hung up, or the service has stopped.
                hang_up(scope)


class _Answer:
    """One file on its way."""

    def __init__(self, service: TtsService, request: Request, order: Order, send: Send):
        self._service = service
        self._request = request
        self._order = order
        self._send = send
        make, self._media_type = FORMATS[order.response_format]
        self._encoder = make(SAMPLE_RATE)
        self._begun = False

    async def run(self) -> None:
        """Send it all.

        Raises:
            Refusal, EngineError: Before anything was sent. Later the connection is torn down: what was sent must not
                pass for the whole.
        """
        try:
            async with aclosing(self._pieces()) as pieces:  # pyright: ignore[reportArgumentType]
                async for piece in pieces:
                    if piece:
                        await self._give(piece)
            await self._give(b"", more=False)
        except Exception as error:
            if not self._begun:
                raise
            self._tear_down(error)

    async def _pieces(self) -> AsyncIterator[bytes]:
        """The file in pieces; none before it is known that something in it can be heard."""
        encoders, is_heard, held = self._service.encoders, False, b""
        async with aclosing(self._sound()) as sound:  # pyright: ignore[reportArgumentType]
            async for pcm in sound:
                # An engine makes plain silence of a script that it cannot read.
                is_heard = is_heard or bool(pcm.strip(b"\0"))
                held += await encoders.run(lambda pcm=pcm: self._encoder.encode(pcm))
                if is_heard:
                    yield held
                    held = b""
        if not is_heard:
            raise Refusal("refused", "there is nothing in the input that can be spoken", param="input")
        yield await encoders.run(self._encoder.finish)

    async def _sound(self) -> AsyncIterator[bytes]:
        """PCM16 at the file's rate."""
        engine = self._service.engine
        assert engine is not None
        outlet = Outlet(engine.sample_rate, SAMPLE_RATE)
        account = Account(Script.of(self._order.input))
        chunks = self._service.speak(account, self._order.options, way="file")
        async with aclosing(chunks):  # pyright: ignore[reportArgumentType]
            async for chunk in chunks:
                for piece in outlet.feed(chunk):
                    yield piece.pcm
        for piece in outlet.finish():
            yield piece.pcm

    async def _give(self, piece: bytes, *, more: bool = True) -> None:
        try:
            async with asyncio.timeout(self._service.settings.slow_secs):
                if not self._begun:
                    self._begun = True
                    headers = [(b"content-type", self._media_type.encode())]
                    await self._send({"type": "http.response.start", "status": 200, "headers": headers})
                await self._send({"type": "http.response.body", "body": piece, "more_body": more})
        except TimeoutError:
            secs = self._service.settings.slow_secs
            raise Refusal("slow_reader", f"sound has waited for {secs:g} s to be read") from None

    def _tear_down(self, error: Exception) -> None:
        refusal = refusal_of(error) if isinstance(error, EngineError) else error
        if isinstance(refusal, Refusal):
            logger.warning(f"a file was not completed: {refusal}")
            self._service.metrics.refused.labels(refusal.code).inc()
        else:
            logger.error(f"a file was not completed: {where_it_failed(error)}")
            self._service.metrics.refused.labels("internal").inc()
        hang_up(self._request.scope)
