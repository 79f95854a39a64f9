"""One call: build its pipeline, run it, watch its limits, clean up."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loguru import logger
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    ErrorFrame,
    InterruptionFrame,
    TTSSpeakFrame,
)
from pipecat.observers.base_observer import BaseObserver, FramePushed
from pipecat.pipeline.worker import PipelineWorker
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection
from pipecat.transports.smallwebrtc.transport import SmallWebRTCTransport
from pipecat.workers.runner import WorkerRunner

from agent.engines import Engines
from agent.leaving import Leaving
from agent.manners import Manners, Parts
from agent.metrics import Metrics
from agent.pipeline import build_call
from agent.problems import Problem, cause_of, problem_of
from configs.settings import ServerSettings
from processors.latency import TurnLatency
from processors.latency_observer import LatencyObserver
from processors.mouth import Mouth
from transports.inbound_audio import WireMeter
from transports.webrtc import Liveness

if TYPE_CHECKING:
    from agent.spans import Tracing

GOODBYE_SECS = 10.0
DATA_CHANNEL_SECS = 0.2
"""The data channel sends on its own time."""

PROBLEM_PAUSE_SECS = 3.0
"""Faults that follow each other faster than this are told once."""

FAREWELLS = {
    "time_limit": "This call has reached its time limit. Thank you for calling, goodbye.",
    "idle": "I have not heard you for a while, so I am hanging up. Goodbye.",
    "shutdown": "I am being switched off now. Please call again later. Goodbye.",
}


Build = Callable[..., tuple[PipelineWorker, Parts | None]]
"""What makes the pipeline of a call: `build_call`, or another with its arguments. Without parts, it has no manners."""


@dataclass(eq=False)
class Call:
    """One caller, from the offer to the end.

    `run` returns when nothing of the call is left. How it ended stands in `ended`: `hangup`, `vanished`,
    `never-connected`, `agent_hung_up`, `time_limit`, `idle`, `shutdown` or `error`.
    """

    call_id: str
    connection: SmallWebRTCConnection
    engines: Engines
    limits: ServerSettings
    metrics: Metrics
    build: Build = build_call
    tracing: "Tracing | None" = None
    ended: str = ""
    _wire: WireMeter | None = None
    _worker: PipelineWorker | None = None
    _leaving: Leaving = field(init=False)
    _runner: WorkerRunner | None = None
    _output: BaseOutputTransport | None = None
    _mouth: Mouth = field(default_factory=Mouth)
    _manners: Manners | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _last_problem_at: float = float("-inf")

    def __post_init__(self) -> None:
        self._leaving = Leaving(self._leave)

    async def run(self) -> None:
        """Run the call to its end. Raises nothing: a fault is logged, counted, and ends this call only."""
        began_at = time.monotonic()
        self._wire = WireMeter(self.connection)
        self.metrics.calls.inc()
        self.metrics.calls_now.inc()
        logger.info("call begins")
        try:
            await self._converse()
        except Exception:
            self.ended = "error"
            self.metrics.errors.labels("call").inc()
            logger.exception("call failed")
        finally:
            self._count_wire()
            try:
                await self._clean_up()
            finally:
                took = time.monotonic() - began_at
                self.metrics.calls_now.dec()
                self.metrics.calls_ended.labels(self.ended or "hangup").inc()
                self.metrics.call_secs.observe(took)
                logger.info(f"call ended after {took:.1f} s: {self.ended or 'hangup'}")

    async def end(self, reason: str) -> None:
        """Say farewell, tell the page why, and hang up; the whole within `GOODBYE_SECS`."""
        if self.ended:
            return
        self.ended = reason
        if self._manners is not None:
            self._manners.close()
        worker = self._worker
        if worker is not None:
            message = FAREWELLS[reason]
            try:
                async with asyncio.timeout(GOODBYE_SECS):
                    await worker.queue_frames([InterruptionFrame(), TTSSpeakFrame(message, append_to_context=False)])
                    await worker.flush_pipeline()
                await self._tell({"type": "call-ending", "reason": reason, "message": message})
                await asyncio.sleep(DATA_CHANNEL_SECS)
            except TimeoutError:
                logger.warning("the farewell took too long and was cut")
        await self._hang_up(reason)

    def hang_up_when_heard(self, words: str) -> None:
        """End the call when what is being said, and then these words, have been heard; the brain's `hang_up`."""
        if self._worker is not None and not self.ended:
            self._leaving.begin(self._worker, words)

    async def _leave(self) -> None:
        if self.ended:
            return
        self.ended = "agent_hung_up"
        await self._tell({"type": "call-ending", "reason": self.ended, "message": "The agent has hung up."})
        await asyncio.sleep(DATA_CHANNEL_SECS)
        await self._hang_up(self.ended)

    async def _converse(self) -> None:
        mouth = self._mouth
        transport = SmallWebRTCTransport(
            self.connection,
            TransportParams(
                audio_in_enabled=True, audio_out_enabled=True, audio_out_10ms_chunks=2, audio_out_filter=mouth
            ),
        )
        worker, parts = self.build(
            transport,
            self.engines,
            mouth,
            idle_secs=self.limits.idle_secs,
            observers=[LatencyObserver(self._answered), _InterruptionCounter(self.metrics), self._leaving],
            on_cut=self._cut,
            traced_as=self.call_id if self.tracing is not None else None,
            control=self,
        )
        self._worker, self._output = worker, transport.output()
        if parts is not None:
            self._manners = Manners(parts, self.engines.talking, lambda: self.end("idle"))
        self._runner = runner = WorkerRunner(handle_sigint=False)
        self._listen_to(transport, worker)
        await runner.add_workers(worker)
        self._spawn(self._watch_caller())
        self._spawn(self._watch_clock())
        await runner.run()

    def _listen_to(self, transport: SmallWebRTCTransport, worker: PipelineWorker) -> None:
        @transport.event_handler("on_client_connected")
        async def _(*_: Any) -> None:
            if self._manners is not None:
                self._manners.connected()

        @transport.event_handler("on_client_disconnected")
        async def _(*_: Any) -> None:
            await self._hang_up("hangup")

        @worker.rtvi.event_handler("on_client_ready")
        async def _(*_: Any) -> None:
            await self._tell({"type": "call", "call_id": self.call_id})

        @worker.event_handler("on_idle_timeout")
        async def _(*_: Any) -> None:
            self._spawn(self.end("idle"))

        @worker.event_handler("on_pipeline_error")
        async def _(_: PipelineWorker, frame: ErrorFrame) -> None:
            await self._report(frame)

    async def _answered(self, latency: TurnLatency) -> None:
        self.metrics.turn(latency)
        self._count_wire()
        logger.info(f"turn {latency.turn} answered in {latency.voice_to_voice_ms:.0f} ms")
        if self.tracing is not None and self._worker is not None and (turns := self._worker.turn_trace_observer):
            self.tracing.answered(turns.get_current_turn_context(), latency)
        await self._tell({"type": "latency", **latency.as_dict()})

    def _count_wire(self) -> None:
        if self._wire is not None and (news := self._wire.news()):
            self.metrics.wire(*news)

    async def _cut(self, heard: str) -> None:
        """The caller interrupted an answer of which these words were played."""
        if self.ended and self.ended not in FAREWELLS:
            return
        await self._tell({"type": "interrupted", "heard": heard})

    async def _report(self, frame: ErrorFrame) -> None:
        problem = problem_of(frame)
        if problem is None:
            return
        self.metrics.errors.labels(problem.kind).inc()
        logger.error(f"{problem.kind} failed: {cause_of(frame)}")
        now = time.monotonic()
        if problem.spoken is None or self.ended or now - self._last_problem_at < PROBLEM_PAUSE_SECS:
            return
        self._last_problem_at = now
        await self._tell({"type": "problem", "kind": problem.kind, "message": problem.spoken})
        await self._say_problem(problem)

    async def _say_problem(self, problem: Problem) -> None:
        """With sound made beforehand: the voice may be what failed."""
        assert problem.spoken is not None
        if self._output is not None and (frames := self.engines.phrases.frames(problem.spoken)):
            # It comes not by the voice, which would say that something new is to be heard.
            self._mouth.open()
            for frame in frames:
                await self._output.queue_frame(frame)
        elif self._worker is not None and problem.kind != "tts":
            await self._worker.queue_frame(TTSSpeakFrame(problem.spoken, append_to_context=False))

    async def _tell(self, message: dict[str, Any]) -> None:
        if self._worker is not None:
            await self._worker.rtvi.send_server_message(message)

    async def _watch_caller(self) -> None:
        liveness = Liveness(self.connection, time.monotonic)
        reason = await liveness.until_gone(vanish_secs=self.limits.vanish_secs, connect_secs=self.limits.connect_secs)
        await self._hang_up(reason)

    async def _watch_clock(self) -> None:
        await asyncio.sleep(self.limits.max_call_secs)
        await self.end("time_limit")

    async def _hang_up(self, reason: str) -> None:
        self.ended = self.ended or reason
        if self._runner is not None:
            await self._runner.cancel(reason=reason)

    def _spawn(self, work: Awaitable[None]) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)  # pyright: ignore[reportAssignmentType]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _clean_up(self) -> None:
        if self._manners is not None:
            self._manners.close()
        await self._leaving.close()
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Pipecat's transport does not close the connection of a caller who stopped sending.
        await self.connection.disconnect()
        self._worker = self._runner = self._output = self._manners = None


class _InterruptionCounter(BaseObserver):
    """Counts the answers that the caller interrupted."""

    def __init__(self, metrics: Metrics):
        super().__init__(observe_every_push=False)
        self._metrics = metrics
        self._speaking = False

    async def on_push_frame(self, data: FramePushed) -> None:
        if isinstance(data.frame, BotStartedSpeakingFrame):
            self._speaking = True
        elif isinstance(data.frame, BotStoppedSpeakingFrame):
            self._speaking = False
        elif isinstance(data.frame, InterruptionFrame) and self._speaking:
            self._speaking = False
            self._metrics.interruptions.inc()
