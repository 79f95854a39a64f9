"""The brain's words are spoken sentence by sentence; faults cost one sentence."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Sequence

import numpy as np
import pytest
from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.pipeline.worker import PipelineParams
from pipecat.tests.utils import SleepFrame, run_test

from engines.errors import EngineError, EngineFailed
from engines.protocol import DEFAULT_SPEECH, SpeechChunk, SpeechOptions
from engines.voices import HibariEngine
from processors.tts import EngineTTSService

RATE = 24_000
PARAMS = PipelineParams(audio_out_sample_rate=RATE)


class Voice:
    """An engine that keeps what it is asked to say, and fails or stays silent when a test says so."""

    name = "voice"
    sample_rate = RATE

    def __init__(self, *faults: EngineError | None, endless: bool = False):
        self.faults = iter(faults)
        self.endless = endless
        self.said: list[str] = []
        self.voices: list[str | None] = []
        self.closed_early = asyncio.Event()

    async def synthesize(
        self, text: AsyncIterable[str], options: SpeechOptions = DEFAULT_SPEECH
    ) -> AsyncIterator[SpeechChunk]:
        async for piece in text:
            self.said.append(piece)
            self.voices.append(options.voice)
            if fault := next(self.faults, None):
                raise fault
            try:
                yield SpeechChunk(b"\x01\x00" * (RATE // 10))
                while self.endless:
                    await asyncio.sleep(0.01)
                    yield SpeechChunk(b"\x01\x00" * (RATE // 100))
            except (GeneratorExit, asyncio.CancelledError):
                self.closed_early.set()
                raise

    async def close(self) -> None:
        """Nothing to give back."""


def answer(*pieces: str) -> list[Frame]:
    return [LLMFullResponseStartFrame(), *map(LLMTextFrame, pieces), LLMFullResponseEndFrame()]


async def spoken(
    engine: Voice | HibariEngine, frames: Sequence[Frame], *, silence_secs: float = 3
) -> tuple[list[Frame], list[ErrorFrame]]:
    """What comes of the frames. Pipecat waits `silence_secs` for the sound of a text that has none."""
    service = EngineTTSService(engine=engine)
    service._stop_frame_timeout_s = silence_secs
    down, up = await run_test(service, frames_to_send=frames, pipeline_params=PARAMS)
    return list(down), [frame for frame in up if isinstance(frame, ErrorFrame)]


def audio_of(frames: Sequence[Frame]) -> list[TTSAudioRawFrame]:
    return [frame for frame in frames if isinstance(frame, TTSAudioRawFrame)]


async def test_an_answer_is_spoken_aloud_at_24_khz(hibari: HibariEngine):
    frames, errors = await spoken(hibari, answer("Hello there, ", "my friend. ", "How are", " you?"))
    audio = audio_of(frames)
    assert {(frame.sample_rate, frame.num_channels) for frame in audio} == {(RATE, 1)}
    samples = np.frombuffer(b"".join(frame.audio for frame in audio), dtype="<i2")
    assert len(samples) > RATE and np.abs(samples).max() > 3000
    assert errors == []


async def test_pieces_are_joined_to_sentences():
    engine = Voice()
    await spoken(engine, answer("Hel", "lo the", "re. Mr", ". Smith paid 3", ".5 euros. ", "Good", "bye"))
    assert [sentence.strip() for sentence in engine.said] == ["Hello there.", "Mr. Smith paid 3.5 euros.", "Goodbye"]


async def test_the_first_sentence_is_spoken_before_the_answer_is_complete():
    engine = Voice()
    frames = [LLMFullResponseStartFrame(), LLMTextFrame("One. "), LLMTextFrame("Two"), SleepFrame(sleep=0.2)]
    await spoken(engine, frames, silence_secs=0.1)
    assert engine.said[0].strip() == "One."


async def test_speech_has_a_beginning_its_words_and_an_end():
    frames, _ = await spoken(Voice(), [*answer("Good morning."), SleepFrame(sleep=0.1)])
    kinds = [type(frame) for frame in frames]
    assert kinds.index(TTSStartedFrame) < kinds.index(TTSAudioRawFrame) < kinds.index(TTSStoppedFrame)
    assert "Good morning." in " ".join(frame.text for frame in frames if isinstance(frame, TTSTextFrame))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("**Hello** there.", "Hello there."),
        ("It is _very_ nice.", "It is very nice."),
        ("See [the page](http://example.org) now.", "See the page now."),
        ("# Title", "Title"),
        ("Use `make run` first.", "Use make run first."),
    ],
)
async def test_markdown_is_not_spoken(written: str, said: str):
    engine = Voice()
    await spoken(engine, answer(written))
    assert " ".join(engine.said).split() == said.split()


async def test_a_fault_is_told_and_the_next_sentence_is_spoken():
    engine = Voice(EngineFailed("no voice"), None)
    service = EngineTTSService(engine=engine)
    down, up = await run_test(service, frames_to_send=answer("One is lost. ", "Two is said."), pipeline_params=PARAMS)
    (error,) = [frame for frame in up if isinstance(frame, ErrorFrame)]
    assert isinstance(error.exception, EngineFailed) and error.error == "no voice" and not error.fatal
    assert error.processor is service
    assert len(engine.said) == 2 and len(audio_of(down)) >= 1


async def test_after_many_faults_it_still_tries():
    engine = Voice(*[EngineFailed("no voice")] * 5, None)
    sentences = [TTSSpeakFrame(f"Sentence {number}.") for number in range(6)]
    frames, errors = await spoken(engine, sentences, silence_secs=0.1)
    assert sum(isinstance(error.exception, EngineFailed) for error in errors) == 5
    assert len(engine.said) == 6 and audio_of(frames)


async def test_sentences_without_a_word_do_no_harm(hibari: HibariEngine):
    sentences = [*(TTSSpeakFrame("😀") for _ in range(4)), TTSSpeakFrame("Still here.")]
    frames, errors = await spoken(hibari, sentences, silence_secs=0.5)
    assert audio_of(frames)
    assert not any(frame.fatal for frame in errors)


async def test_an_interruption_closes_the_stream_of_the_engine():
    engine = Voice(endless=True)
    frames = [*answer("A very long story."), SleepFrame(sleep=0.2), InterruptionFrame(), SleepFrame(sleep=0.1)]
    async with asyncio.timeout(5):
        await spoken(engine, frames)
    assert engine.closed_early.is_set()


async def test_after_an_interruption_it_speaks_again():
    class Interrupted(Voice):
        async def synthesize(
            self, text: AsyncIterable[str], options: SpeechOptions = DEFAULT_SPEECH
        ) -> AsyncIterator[SpeechChunk]:
            self.endless = not self.said
            async for chunk in super().synthesize(text, options):
                yield chunk

    engine = Interrupted()
    frames = [
        *answer("A very long story."),
        SleepFrame(sleep=0.2),
        InterruptionFrame(),
        SleepFrame(sleep=0.1),
        *answer("Yes?"),
    ]
    down, _ = await spoken(engine, frames)
    after = down[next(at for at, frame in enumerate(down) if isinstance(frame, InterruptionFrame)) :]
    assert [sentence.strip() for sentence in engine.said] == ["A very long story.", "Yes?"]
    assert audio_of(after)


async def test_the_voice_of_the_call_goes_to_the_engine():
    engine = Voice()
    settings = EngineTTSService.Settings(model="voice", voice="bella", language=None)
    await run_test(
        EngineTTSService(engine=engine, settings=settings), frames_to_send=answer("Hello."), pipeline_params=PARAMS
    )
    assert engine.voices == ["bella"]
