"""A whole conversation in virtual time: the real pipeline between engines that do as a test says.

The caller's sound is made of numbers: each sample of a word is the word's own number, so a "recogniser" reads the words
of any stretch of it exactly, and a "detector" hears a voice wherever a sample is not zero. A minute is tested
within a second, to the millisecond.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from openai.types.chat import ChatCompletionChunk
from pipecat.audio.turn.base_turn_analyzer import BaseTurnAnalyzer, BaseTurnParams, EndOfTurnState
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.frames.frames import Frame, InputAudioRawFrame, OutputAudioRawFrame, StartFrame, UserBackchannelFrame
from pipecat.metrics.metrics import TurnMetricsData
from pipecat.observers.base_observer import BaseObserver, FramePushed
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.workers.runner import WorkerRunner

from agent.brain import Brain
from agent.engines import Engines
from agent.manners import Manners
from agent.pipeline import build_call
from agent.problems import problem_of
from configs.settings import ConversationSettings, SttSettings, TurnSettings
from engines.errors import EngineError
from engines.protocol import SpeechChunk, Transcript, TranscriptionOptions
from processors.mouth import Mouth
from processors.patience import Patience
from processors.turn import SharedSileroVADAnalyzer
from tests.agent.virtual_time import VirtualLoop
from tests.processors.speaking import FakeVoice

RATE = 16_000
PACKET = RATE // 50
COUGH = 30_000
"""A voice without words."""

BEGIN = 1.0
"""When a caller speaks first, unless a test says otherwise: the pipeline has started by then."""


class StageLoop(VirtualLoop):
    """Virtual time for what runs on threads, too: it is done at once."""

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        done: Future[Any] = Future()
        try:
            done.set_result(func(*args))
        except BaseException as error:
            done.set_exception(error)
        return asyncio.wrap_future(done, loop=self)


@dataclass
class Word:
    """A stretch of the caller's voice, seconds; `text` is None for a cough."""

    text: str | None
    at: float
    secs: float


def says(text: str, at: float, word_secs: float = 0.3) -> list[Word]:
    """Words one after the other; "…" is half a second of silence, "*" a cough."""
    words = []
    for word in text.split():
        if word == "…":
            at += 0.5
            continue
        words.append(Word(None if word == "*" else word, at, word_secs))
        at += word_secs
    return words


class Caller(FrameProcessor):
    """Sends the caller's sound, 20 ms at a time."""

    def __init__(self, words: Sequence[Word]):
        super().__init__()
        end = max((word.at + word.secs for word in words), default=0)
        self.samples = np.zeros(int((end + 1) * RATE), dtype="<i2")
        self.texts: dict[int, str] = {}
        self._sending: asyncio.Task | None = None
        for number, word in enumerate(words, 1):
            if word.text is not None:
                self.texts[number] = word.text
            value = COUGH if word.text is None else number
            self.samples[int(word.at * RATE) : int((word.at + word.secs) * RATE)] = value

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame):
            self._sending = self.create_task(self._send())

    async def cleanup(self) -> None:
        if self._sending is not None:
            await self.cancel_task(self._sending)
        await super().cleanup()

    async def _send(self) -> None:
        at = 0
        while True:
            packet = self.samples[at : at + PACKET]
            packet = np.pad(packet, (0, PACKET - len(packet)))
            at += PACKET
            # What is sent at an instant was spoken before it.
            await asyncio.sleep(at / RATE - asyncio.get_running_loop().time())
            await self.push_frame(InputAudioRawFrame(packet.tobytes(), RATE, 1))


@dataclass
class Ear:
    """A recogniser that reads the numbers.

    Attributes:
        secs: How long it takes.
        fails: Whether it fails at everything.
        deaf: Whether it never answers.
    """

    texts: dict[int, str]
    secs: float = 0.1
    fails: bool = False
    deaf: bool = False
    running: dict[tuple[str, bytes], float] = field(default_factory=dict)
    name = "ear"
    sample_rate = RATE
    problem = None
    has_room = True

    async def transcribe(self, pcm: bytes, options: TranscriptionOptions) -> Transcript:
        # As the real one: the same audio of a stream asked for again joins the request that runs.
        began = self.running.setdefault((options.stream or "", pcm), asyncio.get_running_loop().time())
        await asyncio.sleep(3600 if self.deaf else began + self.secs - asyncio.get_running_loop().time())
        if self.fails:
            raise EngineError("the ear fails")
        samples = np.frombuffer(pcm, dtype="<i2")
        counts = {number: int((samples == number).sum()) for number in self.texts}
        # Half a word is not understood.
        heard = [self.texts[number] for number, count in counts.items() if count > 0.15 * RATE]
        return Transcript(" ".join(heard), "en", -0.1, 0.0, len(samples) / RATE, 0.0, self.secs)

    async def close(self) -> None:
        """Nothing to give back."""


class Detector(SharedSileroVADAnalyzer):
    """Hears a voice in every sample that is not zero."""

    def __init__(self) -> None:
        super().__init__(None, SimpleNamespace(shutdown=lambda **_: None), VADParams(min_volume=0))  # pyright: ignore[reportArgumentType]

    def voice_confidence(self, buffer: bytes) -> float:
        samples = np.frombuffer(buffer, dtype="<i2")
        self._is_voiced = bool((samples != 0).mean() > 0.5)
        return float(self._is_voiced)


class Judge(BaseTurnAnalyzer):
    """Smart Turn, of which a test says what it thinks."""

    def __init__(self, opinion: Callable[[], float], secs: float):
        super().__init__()
        self._opinion, self._secs = opinion, secs
        self.params_ = BaseTurnParams()

    speech_triggered = False  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    @property
    def params(self) -> BaseTurnParams:
        return self.params_

    def append_audio(self, buffer: bytes, is_speech: bool) -> EndOfTurnState:
        return EndOfTurnState.INCOMPLETE

    async def analyze_end_of_turn(self) -> tuple[EndOfTurnState, TurnMetricsData]:
        await asyncio.sleep(self._secs)
        probability = self._opinion()
        whole = probability > 0.5
        metrics = TurnMetricsData(
            processor="judge", is_complete=whole, probability=probability, e2e_processing_time_ms=50
        )
        return (EndOfTurnState.COMPLETE if whole else EndOfTurnState.INCOMPLETE), metrics

    def update_vad_start_secs(self, vad_start_secs: float) -> None:
        """It does not matter here."""

    def clear(self) -> None:
        """Nothing is kept."""


@dataclass
class Mind:
    """An OpenAI client whose answers a test gives.

    Attributes:
        answers: One after the other; the last repeats.
        first_secs: To the first word.
        word_secs: Between two.
        fails: Whether it cannot be reached.
        asked: The last message of each request, and when.
        finished: How many answers were read to their end.
    """

    answers: Sequence[str]
    first_secs: float = 0.2
    word_secs: float = 0.02
    fails: bool = False
    asked: list[tuple[float, str]] = field(default_factory=list)
    contexts: list[list[dict[str, Any]]] = field(default_factory=list)
    finished: int = 0

    @property
    def chat(self) -> Any:
        return SimpleNamespace(completions=SimpleNamespace(create=self._create))

    async def _create(self, **request: Any) -> "_Answer":
        number = len(self.asked)
        messages = request["messages"]
        self.contexts.append([dict(message) for message in messages])
        self.asked.append((asyncio.get_running_loop().time(), str(messages[-1]["content"])))
        if self.fails:
            raise ConnectionError("there is no brain")
        return _Answer(self, self.answers[min(number, len(self.answers) - 1)])

    async def close(self) -> None:
        """Nothing to give back."""


class _Answer:
    def __init__(self, mind: Mind, text: str):
        self._mind, self._text = mind, text

    async def __aiter__(self) -> AsyncIterator[ChatCompletionChunk]:
        await asyncio.sleep(self._mind.first_secs)
        for word in self._text.split(" "):
            yield _chunk(f"{word} ")
            await asyncio.sleep(self._mind.word_secs)
        self._mind.finished += 1

    async def close(self) -> None:
        """The connection is closed."""


def _chunk(text: str) -> ChatCompletionChunk:
    return ChatCompletionChunk.model_validate(
        {
            "id": "answer",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": "mind",
            "choices": [{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}],
        }
    )


class Voice(FakeVoice):
    """Sounds like noise: a steady sound would be taken for an echo of every other."""

    close_secs = 0.0
    """How long its stream takes to close."""

    async def synthesize(self, *args: Any, **kwargs: Any) -> AsyncIterator[SpeechChunk]:
        try:
            async for chunk in super().synthesize(*args, **kwargs):
                yield chunk
        finally:
            await asyncio.sleep(self.close_secs)

    def _chunk(self, sentence: str, at: int) -> SpeechChunk:
        chunk = super()._chunk(sentence, at)
        noise = np.random.default_rng(at).integers(-2000, 2000, len(chunk.pcm) // 2, dtype="<i2")
        return replace(chunk, pcm=noise.tobytes())


class Loudspeaker(BaseOutputTransport):
    """Plays in virtual time, and keeps when there was sound."""

    def __init__(self, mouth: Mouth, rate: int):
        super().__init__(
            TransportParams(
                audio_out_enabled=True,
                audio_out_sample_rate=rate,
                audio_out_10ms_chunks=2,
                audio_out_end_silence_secs=0,
                audio_out_filter=mouth,
            )
        )
        self._rate = rate
        self._free_at = 0.0
        self.spans: list[list[float]] = []

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        now = asyncio.get_running_loop().time()
        begins = max(now, self._free_at)
        self._free_at = begins + len(frame.audio) / 2 / self._rate
        if any(frame.audio):
            if self.spans and begins - self.spans[-1][1] < 0.03:
                self.spans[-1][1] = self._free_at
            else:
                self.spans.append([begins, self._free_at])
        await asyncio.sleep(self._free_at - now)
        return True


class _Notes(BaseObserver):
    """Keeps the signs of listening that were recognised as such."""

    def __init__(self) -> None:
        super().__init__()
        self.backchannels: list[str] = []

    async def on_push_frame(self, data: FramePushed) -> None:
        if isinstance(data.frame, UserBackchannelFrame) and data.frame.text not in self.backchannels:
            self.backchannels.append(data.frame.text)


@dataclass
class Scene:
    """A conversation: what the caller says, how the engines behave, and what came of it."""

    words: Sequence[Word]
    answers: Sequence[str] = ("Here is my answer.",)
    finished: Callable[[], float] = lambda: 0.9
    """What Smart Turn thinks."""
    judge_secs: float = 0.05
    turn: TurnSettings = field(default_factory=TurnSettings)
    talking: ConversationSettings = field(default_factory=lambda: ConversationSettings(greeting="", reprompt_secs=0))
    hearing: SttSettings = field(default_factory=SttSettings)
    word_secs: float = 0.25
    """Of the agent's voice."""
    ear: Ear = field(init=False)
    mind: Mind = field(init=False)
    voice: Voice = field(init=False)
    hung_up: list[float] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)
    """Tasks that outlived the call."""
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.caller = Caller(self.words)
        self.ear = Ear(self.caller.texts)
        self.mind = Mind(self.answers)
        self.voice = Voice(word_secs=self.word_secs, delay_secs=0.05)
        self.mouth = Mouth()
        self.notes = _Notes()

    @property
    def sound(self) -> list[list[float]]:
        """When the agent was heard: begin and end of each stretch, seconds."""
        return [[round(begin, 2), round(end, 2)] for begin, end in self.loudspeaker.spans]

    @property
    def remembered(self) -> list[tuple[str, str]]:
        """The conversation as the brain knows it."""
        return [
            (str(message.get("role")), str(message.get("content")))
            for message in self.context.messages
            if isinstance(message, dict)
        ]

    def play(self, secs: float, *steps: tuple[float, Callable[["Scene"], Any]]) -> "Scene":
        """Run so many seconds; each step is done at its time."""
        loop = StageLoop()
        with pytest.MonkeyPatch.context() as patch:
            for name in ("time", "monotonic", "perf_counter"):
                patch.setattr(time, name, lambda: loop.clock.now)
            patch.setattr(time, "monotonic_ns", lambda: int(loop.clock.now * 1e9))
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(self._run(secs, steps))
        return self

    async def _run(self, secs: float, steps: Sequence[tuple[float, Callable[["Scene"], Any]]]) -> None:
        self.loudspeaker = Loudspeaker(self.mouth, self.voice.sample_rate)
        transport = SimpleNamespace(input=lambda: self.caller, output=lambda: self.loudspeaker)
        engines = Engines(
            stt=self.ear,  # pyright: ignore[reportArgumentType]
            tts=self.voice,  # pyright: ignore[reportArgumentType]
            turn=_turn_models(self),  # pyright: ignore[reportArgumentType]
            brain=Brain("mind", "http://mind", "mind", "none", False, "You are kind.", None, 100, None, 60, 5.0),
            brain_client=self.mind,  # pyright: ignore[reportArgumentType]
            hearing=self.hearing,
            talking=self.talking,
        )
        worker, parts = build_call(transport, engines, self.mouth, idle_secs=3600, observers=[self.notes])  # pyright: ignore[reportArgumentType]
        self.context, self.worker = parts.user.context, worker
        loop = asyncio.get_running_loop()

        async def hang_up() -> None:
            self.hung_up.append(round(loop.time(), 2))

        @worker.event_handler("on_pipeline_error")
        async def _(_: Any, frame: Any) -> None:
            if (problem := problem_of(frame)) is not None:
                self.problems.append(problem.kind)

        self.manners = Manners(parts, self.talking, hang_up, choose=lambda sentences: sentences[0])
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(worker)
        running = asyncio.ensure_future(runner.run())
        self.manners.connected()
        for at, step in sorted(steps, key=lambda step: step[0]):
            await asyncio.sleep(at - loop.time())
            step(self)
        await asyncio.sleep(secs - loop.time())
        self.manners.close()
        await runner.cancel(reason="the scene is over")
        with suppress(asyncio.CancelledError):
            await running
        await asyncio.sleep(0.1)
        self.left_over = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]


def _turn_models(scene: Scene) -> Any:
    settings = scene.turn
    return SimpleNamespace(
        settings=settings,
        vad_analyzer=Detector,
        turn_analyzer=lambda: Judge(scene.finished, scene.judge_secs),
        patience=Patience(
            settings.sure_secs, settings.doubt_secs, settings.open_secs, settings.spelling_secs, settings.longest_secs
        ),
    )
