"""The calls of this process: admission, the list of those that run, the end of all."""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from aiortc import RTCIceServer
from loguru import logger
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection
from pipecat.transports.smallwebrtc.request_handler import SmallWebRTCPatchRequest

from agent.brain import with_model
from agent.engines import Engines
from agent.errors import NotFound, NotReady, ServerFull
from agent.metrics import Metrics
from agent.pipeline import build_call
from agent.session import Build, Call
from configs.settings import ServerSettings
from transports.reordering import WaitBounds
from transports.webrtc import Offer, Signalling, UnknownConnection

if TYPE_CHECKING:
    from agent.spans import Tracing

SESSION_SECS = 60.0
MAX_SESSIONS = 256
RETRY_AFTER_SECS = 10
BRAIN_CHECK_SECS = 5.0


def ice_config(settings: ServerSettings) -> list[dict[str, Any]]:
    """The ICE servers of the settings, as WebRTC's `RTCIceServer` dictionaries."""
    return [
        {
            "urls": list(server.urls),
            **({"username": server.username} if server.username else {}),
            **({"credential": server.credential.get_secret_value()} if server.credential else {}),
        }
        for server in settings.ice_servers
    ]


class Calls:
    """Takes offers and runs a call for each."""

    def __init__(
        self,
        settings: ServerSettings,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        build: Build = build_call,
        tracing: "Tracing | None" = None,
    ):
        self._build = build
        self._settings = settings
        self._tracing = tracing
        self._metrics = metrics
        self._clock = clock
        self._signalling = Signalling(
            [RTCIceServer(**server) for server in ice_config(settings)],
            waits=WaitBounds(settings.jitter_min_secs, settings.jitter_max_secs),
        )
        self._running: dict[Call, asyncio.Task[None]] = {}
        self._admitting = 0
        self._sessions: dict[str, float] = {}
        self._engines: Engines | None = None
        self._closing = False
        self._brain_checked_at = float("-inf")
        self._brain_answers = False
        self._brain_check = asyncio.Lock()

    @property
    def count(self) -> int:
        """Calls that run now."""
        return len(self._running)

    def open(self, engines: Engines) -> None:
        """Begin to take calls."""
        self._engines = engines

    async def not_ready(self) -> str | None:
        """Why a call would not succeed now; None if it would."""
        if self._closing:
            return "the server is stopping"
        if self._engines is None:
            return "the models are being loaded"
        if self.count + self._admitting >= self._settings.max_calls:
            return "all lines are busy"
        for what, engine in (("speech to text", self._engines.stt), ("text to speech", self._engines.tts)):
            if problem := engine.problem:
                return f"{what}: {problem}"
        if self._engines.brain.server is None and not await self._brain_is_there():
            return "the brain does not answer, or has no model"
        return None

    def new_session(self) -> str:
        """A session for `/sessions/{id}/api/offer`, good for `SESSION_SECS` until its first offer.

        Raises:
            NotReady, ServerFull: As for an offer.
        """
        self._admit()
        now = self._clock()
        self._sessions = {key: at for key, at in self._sessions.items() if now - at < SESSION_SECS}
        while len(self._sessions) >= MAX_SESSIONS:
            self._sessions.pop(next(iter(self._sessions)))
        session = str(uuid4())
        self._sessions[session] = now
        return session

    def check_session(self, session: str, pc_id: str | None) -> None:
        """Raises `NotFound` unless the session was started lately or its call is running."""
        began_at = self._sessions.get(session, float("-inf"))
        if self._clock() - began_at < SESSION_SECS or self._signalling.knows(pc_id):
            return
        raise NotFound(
            "There is no such session, or it began too long ago.",
            where="session id",
            expected="the sessionId of a POST /start within the last minute",
        )

    async def offer(self, offer: Offer, session: str | None = None) -> dict[str, str]:
        """Answer an offer: a new call, or a running one that renegotiates or comes back.

        Raises:
            NotReady: The server is starting or stopping.
            ServerFull: As many calls as the server takes.
            SignallingError: The SDP cannot be accepted.
        """
        if self._signalling.knows(offer.pc_id):
            return await self._signalling.answer(offer, self._refuse)
        engines = self._admit()
        call_id = uuid4().hex[:12]
        self._admitting += 1
        try:
            # The connection's own log lines, too, carry the call's id.
            with logger.contextualize(call_id=call_id):
                return await self._signalling.answer(offer, lambda it, _: self._begin(it, engines, call_id))
        finally:
            self._admitting -= 1
            if session is not None:
                self._sessions.pop(session, None)

    async def add_candidates(self, request: SmallWebRTCPatchRequest) -> None:
        """Pass ICE candidates to a running call. Raises `NotFound`."""
        try:
            await self._signalling.add_candidates(request)
        except UnknownConnection:
            raise NotFound(
                "There is no such call, or it has ended.", where="pc_id", expected="the pc_id of a running call"
            ) from None

    async def close(self) -> None:
        """Take no more calls, say farewell to those that run, and wait for them to end."""
        self._closing = True
        running = dict(self._running)
        if running:
            logger.info(f"ending the calls that run: {len(running)}")
            endings = [asyncio.create_task(call.end("shutdown")) for call in running]
            await asyncio.wait([*endings, *running.values()], timeout=self._settings.shutdown_secs)
            for task in (*endings, *running.values()):
                task.cancel()
            await asyncio.gather(*endings, *running.values(), return_exceptions=True)
        await self._signalling.close()

    def _admit(self) -> Engines:
        if self._closing:
            raise NotReady(
                "The agent is being switched off. Please try again later.", retry_after_secs=RETRY_AFTER_SECS
            )
        if self._engines is None:
            raise NotReady("The agent is still starting. Please try again in a few seconds.", retry_after_secs=3)
        if self.count + self._admitting >= self._settings.max_calls:
            raise ServerFull(
                f"All {self._settings.max_calls} lines are busy. Please try again in a moment.",
                retry_after_secs=RETRY_AFTER_SECS,
            )
        return self._engines

    async def _begin(self, connection: SmallWebRTCConnection, engines: Engines, call_id: str) -> None:
        if self._closing:
            raise NotReady("The agent is being switched off. Please try again later.")
        if engines.brain.model is None and (brain := await with_model(engines.brain)):
            engines.brain = brain
        call = Call(call_id, connection, engines, self._settings, self._metrics, self._build, self._tracing)
        task = asyncio.create_task(call.run(), name=f"call-{call.call_id}")
        self._running[call] = task
        task.add_done_callback(lambda _: self._ended(call))

    def _ended(self, call: Call) -> None:
        self._running.pop(call, None)
        self._signalling.forget(call.connection)

    async def _refuse(self, connection: SmallWebRTCConnection, _: Any) -> None:
        # It ended while its caller was coming back.
        raise NotFound("That call has ended.", where="pc_id", expected="the pc_id of a running call")

    async def _brain_is_there(self) -> bool:
        engines = self._engines
        assert engines is not None
        async with self._brain_check:
            if self._clock() - self._brain_checked_at >= BRAIN_CHECK_SECS:
                brain = await with_model(engines.brain)
                engines.brain = brain or engines.brain
                self._brain_answers = brain is not None
                self._brain_checked_at = self._clock()
        return self._brain_answers
