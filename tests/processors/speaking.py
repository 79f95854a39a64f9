"""An engine that does as a test says, a transport that plays in real time, and a call made of both."""

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from pipecat.frames.frames import (
    EndFrame,
    Frame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    OutputAudioRawFrame,
    StartFrame,
    TTSAudioRawFrame,
    TTSTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.workers.runner import WorkerRunner

from engines.errors import EngineError
from engines.protocol import DEFAULT_SPEECH, Mark, SpeechChunk, SpeechOptions, Voice
from processors.tts import EngineTTSService

RATE = 24_000
PARAMS = PipelineParams(audio_out_sample_rate=RATE)


class FakeVoice:
    """Says each flushed sentence as one chunk, in which every word is `word_secs` long.

    Args:
        faults: For each stream in turn: what it raises instead of its first sentence, or None.
        word_secs: Length of a word.
        delay_secs: Wait before each sentence.
        endless: Whether it goes on making sound after the first sentence.
        mute: Streams, from the first, that never give anything.
    """

    name = "voice"
    sample_rate = RATE
    problem = None

    def __init__(
        self,
        *faults: Exception | None,
        word_secs: float = 0.02,
        delay_secs: float = 0.0,
        endless: bool = False,
        mute: int = 0,
    ):
        self.faults = iter(faults)
        self.word_secs = word_secs
        self.delay_secs = delay_secs
        self.endless = endless
        self.mute = mute
        self.said: list[str] = []
        self.streams: list[SpeechOptions] = []
        self.open = self.most_open = 0
        self.closed_early = 0
        self.made_secs = 0.0

    async def voices(self) -> tuple[Voice, ...]:
        return (Voice("default", "a test"),)

    async def synthesize(
        self, text: AsyncIterable[str], options: SpeechOptions = DEFAULT_SPEECH
    ) -> AsyncIterator[SpeechChunk]:
        self.streams.append(options)
        number = len(self.streams)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        fault: Exception | None = next(self.faults, None)
        whole, at = False, 0
        try:
            async for sentence in _sentences(text):
                self.said.append(sentence)
                if fault is not None:
                    raise fault
                await asyncio.sleep(3600 if number <= self.mute else self.delay_secs)
                chunk = self._chunk(sentence, at)
                at += len(chunk.pcm) // 2
                if chunk.pcm:
                    yield chunk
                while self.endless:
                    await asyncio.sleep(0)
                    self.made_secs += 0.01
                    yield SpeechChunk(b"\x01\x00" * (RATE // 100))
            whole = True
        finally:
            self.open -= 1
            self.closed_early += not whole and fault is None

    async def close(self) -> None:
        """Nothing to give back."""

    def _chunk(self, sentence: str, at: int) -> SpeechChunk:
        length = int(self.word_secs * RATE)
        words = [word for word in sentence.split() if any(character.isalnum() for character in word)]
        marks = [Mark(word, at + i * length, at + (i + 1) * length) for i, word in enumerate(words)]
        self.made_secs += len(words) * self.word_secs
        return SpeechChunk(b"\x01\x00" * length * len(words), tuple(marks))


async def _sentences(text: AsyncIterable[str]) -> AsyncIterator[str]:
    held = ""
    async for piece in text:
        if piece:
            held += piece
        elif held.strip():
            yield held.strip()
            held = ""
    if held.strip():
        yield held.strip()


class Speaker(BaseOutputTransport):
    """Plays in real time, and keeps what was played."""

    def __init__(self) -> None:
        super().__init__(
            TransportParams(
                audio_out_enabled=True,
                audio_out_sample_rate=RATE,
                audio_out_10ms_chunks=1,
                audio_out_end_silence_secs=0,
            )
        )
        self.played = bytearray()
        self._free_at = 0.0

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        now = time.monotonic()
        self._free_at = max(now, self._free_at) + len(frame.audio) / 2 / RATE
        await asyncio.sleep(self._free_at - now)
        self.played += frame.audio
        return True


class Watch(FrameProcessor):
    """Keeps every frame that passes down, and tells a test of each."""

    def __init__(self, on_frame: Callable[[Frame], Awaitable[None]] | None = None):
        super().__init__()
        self.frames: list[Frame] = []
        self._on_frame = on_frame

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if direction == FrameDirection.DOWNSTREAM:
            self.frames.append(frame)
            if self._on_frame is not None:
                await self._on_frame(frame)
        await self.push_frame(frame, direction)


@dataclass
class SpokenCall:
    """The speaking half of a call: voice, transport, and the conversation as it is remembered.

    Attributes:
        engine: What speaks.
        on_made: Told of each frame that the voice gives, at once.
        on_heard: Told of each frame that comes out of the transport, when it was played.
    """

    engine: FakeVoice
    on_made: Callable[[Frame], Awaitable[None]] | None = None
    on_heard: Callable[[Frame], Awaitable[None]] | None = None
    timeout_secs: float = 10.0
    context: LLMContext = field(default_factory=LLMContext)
    errors: list[str] = field(default_factory=list)

    async def run(self, frames: Sequence[Frame | float], *, end: bool = True) -> None:
        """Send the frames; a number waits so many seconds. Without `end` a test must end the call."""
        self.service = EngineTTSService(engine=self.engine, timeout_secs=self.timeout_secs)
        self.speaker = Speaker()
        self.made, self.heard = Watch(self.on_made), Watch(self.on_heard)
        assistant = LLMContextAggregatorPair(self.context).assistant()
        self.worker = PipelineWorker(
            Pipeline([self.service, self.made, self.speaker, self.heard, assistant]),
            params=PARAMS,
            enable_rtvi=False,
            cancel_on_idle_timeout=False,
        )

        @self.worker.event_handler("on_pipeline_error")
        async def _(_, frame) -> None:
            self.errors.append(frame.error)

        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(self.worker)
        async with asyncio.timeout(10):
            await asyncio.gather(runner.run(), self._send([*frames, EndFrame()] if end else frames))

    async def _send(self, frames: Sequence[Frame | float]) -> None:
        for frame in frames:
            if isinstance(frame, Frame):
                await self.worker.queue_frame(frame)
            else:
                await asyncio.sleep(frame)

    @property
    def remembered(self) -> list[str]:
        """What the conversation holds of the answers."""
        return [str(message.get("content")) for message in self.context.get_messages() if isinstance(message, dict)]


def answer(*pieces: str) -> list[Frame]:
    """An answer as a brain writes it."""
    return [LLMFullResponseStartFrame(), *map(LLMTextFrame, pieces), LLMFullResponseEndFrame()]


def audio_of(frames: Sequence[Frame]) -> list[TTSAudioRawFrame]:
    """The sound among the frames."""
    return [frame for frame in frames if isinstance(frame, TTSAudioRawFrame)]


def words_of(frames: Sequence[Frame]) -> str:
    """The words among the frames."""
    return " ".join(frame.text for frame in frames if isinstance(frame, TTSTextFrame))


def engine_errors(frames: Sequence[Frame]) -> list[EngineError]:
    """The engine's errors among the frames."""
    errors = [getattr(frame, "exception", None) for frame in frames]
    return [error for error in errors if isinstance(error, EngineError)]
