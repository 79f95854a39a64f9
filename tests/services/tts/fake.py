"""A voice whose sound is known, and a service around it on a free port."""

import asyncio
import json
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from configs.settings import Settings, TtsServiceSettings
from engines.protocol import DEFAULT_SPEECH, Mark, SpeechChunk, SpeechOptions, Voice
from services.common.serving import drain
from services.tts.app import create_app
from services.tts.service import TtsService
from tests.services import serving as serving_helpers
from tests.services.serving import connected, serving

RATE = 24_000
WORD = 2_400
"""Samples of each word."""

LONG = 10 * RATE
"""Samples of the word "long"."""


def sound(start: int, samples: int = WORD) -> bytes:
    """A tone of 440 Hz, from a sample of the stream on."""
    return (8000 * np.sin(np.arange(start, start + samples) * 2 * np.pi * 440 / RATE)).astype("<i2").tobytes()


@dataclass
class FakeVoice:
    """A tenth of a second of sound for each word, once it is let go. Implements `engines.protocol.TextToSpeech`."""

    name: str = "fake"
    sample_rate: int = RATE
    problem: str | None = None
    word_samples: int = WORD
    error: Exception | None = None
    error_after: int = 0
    """Words before the error."""
    held_after: int = 0
    """Words after which it has to be let go again."""
    read: list[str] = field(default_factory=list)
    asked: list[SpeechOptions] = field(default_factory=list)
    running: int = 0
    cancelled: int = 0
    words: int = 0
    closed: bool = False
    go: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.go.set()

    async def voices(self) -> tuple[Voice, ...]:
        """Two."""
        return (Voice("anna", "the first"), Voice("otto", "the second", None))

    async def synthesize(
        self, text: AsyncIterable[str], options: SpeechOptions = DEFAULT_SPEECH
    ) -> AsyncIterator[SpeechChunk]:
        """A chunk for each word."""
        self.asked.append(options)
        self.running += 1
        at, whole = 0, False
        try:
            async for piece in text:
                self.read.append(piece)
                for word in piece.split():
                    await self.go.wait()
                    if self.error is not None and at >= self.error_after * self.word_samples:
                        raise self.error
                    self.words += 1
                    if self.words == self.held_after:
                        self.go.clear()
                    end = at + (LONG if word == "long" else self.word_samples)
                    yield SpeechChunk(sound(at, end - at), (Mark(word, at, end),))
                    at = end
            whole = True
        finally:
            self.running -= 1
            self.cancelled += not whole

    async def close(self) -> None:
        """Remember it."""
        self.closed = True


@dataclass
class RunningService:
    """A service in this process."""

    service: TtsService
    engine: FakeVoice
    port: int
    settings: TtsServiceSettings

    @property
    def address(self) -> str:
        """For `RemoteTextToSpeech`."""
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
async def running_service(engine: Any = None, *, port: int = 0, **settings: Any) -> AsyncIterator[RunningService]:
    """Serve a fake voice; the settings are those of the section `tts_service`."""
    tts = TtsServiceSettings(**{"idle_secs": 5, "drain_secs": 1, **settings})
    service = TtsService(Settings(tts_service=tts))
    engine = engine or FakeVoice()
    service.open(engine)
    try:
        async with serving(create_app(service), tts, port) as port:
            yield RunningService(service, engine, port, tts)
    finally:
        await service.close()


@dataclass
class Heard:
    """What came of one stream."""

    said: list[dict[str, Any]] = field(default_factory=list)
    pcm: bytes = b""

    @property
    def marks(self) -> list[tuple[str, int, int]]:
        """All of them."""
        return [(mark["text"], mark["start"], mark["end"]) for said in self.said for mark in said.get("marks", ())]

    @property
    def last(self) -> dict[str, Any]:
        """The last message."""
        return self.said[-1]


class Talk(serving_helpers.Talk):
    """Says and hears messages."""

    async def speak(self, stream_id: str, *texts: str, **options: Any) -> None:
        """Have a whole text spoken."""
        await self.say("speak", id=stream_id, **options)
        for text in texts:
            await self.say("text", id=stream_id, text=text)
        await self.say("end", id=stream_id)

    async def hear_any(self) -> tuple[dict[str, Any], bytes]:
        """The next message, and the sound that it announces."""
        message = await self.hear()
        if message["type"] != "audio":
            return message, b""
        async with asyncio.timeout(10):
            pcm = await self.socket.recv()
        assert isinstance(pcm, bytes) and len(pcm) == 2 * message["samples"]
        return message, pcm

    async def hear_streams(self, *ids: str) -> dict[str, Heard]:
        """What comes, until the last of these streams has ended."""
        heard: dict[str, Heard] = {}
        missing = set(ids)
        while missing:
            message, pcm = await self.hear_any()
            stream = heard.setdefault(message.get("id", ""), Heard())
            if pcm:
                assert message["start"] * 2 == len(stream.pcm), "nothing is left out"
            stream.said.append(message)
            stream.pcm += pcm
            if message["type"] in ("done", "error", "cancelled"):
                missing.discard(message.get("id", ""))
        return heard

    async def hear_stream(self, stream_id: str) -> Heard:
        """What comes of one stream."""
        return (await self.hear_streams(stream_id))[stream_id]


@asynccontextmanager
async def raw(running: RunningService, **options: Any) -> AsyncIterator[Talk]:
    """A raw WebSocket to the service, before anything was said."""
    async with connected(f"{running.address}/v1/stream/tts", **options) as websocket:
        yield Talk(websocket)


@asynccontextmanager
async def talking(running: RunningService, **start: Any) -> AsyncIterator[Talk]:
    """A raw WebSocket to the service that has been greeted."""
    async with raw(running) as talk:
        await talk.say("start", **{"version": 1, **start})
        assert (await talk.hear())["type"] == "ready"
        yield talk


def message(kind: str, **fields: Any) -> bytes:
    """A message for a client below WebSocket libraries."""
    return json.dumps({"type": kind, **fields}).encode()
