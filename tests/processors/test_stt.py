"""Speech between two pauses becomes one final transcript; faults cost one segment."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from pipecat.frames.frames import (
    CancelFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    STTMuteFrame,
    STTUpdateSettingsFrame,
    SystemFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.tests.utils import SleepFrame, run_test
from pipecat.transcriptions.language import Language

from engines.errors import EngineBusy, EngineError, EngineOvertaken
from engines.protocol import DEFAULT_OPTIONS, Transcript, TranscriptionOptions
from engines.whisper import WhisperEngine
from processors.stt import MAX_SEGMENT_SECS, TRAILING_SILENCE_SECS, EngineSTTService

RATE = 16_000
CHUNK = RATE // 50 * 2


class Listener:
    """An engine that keeps what it is given, and fails or waits when a test says so."""

    name = "listener"
    sample_rate = RATE
    problem = None

    def __init__(self, *answers: str | EngineError, language: str = "en", has_room: bool = True):
        self.answers: Iterator[str | EngineError] = iter(answers)
        self.language = language
        self.has_room = has_room
        self.asked: list[tuple[bytes, TranscriptionOptions]] = []
        self.cancelled = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    @property
    def segments(self) -> list[bytes]:
        """What was asked for as a final."""
        return [pcm for pcm, options in self.asked if not options.partial]

    @property
    def partials(self) -> list[bytes]:
        """What was asked for while its end was not certain."""
        return [pcm for pcm, options in self.asked if options.partial]

    async def transcribe(self, pcm: bytes, options: TranscriptionOptions = DEFAULT_OPTIONS) -> Transcript:
        self.asked.append((pcm, options))
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        answer = next(self.answers, "")
        if isinstance(answer, EngineError):
            raise answer
        return Transcript(answer, self.language, -0.1, 0.0, len(pcm) / 2 / RATE, 0.0, 0.0)

    async def close(self) -> None:
        """Nothing to give back."""


def audio(pcm: bytes) -> list[Frame]:
    return [InputAudioRawFrame(pcm[at : at + CHUNK], RATE, 1) for at in range(0, len(pcm), CHUNK)]


def utterance(pcm: bytes) -> list[Frame]:
    return [VADUserStartedSpeakingFrame(), *audio(pcm), VADUserStoppedSpeakingFrame()]


async def heard(
    service: EngineSTTService, frames: Sequence[Frame]
) -> tuple[list[TranscriptionFrame], list[ErrorFrame]]:
    down, up = await run_test(service, frames_to_send=frames)
    return (
        [frame for frame in down if isinstance(frame, TranscriptionFrame)],
        [frame for frame in up if isinstance(frame, ErrorFrame)],
    )


async def test_real_speech_becomes_one_final_transcript(whisper: WhisperEngine, recordings: dict[str, bytes]):
    transcripts, errors = await heard(EngineSTTService(engine=whisper), utterance(recordings["librivox-0880.wav"]))
    (transcript,) = transcripts
    assert transcript.finalized and transcript.language == Language.EN
    assert transcript.text.startswith("He was not") and transcript.text.rstrip(".").endswith("young man")
    assert errors == []


async def test_the_segment_is_the_audio_it_got_with_a_little_silence():
    engine = Listener("yes")
    spoken = bytes(range(256)) * 250
    await heard(EngineSTTService(engine=engine), utterance(spoken))
    assert engine.segments == [spoken + bytes(int(TRAILING_SILENCE_SECS * RATE) * 2)]


async def test_what_was_said_just_before_speech_was_noticed_is_kept():
    engine = Listener("yes")
    before, spoken = b"\x01\x00" * (2 * RATE), b"\x02\x00" * RATE
    await heard(EngineSTTService(engine=engine), [*audio(before), *utterance(spoken)])
    (segment,) = engine.segments
    assert segment.startswith(before[: RATE // 2]) and spoken in segment
    assert segment.count(b"\x01") <= RATE + CHUNK


async def test_without_words_there_is_no_transcript():
    assert await heard(EngineSTTService(engine=Listener("")), utterance(bytes(RATE))) == ([], [])


async def test_utterances_are_transcribed_in_order():
    frames = [*utterance(bytes(RATE)), *utterance(bytes(RATE)), *utterance(bytes(RATE))]
    transcripts, _ = await heard(EngineSTTService(engine=Listener("one", "two", "three")), frames)
    assert [transcript.text for transcript in transcripts] == ["one", "two", "three"]


async def test_a_busy_engine_is_told_and_the_next_utterance_is_heard():
    service = EngineSTTService(engine=Listener(EngineBusy("too many"), "again"))
    transcripts, errors = await heard(service, [*utterance(bytes(RATE)), *utterance(bytes(RATE))])
    (error,) = errors
    assert isinstance(error.exception, EngineBusy) and "too many" not in error.error and not error.fatal
    assert error.processor is service
    assert [transcript.text for transcript in transcripts] == ["again"]


async def test_while_muted_nothing_is_heard_and_afterwards_only_what_is_new():
    engine = Listener("first", "second")
    secret, new = b"\x07\x00" * RATE, b"\x09\x00" * RATE
    frames = [
        *audio(secret),
        STTMuteFrame(mute=True),
        *utterance(secret),
        STTMuteFrame(mute=False),
        *utterance(new),
    ]
    await heard(EngineSTTService(engine=engine), frames)
    assert not any(b"\x07" in segment for segment in engine.segments)
    assert new in engine.segments[-1]


async def test_speech_without_a_pause_is_cut_in_pieces_and_nothing_is_lost():
    engine = Listener("one", "two", "three")
    spoken = b"".join(second.to_bytes(2, "little") * RATE for second in range(1, 61))
    transcripts, _ = await heard(EngineSTTService(engine=engine), [*utterance(spoken), SleepFrame(sleep=0.1)])
    most = int((MAX_SEGMENT_SECS + 0.1) * RATE) * 2
    assert len(engine.segments) == 3 and max(map(len, engine.segments)) <= most
    assert b"".join(engine.segments) == spoken + bytes(int(TRAILING_SILENCE_SECS * RATE) * 2)
    assert [transcript.text for transcript in transcripts] == ["one", "two", "three"]


@pytest.mark.parametrize(("code", "language"), [("en", Language.EN), ("xx", None)])
async def test_a_language_that_pipecat_does_not_know_is_left_out(code: str, language: Language | None):
    transcripts, _ = await heard(EngineSTTService(engine=Listener("yes", language=code)), utterance(bytes(RATE)))
    assert transcripts[0].language == language


async def test_the_language_of_the_call_goes_to_the_engine():
    engine = Listener("ja")
    settings = EngineSTTService.Settings(model="listener", language=Language.DE)
    await heard(EngineSTTService(engine=engine, settings=settings), utterance(bytes(RATE)))
    assert [options.language for _, options in engine.asked] == ["de"]


async def test_names_and_style_of_the_call_go_to_the_engine_and_may_change():
    engine = Listener("one", "two")
    settings = EngineSTTService.Settings(model="listener", language=None, prompt="Hello.", hotwords="Hibari")
    change = STTUpdateSettingsFrame(delta=EngineSTTService.Settings(hotwords="Chatterbox"))
    frames = [*utterance(bytes(RATE)), SleepFrame(sleep=0.05), change, SleepFrame(sleep=0.05), *utterance(bytes(RATE))]
    await heard(EngineSTTService(engine=engine, settings=settings), frames)
    assert [(options.prompt, options.hotwords) for _, options in engine.asked] == [
        ("Hello.", "Hibari"),
        ("Hello.", "Chatterbox"),
    ]


@dataclass
class Dip(SystemFrame):
    """Stands for the detector's word that the voice went down, or came back."""

    resumes: bool = False


class Dipping(EngineSTTService):
    """Hears of dips through the frames of a test, in order with the audio."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, Dip):
            (self.speech_resumed if frame.resumes else self.pause_began)()


def with_silence(pcm: bytes) -> bytes:
    return pcm + bytes(int(TRAILING_SILENCE_SECS * RATE) * 2)


SPOKEN_1S = b"\x05\x00" * RATE
QUIET = bytes(CHUNK)


async def test_transcription_begins_before_the_pause_is_certain():
    engine = Listener("yes")
    frames = [
        VADUserStartedSpeakingFrame(),
        *audio(SPOKEN_1S),
        Dip(),
        SleepFrame(sleep=0.1),
        *audio(QUIET * 5),
        VADUserStoppedSpeakingFrame(),
        SleepFrame(sleep=0.05),
    ]
    transcripts, _ = await heard(Dipping(engine=engine, early_secs=0.02), frames)
    assert [transcript.text for transcript in transcripts] == ["yes"]
    # It was asked for once, without the silence that made the pause certain.
    assert engine.partials == [with_silence(SPOKEN_1S)] and engine.segments == []


async def test_an_early_transcription_that_still_runs_is_asked_for_as_a_final():
    engine = Listener("yes", "yes")
    engine.may_answer.clear()
    service = Dipping(engine=engine, early_secs=0)
    frames = [VADUserStartedSpeakingFrame(), *audio(SPOKEN_1S), Dip(), SleepFrame(sleep=0.05)]
    frames += [VADUserStoppedSpeakingFrame(), SleepFrame(sleep=0.05)]
    asyncio.get_running_loop().call_later(0.5, engine.may_answer.set)
    await heard(service, frames)
    (early, first), (final, second) = engine.asked
    assert early == final == with_silence(SPOKEN_1S)
    assert first.partial and not second.partial and first.stream == second.stream is not None


async def test_if_the_speaker_goes_on_early_work_is_dropped_and_the_whole_is_heard():
    engine = Listener("whole")
    engine.may_answer.clear()
    frames = [VADUserStartedSpeakingFrame(), *audio(SPOKEN_1S), Dip(), SleepFrame(sleep=0.05), Dip(resumes=True)]
    frames += [*audio(SPOKEN_1S), SleepFrame(sleep=0.05), VADUserStoppedSpeakingFrame(), SleepFrame(sleep=0.05)]
    asyncio.get_running_loop().call_later(0.5, engine.may_answer.set)
    transcripts, errors = await heard(Dipping(engine=engine, early_secs=0), frames)
    assert engine.cancelled == 1 and errors == []
    assert engine.segments == [with_silence(SPOKEN_1S * 2)]
    assert [transcript.text for transcript in transcripts] == ["whole"]


async def test_an_early_transcription_that_failed_is_tried_again_as_a_final():
    engine = Listener(EngineBusy("full"), "yes")
    frames = [VADUserStartedSpeakingFrame(), *audio(SPOKEN_1S), Dip(), SleepFrame(sleep=0.05)]
    transcripts, errors = await heard(
        Dipping(engine=engine, early_secs=0), [*frames, VADUserStoppedSpeakingFrame(), SleepFrame(sleep=0.05)]
    )
    assert [transcript.text for transcript in transcripts] == ["yes"] and errors == []


async def test_a_short_dip_begins_nothing():
    engine = Listener("yes")
    frames = [VADUserStartedSpeakingFrame(), *audio(SPOKEN_1S), Dip(), Dip(resumes=True), SleepFrame(sleep=0.1)]
    await heard(Dipping(engine=engine, early_secs=0.05), [*frames, VADUserStoppedSpeakingFrame()])
    assert engine.partials == [] and len(engine.segments) == 1


async def interims(engine: Listener, frames: Sequence[Frame], **options) -> list[str]:
    down, _ = await run_test(EngineSTTService(engine=engine, **options), frames_to_send=frames)
    return [frame.text for frame in down if isinstance(frame, InterimTranscriptionFrame)]


def speaking(*pcm: bytes) -> list[Frame]:
    """A second of speech each, with time to transcribe between them."""
    return [VADUserStartedSpeakingFrame(), *(f for one in pcm for f in (*audio(one), SleepFrame(sleep=0.05)))]


async def test_while_one_speaks_the_words_so_far_are_shown_and_stable_ones_stay():
    engine = Listener("so my", "So my fellow", "Sew my fellow americans", "final")
    frames = [*speaking(SPOKEN_1S, SPOKEN_1S, SPOKEN_1S), VADUserStoppedSpeakingFrame()]
    shown = await interims(engine, frames, partial_secs=1.0)
    assert shown == ["so my", "So my fellow", "So my fellow americans"]
    assert engine.partials[1] == with_silence(SPOKEN_1S * 2)


async def test_without_room_or_without_speech_no_words_are_shown():
    assert await interims(Listener("no", has_room=False), speaking(SPOKEN_1S), partial_secs=1.0) == []
    silent = Listener("no")
    assert await interims(silent, [*audio(SPOKEN_1S * 2)], partial_secs=1.0) == [] and silent.asked == []


async def test_a_partial_that_fails_or_comes_late_disturbs_nobody():
    engine = Listener(EngineOvertaken("late"), EngineBusy("full"), "final")
    down, up = await run_test(
        EngineSTTService(engine=engine, partial_secs=1.0),
        frames_to_send=[*speaking(SPOKEN_1S, SPOKEN_1S), VADUserStoppedSpeakingFrame(), SleepFrame(sleep=0.05)],
    )
    assert not [frame for frame in up if isinstance(frame, ErrorFrame)]
    assert [frame.text for frame in down if isinstance(frame, TranscriptionFrame)] == ["final"]


async def test_each_segment_has_a_stream_of_its_own():
    engine = Listener("one", "two")
    await heard(EngineSTTService(engine=engine), [*utterance(SPOKEN_1S), *utterance(SPOKEN_1S)])
    assert len({options.stream for _, options in engine.asked}) == 2


async def test_a_muted_caller_asks_the_engine_for_nothing():
    engine = Listener("never")
    await heard(EngineSTTService(engine=engine), [STTMuteFrame(mute=True), *utterance(SPOKEN_1S)])
    assert engine.asked == []


async def test_after_an_outage_old_speech_is_not_answered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("processors.stt.STALE_SECS", 0.3)
    engine = Listener("late", "now")
    engine.may_answer.clear()
    asyncio.get_running_loop().call_later(0.6, engine.may_answer.set)
    frames = [*utterance(SPOKEN_1S), *utterance(SPOKEN_1S), SleepFrame(sleep=0.8), *utterance(SPOKEN_1S)]
    transcripts, errors = await heard(EngineSTTService(engine=engine), frames)
    assert [transcript.text for transcript in transcripts] == ["late", "now"]
    (error,) = errors
    assert "no longer transcribed" in str(error.exception)


async def test_a_call_that_ends_leaves_no_work_behind():
    engine = Listener("never")
    engine.may_answer.clear()
    frames = [VADUserStartedSpeakingFrame(), *audio(SPOKEN_1S), Dip(), SleepFrame(sleep=0.05)]
    frames += [VADUserStoppedSpeakingFrame(), *utterance(SPOKEN_1S), SleepFrame(sleep=0.05), CancelFrame()]
    await run_test(Dipping(engine=engine, early_secs=0), frames_to_send=frames, send_end_frame=False)
    await asyncio.sleep(0.05)
    assert engine.cancelled == len(engine.asked) > 0
