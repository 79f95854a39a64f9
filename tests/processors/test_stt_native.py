"""The service is one of Pipecat's own: metrics, interruptions, settings, metadata, and nothing left when it ends."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

import pytest
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    MetricsFrame,
    STTMetadataFrame,
    STTUpdateSettingsFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.metrics.metrics import MetricsData, ProcessingMetricsData, STTUsageMetricsData, TTFBMetricsData
from pipecat.pipeline.worker import PipelineParams
from pipecat.processors.frame_processor import FrameDirection
from pipecat.tests.utils import SleepFrame, run_test
from pipecat.transcriptions.language import Language

from engines.errors import EngineBusy, EngineError
from engines.protocol import DEFAULT_OPTIONS, Transcript, TranscriptionOptions
from engines.whisper import WhisperEngine
from processors.stt import TRAILING_SILENCE_SECS, EngineSTTService

RATE = 16_000
CHUNK = RATE // 50 * 2
SECOND = b"\x05\x00" * RATE
STOP_SECS = 0.2
ANSWER_SECS = 0.15
METRICS = PipelineParams(enable_metrics=True, enable_usage_metrics=True)
Kind = TypeVar("Kind", bound=Frame)
Data = TypeVar("Data", bound=MetricsData)


class Slow:
    """An engine that takes its time, and tells what became of each request."""

    name = "slow"
    sample_rate = RATE
    problem = None
    has_room = True

    def __init__(self, *answers: str | EngineError, secs: float = ANSWER_SECS):
        self.answers = iter(answers)
        self.secs = secs
        self.asked: list[TranscriptionOptions] = []
        self.running = 0

    async def transcribe(self, pcm: bytes, options: TranscriptionOptions = DEFAULT_OPTIONS) -> Transcript:
        self.asked.append(options)
        answer = next(self.answers, "")
        self.running += 1
        try:
            await asyncio.sleep(self.secs)
        finally:
            self.running -= 1
        if isinstance(answer, EngineError):
            raise answer
        return Transcript(answer, options.language or "en", -0.1, 0.0, len(pcm) / 2 / RATE, 0.0, self.secs)

    async def close(self) -> None:
        """Nothing to give back."""


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    left = {task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()}
    assert not left, [task.get_name() for task in left]


def utterance(pcm: bytes = SECOND) -> list[Frame]:
    """Speech, and the silence that made its end certain, as the voice activity detector tells of them."""
    chunks = [InputAudioRawFrame(pcm[at : at + CHUNK], RATE, 1) for at in range(0, len(pcm), CHUNK)]
    return [VADUserStartedSpeakingFrame(), *chunks, VADUserStoppedSpeakingFrame(stop_secs=STOP_SECS)]


def of(kind: type[Kind], frames: Sequence[Frame]) -> list[Kind]:
    return [frame for frame in frames if isinstance(frame, kind)]


def texts(frames: Sequence[Frame]) -> list[str]:
    return [frame.text for frame in of(TranscriptionFrame, frames)]


def measured(kind: type[Data], frames: Sequence[Frame], service: EngineSTTService) -> list[Data]:
    """What the service has measured; the first of each kind, zero, comes with the start of the pipeline."""
    found = [data for frame in of(MetricsFrame, frames) for data in frame.data if isinstance(data, kind)]
    return [data for data in found if data.processor == service.name and getattr(data, "value", None) != 0]


# Metrics.


async def test_an_utterance_has_its_times_measured():
    service = EngineSTTService(engine=Slow("yes"))
    frames = [*utterance(), SleepFrame(sleep=2 * ANSWER_SECS)]
    down, _ = await run_test(service, frames_to_send=frames, pipeline_params=METRICS)
    assert texts(down) == ["yes"]
    (processing,) = measured(ProcessingMetricsData, down, service)
    assert ANSWER_SECS * 0.9 <= processing.value < ANSWER_SECS + 1
    # From the end of the speech, which was before the detector was certain.
    (first,) = measured(TTFBMetricsData, down, service)
    assert STOP_SECS + ANSWER_SECS * 0.9 <= first.value < STOP_SECS + ANSWER_SECS + 1
    assert first.model == processing.model == "slow"


async def test_each_utterance_is_measured_once():
    service = EngineSTTService(engine=Slow("one", "two", secs=0.05))
    frames = [*utterance(), SleepFrame(sleep=0.3), *utterance(), SleepFrame(sleep=0.3)]
    down, _ = await run_test(service, frames_to_send=frames, pipeline_params=METRICS)
    assert texts(down) == ["one", "two"]
    assert len(measured(ProcessingMetricsData, down, service)) == 2
    assert len(measured(TTFBMetricsData, down, service)) == 2


async def test_what_was_transcribed_is_counted():
    service = EngineSTTService(engine=Slow("yes", secs=0))
    down, _ = await run_test(service, frames_to_send=utterance(), pipeline_params=METRICS)
    used = measured(STTUsageMetricsData, down, service)
    assert sum(one.value.audio_seconds for one in used) == pytest.approx(1 + TRAILING_SILENCE_SECS, abs=0.01)


async def test_a_failed_segment_has_a_processing_time_and_no_first_byte():
    service = EngineSTTService(engine=Slow(EngineBusy("full"), "again", secs=0.05))
    frames = [*utterance(), SleepFrame(sleep=0.3), *utterance(), SleepFrame(sleep=0.3)]
    down, up = await run_test(service, frames_to_send=frames, pipeline_params=METRICS)
    assert texts(down) == ["again"] and len(of(ErrorFrame, up)) == 1
    assert len(measured(ProcessingMetricsData, down, service)) == 2
    (first,) = measured(TTFBMetricsData, down, service)
    assert first.value < 1.5, "it is that of the second utterance"


async def test_words_so_far_are_no_first_byte():
    service = EngineSTTService(engine=Slow("so", "so far", "so far so good", secs=0.02), partial_secs=0.7)
    speech = utterance(SECOND + SECOND)
    frames = [*speech[:40], SleepFrame(sleep=0.1), *speech[40:-1], SleepFrame(sleep=0.1), speech[-1]]
    down, _ = await run_test(service, frames_to_send=[*frames, SleepFrame(sleep=0.1)], pipeline_params=METRICS)
    assert of(InterimTranscriptionFrame, down)
    assert len(measured(TTFBMetricsData, down, service)) == len(of(TranscriptionFrame, down)) == 1
    assert len(measured(ProcessingMetricsData, down, service)) == 1


async def test_without_metrics_nothing_is_measured():
    down, _ = await run_test(EngineSTTService(engine=Slow("yes", secs=0)), frames_to_send=utterance())
    assert texts(down) == ["yes"] and of(MetricsFrame, down) == []


async def test_real_speech_is_measured_too(whisper: WhisperEngine, recordings: dict[str, bytes]):
    service = EngineSTTService(engine=whisper)
    frames = utterance(recordings["librivox-0880.wav"])
    down, _ = await run_test(service, frames_to_send=frames, pipeline_params=METRICS)
    (transcript,) = of(TranscriptionFrame, down)
    (processing,) = measured(ProcessingMetricsData, down, service)
    assert transcript.result is not None
    assert processing.value >= transcript.result.compute_secs > 0


# Interruptions.


async def test_an_interruption_loses_and_doubles_nothing():
    engine = Slow("one", "two")
    frames = [*utterance(), *utterance(), SleepFrame(sleep=0.05), InterruptionFrame(), SleepFrame(sleep=0.05)]
    frames += [InterruptionFrame(), SleepFrame(sleep=3 * ANSWER_SECS)]
    down, up = await run_test(EngineSTTService(engine=engine), frames_to_send=frames)
    assert texts(down) == ["one", "two"] and len(engine.asked) == 2
    assert len(of(InterruptionFrame, down)) == 2 and of(ErrorFrame, up) == []


async def test_an_interruption_while_one_speaks_keeps_the_segment_whole():
    engine = Slow("whole", secs=0)
    speech = utterance()
    frames = [*speech[:25], SleepFrame(sleep=0.05), InterruptionFrame(), SleepFrame(sleep=0.05), *speech[25:]]
    down, _ = await run_test(EngineSTTService(engine=engine), frames_to_send=frames)
    (transcript,) = of(TranscriptionFrame, down)
    assert transcript.text == "whole" and transcript.result is not None
    assert transcript.result.audio_secs == pytest.approx(1 + TRAILING_SILENCE_SECS, abs=0.01)


async def test_an_interruption_from_below_is_borne_as_well():
    engine = Slow("one")
    service = EngineSTTService(engine=engine)

    async def interrupt() -> None:
        while not engine.running:
            await asyncio.sleep(0.01)
        await service.queue_frame(InterruptionFrame(), FrameDirection.UPSTREAM)

    (down, up), _ = await asyncio.gather(
        run_test(service, frames_to_send=[*utterance(), SleepFrame(sleep=3 * ANSWER_SECS)]), interrupt()
    )
    assert texts(down) == ["one"] and len(of(InterruptionFrame, up)) == 1


# The end of a call.


@pytest.mark.parametrize("partial_secs", [None, 0.7])
async def test_the_end_waits_for_what_was_said(partial_secs: float | None):
    engine = Slow("one", "two", "three", "four")
    service = EngineSTTService(engine=engine, partial_secs=partial_secs)
    down, _ = await run_test(service, frames_to_send=[*utterance(), *utterance()])
    assert len(texts(down)) == 2
    assert engine.running == 0 and not service._handed


@pytest.mark.parametrize("sleep", [0.0, 0.05], ids=["at once", "later"])
async def test_a_cancelled_call_leaves_nothing(sleep: float):
    engine = Slow(*"abcdef", secs=30)
    service = EngineSTTService(engine=engine, partial_secs=0.7, early_secs=0.01)
    frames = [*utterance(), *utterance(), *utterance()[:-1], SleepFrame(sleep=sleep), CancelFrame()]
    began_at = asyncio.get_running_loop().time()
    down, up = await run_test(service, frames_to_send=frames, send_end_frame=False)
    assert asyncio.get_running_loop().time() - began_at < 10
    assert engine.running == 0 and texts(down) == [] and of(ErrorFrame, up) == []


async def test_an_end_while_one_still_speaks_leaves_nothing():
    engine = Slow("so far", secs=30)
    service = EngineSTTService(engine=engine, partial_secs=0.7)
    frames = [*utterance()[:-1], SleepFrame(sleep=0.05), EndFrame()]
    await run_test(service, frames_to_send=frames, send_end_frame=False)
    assert [options.partial for options in engine.asked] == [True] and engine.running == 0


async def test_the_watch_for_a_first_byte_ends_with_the_call():
    # Nothing is heard, so that nothing ends the wait for a transcript but the end of the call.
    service = EngineSTTService(engine=Slow("", secs=0))
    await run_test(service, frames_to_send=utterance(), pipeline_params=METRICS)
    assert service._ttfb_timeout_task is None


# Metadata and settings.


@pytest.mark.parametrize("secs", [0.4, 1.7])
async def test_how_long_a_transcript_takes_is_told_both_ways(secs: float):
    service = EngineSTTService(engine=Slow(), ttfs_p99_secs=secs)
    down, up = await run_test(service, frames_to_send=[])
    for frames in (down, up):
        (told,) = of(STTMetadataFrame, frames)
        assert told.ttfs_p99_latency == secs and told.service_name == service.name


async def test_a_settings_frame_changes_the_language():
    engine = Slow("one", "eins", "two", secs=0)
    service = EngineSTTService(engine=engine)
    to_german = STTUpdateSettingsFrame(delta=EngineSTTService.Settings(language=Language.DE))
    to_any = STTUpdateSettingsFrame(delta=EngineSTTService.Settings(language=None))
    pause = SleepFrame(sleep=0.05)
    frames = [*utterance(), pause, to_german, pause, *utterance(), pause, to_any, pause, *utterance()]
    down, up = await run_test(service, frames_to_send=frames)
    assert [options.language for options in engine.asked] == [None, "de", None]
    assert [frame.language for frame in of(TranscriptionFrame, down)] == [Language.EN, Language.DE, Language.EN]
    assert of(ErrorFrame, up) == [] and of(STTUpdateSettingsFrame, down) == []


async def test_settings_of_another_service_pass_by():
    engine = Slow("one", secs=0)
    change = STTUpdateSettingsFrame(
        delta=EngineSTTService.Settings(language=Language.DE), service=EngineSTTService(engine=Slow())
    )
    frames = [change, SleepFrame(sleep=0.05), *utterance()]
    down, _ = await run_test(EngineSTTService(engine=engine), frames_to_send=frames)
    assert [options.language for options in engine.asked] == [None]
    assert len(of(STTUpdateSettingsFrame, down)) == 1
