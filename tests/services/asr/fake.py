"""An engine whose answers are known, and a service around it on a free port."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from configs.settings import AsrServiceSettings, Settings
from engines.errors import EngineError
from engines.protocol import DEFAULT_OPTIONS, Segment, Transcript, TranscriptionOptions, Word
from engines.vad import SileroVad
from services.asr.app import create_app
from services.asr.service import AsrService
from services.common.serving import drain, new_server

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
    listener = socket.create_server(("127.0.0.1", port))
    # As `server.serve()` does, without the tenths of a second that it sleeps.
    server = new_server(asr, create_app(service))
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup(sockets=[listener])
    try:
        yield RunningService(service, engine, listener.getsockname()[1], asr)
    finally:
        for listening in server.servers:
            listening.close()
        listener.close()
        for connection in list(server.server_state.connections):
            connection.shutdown()
        await until(lambda: not server.server_state.connections and not server.server_state.tasks)
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
    options = {"proxy": None, "compression": None, "close_timeout": 1, **options}
    async with connect(f"{running.address}/v1/stream/asr", **options) as websocket:
        yield Talk(websocket)


@dataclass
class Talk:
    """Says and hears messages."""

    socket: ClientConnection

    async def say(self, kind: str, **fields: Any) -> None:
        """Send a control message."""
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def utter(self, utterance_id: str, pcm: bytes = SECOND, **options: Any) -> None:
        """Send a whole utterance."""
        await self.say("utterance", id=utterance_id, **options)
        await self.socket.send(pcm)
        await self.say("end", id=utterance_id)

    async def hear(self, secs: float = 10) -> dict[str, Any]:
        """The next message."""
        async with asyncio.timeout(secs):
            return json.loads(await self.socket.recv())

    async def hear_all(self) -> list[dict[str, Any]]:
        """Every message until the connection is closed."""
        async with asyncio.timeout(10):
            return [json.loads(message) async for message in _until_closed(self.socket)]

    async def close_code(self) -> int | None:
        """The code with which the service closes, whatever it says before."""
        async with asyncio.timeout(10):
            async for _ in _until_closed(self.socket):
                pass
            await self.socket.wait_closed()
        return self.socket.close_code


async def _until_closed(websocket: ClientConnection) -> AsyncIterator[str | bytes]:
    from websockets.exceptions import ConnectionClosed

    try:
        while True:
            yield await websocket.recv()
    except ConnectionClosed:
        return


async def until(condition: Any, secs: float = 5) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(secs):
        while not condition():
            await asyncio.sleep(0.01)
