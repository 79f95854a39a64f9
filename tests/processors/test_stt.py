"""Speech between two pauses becomes one final transcript; faults cost one segment."""

from collections.abc import Iterator, Sequence

import pytest
from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    STTMuteFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.tests.utils import SleepFrame, run_test
from pipecat.transcriptions.language import Language

from engines.errors import EngineBusy, EngineError
from engines.protocol import Transcript
from engines.whisper import WhisperEngine
from processors.stt import MAX_SEGMENT_SECS, TRAILING_SILENCE_SECS, EngineSTTService

RATE = 16_000
CHUNK = RATE // 50 * 2


class Listener:
    """An engine that keeps what it is given, and fails when a test says so."""

    name = "listener"
    sample_rate = RATE

    def __init__(self, *answers: str | EngineError, language: str = "en"):
        self.answers: Iterator[str | EngineError] = iter(answers)
        self.language = language
        self.segments: list[bytes] = []
        self.languages: list[str | None] = []

    async def transcribe(self, pcm: bytes, *, language: str | None = None) -> Transcript:
        self.segments.append(pcm)
        self.languages.append(language)
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
    assert isinstance(error.exception, EngineBusy) and error.error == "too many" and not error.fatal
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
    assert engine.languages == ["de"]
