"""An engine whose answers are known, and a service around it on a free port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from configs.settings import AsrServiceSettings, Settings
from engines.errors import EngineError
from engines.protocol import DEFAULT_OPTIONS, Segment, Transcript, TranscriptionOptions, Word
from engines.vad import SileroVad
from services.asr.app import create_app
from services.asr.service import AsrService
from services.common.serving import drain
from tests.services import serving as serving_helpers
from tests.services.serving import connected, serving, until

__all__ = ["FakeEngine", "RunningService", "Talk", "raw", "running_service", "talking", "transcript_of", "until"]

SECOND = b"\x01\x00" * 16_000


def transcript_of(text: str, audio_secs: float = 1.0) -> Transcript:
    """A transcript with something in every field."""
    return Transcript(
        text=text,
        language="en",
        avg_logprob=-0.25,
        no_speech_prob=0.125,
        audio_secs=audio_secs,
        queue_secs=0.01,
        compute_secs=0.02,
        language_probability=0.5,
        segments=(Segment(text, 0.0, audio_secs, -0.25, 0.125, 1.5, 0.0, (1, 2)),),
        words=(Word(text.split()[0], 0.0, audio_secs, 0.75),) if text else (),
        batch_size=3,
        passes=2,
        features_secs=0.001,
        encode_secs=0.002,
        decode_secs=0.003,
    )


@dataclass
class FakeEngine:
    """Answers with what it was asked, once it is let go. Implements `engines.protocol.SpeechToText`."""

    name: str = "fake"
    sample_rate: int = 16_000
    has_room: bool = True
    problem: str | None = None
    text: str | None = None
    error: EngineError | Exception | None = None
    asked: list[tuple[bytes, TranscriptionOptions]] = field(default_factory=list)
    cancelled: int = 0
    running: int = 0
    closed: bool = False
    go: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.go.set()

    async def transcribe(self, pcm: bytes, options: TranscriptionOptions = DEFAULT_OPTIONS) -> Transcript:
        """Says how many samples it heard."""
        self.asked.append((pcm, options))
        self.running += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        if self.error:
            raise self.error
        text = f"{len(pcm) // 2} samples" if self.text is None else self.text
        return transcript_of(text, len(pcm) / 32_000)

    async def close(self) -> None:
        """Remember it."""
        self.closed = True


@dataclass
class RunningService:
    """A service in this process."""

    service: AsrService
    engine: FakeEngine
    port: int
    settings: AsrServiceSettings

    @property
    def address(self) -> str:
        """For `RemoteSpeechToText`."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """For HTTP."""
        return f"http://127.0.0.1:{self.port}"

    async def drain(self) -> None:
        """As at SIGTERM."""
        await drain(self.service.state, self.settings)

    def metric(self, name: str, **labels: str) -> float:
        """The value of a metric; 0 where it was never counted."""
        return self.service.metrics.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def running_service(
    engine: FakeEngine | None = None, *, port: int = 0, vad: bool = False, **settings: Any
) -> AsyncIterator[RunningService]:
    """Serve a fake engine; the settings are those of the section `asr`."""
    asr = AsrServiceSettings(**{"idle_secs": 5, "drain_secs": 1, "partial_secs": 0.1, **settings})
    service = AsrService(Settings(asr=asr))
    engine = engine or FakeEngine()
    ear = SileroVad() if vad else None
    service.engine, service.vad = engine, ear
    service.state.status = service.state.status.OK
    try:
        async with serving(create_app(service), asr, port) as port:
            yield RunningService(service, engine, port, asr)
    finally:
        await service.close()


@asynccontextmanager
async def talking(running: RunningService, **start: Any) -> AsyncIterator["Talk"]:
    """A raw WebSocket to the service; `start` is said and `ready` heard unless `start=None`."""
    async with raw(running) as talk:
        await talk.say("start", **{"version": 1, "sample_rate": 16_000, **start})
        assert (await talk.hear())["type"] == "ready"
        yield talk


@asynccontextmanager
async def raw(running: RunningService, **options: Any) -> AsyncIterator["Talk"]:
    """A raw WebSocket to the service, before anything was said."""
    async with connected(f"{running.address}/v1/stream/asr", **options) as websocket:
        yield Talk(websocket)


class Talk(serving_helpers.Talk):
    """Says and hears messages."""

    async def utter(self, utterance_id: str, pcm: bytes = SECOND, **options: Any) -> None:
        """Send a whole utterance."""
        await self.say("utterance", id=utterance_id, **options)
        await self.socket.send(pcm)
        await self.say("end", id=utterance_id)
