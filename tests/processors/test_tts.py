"""The brain's words are spoken sentence by sentence, each answer one stream of the engine; faults cost one answer."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    MetricsFrame,
    TTSSpeakFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSUpdateSettingsFrame,
)
from pipecat.metrics.metrics import TTFBMetricsData, TTSUsageMetricsData
from pipecat.pipeline.worker import PipelineParams
from pipecat.services.settings import TTSSettings
from pipecat.tests.utils import SleepFrame, run_test

import processors.tts
from engines.errors import EngineBusy, EngineFailed
from engines.protocol import SpeechOptions
from engines.voices import HibariEngine
from processors.tts import EngineTTSService
from tests.processors.speaking import (
    PARAMS,
    RATE,
    FakeVoice,
    SpokenCall,
    answer,
    audio_of,
    engine_errors,
    words_of,
)


async def spoken(
    engine: FakeVoice | HibariEngine, frames: Sequence[Frame], **settings: float
) -> tuple[list[Frame], list[ErrorFrame]]:
    """What comes of the frames, and the errors that are told."""
    service = EngineTTSService(engine=engine, **settings)  # pyright: ignore[reportArgumentType]
    down, up = await run_test(service, frames_to_send=frames, pipeline_params=PARAMS)
    return list(down), [frame for frame in up if isinstance(frame, ErrorFrame)]


async def test_an_answer_is_spoken_aloud_at_24_khz(hibari: HibariEngine):
    frames, errors = await spoken(hibari, answer("Hello there, ", "my friend. ", "How are", " you?"))
    audio = audio_of(frames)
    assert {(frame.sample_rate, frame.num_channels) for frame in audio} == {(RATE, 1)}
    samples = np.frombuffer(b"".join(frame.audio for frame in audio), dtype="<i2")
    assert len(samples) > RATE and np.abs(samples).max() > 3000
    assert words_of(frames) == "Hello there, my friend. How are you?"
    assert errors == []


async def test_pieces_are_joined_to_sentences_of_one_stream():
    engine = FakeVoice()
    await spoken(engine, answer("Hel", "lo the", "re. Mr", ". Smith paid 3", ".5 euros. ", "Good", "bye"))
    assert engine.said == ["Hello there.", "Mr. Smith paid 3.5 euros.", "Goodbye"]
    assert len(engine.streams) == 1 and engine.open == 0 and engine.closed_early == 0


async def test_the_first_sentence_is_spoken_before_the_answer_is_complete():
    engine = FakeVoice()
    frames = [LLMFullResponseStartFrame(), LLMTextFrame("One. "), LLMTextFrame("Two"), SleepFrame(sleep=0.2)]
    await spoken(engine, frames)
    assert engine.said[0] == "One."


async def test_the_next_sentence_is_made_while_the_last_is_played():
    engine = FakeVoice(word_secs=0.1)
    said: list[tuple[int, float]] = []

    async def note(frame: Frame) -> None:
        if audio_of([frame]):
            said.append((len(engine.said), len(call.speaker.played) / 2 / RATE))

    call = SpokenCall(engine, on_made=note)
    await call.run(answer("One two three four. ", "Five six seven eight."))
    # The sound of both had been handed on before the first had been heard.
    assert said[-1][0] == 2 and said[-1][1] < 0.4
    assert len(call.speaker.played) >= 2 * 0.8 * RATE


async def test_speech_has_a_beginning_its_words_and_an_end():
    frames, _ = await spoken(FakeVoice(), [*answer("Good morning."), SleepFrame(sleep=0.1)])
    kinds = [type(frame) for frame in frames]
    order = [LLMFullResponseStartFrame, TTSStartedFrame, TTSStoppedFrame, LLMFullResponseEndFrame]
    assert [kinds.index(kind) for kind in order] == sorted(kinds.index(kind) for kind in order)
    assert kinds.index(TTSStartedFrame) < frames.index(audio_of(frames)[0]) < kinds.index(TTSStoppedFrame)
    assert words_of(frames) == "Good morning."


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
    engine = FakeVoice()
    await spoken(engine, answer(written))
    assert engine.said == [said]


@pytest.mark.parametrize(
    "written",
    [
        "Hello there, my friend. How are you?",
        "It costs $5, or 3.5 euros (about £3). Ok?",
        "Wait... what?! No — never.",
        "Hi 😀 there. 😀 Fine! 👍",
        "**Hello** there, see [the page](http://example.org/a_b) now.",
        "He said “yes”, then ‘no’ … and left.",
        "the the the cat. Really? Really! Really.",
        "Mother-in-law's R&D at AT&T, e.g. 10 km/h.",
        "1. First item.\n2. Second item.\n- third",
    ],
)
async def test_an_answer_heard_whole_is_remembered_as_it_was_written(written: str):
    call = SpokenCall(FakeVoice(word_secs=0.005))
    await call.run(answer(*(written[at : at + 5] for at in range(0, len(written), 5))))
    (remembered,) = call.remembered
    assert remembered.split() == written.split()
    assert call.errors == []


async def test_two_answers_and_what_is_said_between_them_are_streams_of_their_own():
    engine = FakeVoice()
    call = SpokenCall(engine)
    frames = [*answer("One. Two."), TTSSpeakFrame("Between."), *answer("Three."), 0.4]
    await call.run(frames)
    assert engine.said == ["One.", "Two.", "Between.", "Three."]
    assert len(engine.streams) == 3 and engine.most_open == 1
    assert call.remembered == ["One. Two.", "Between.", "Three."]


async def test_something_said_in_the_middle_of_an_answer_is_a_stream_of_its_own():
    engine = FakeVoice(word_secs=0.05)
    call = SpokenCall(engine)
    begun = [LLMFullResponseStartFrame(), LLMTextFrame("One two. T")]
    rest = [LLMTextFrame("hree four."), LLMFullResponseEndFrame()]
    await call.run([*begun, 0.1, TTSSpeakFrame("Wait a moment.", append_to_context=False), 0.1, *rest])
    assert len(engine.streams) == 2 and engine.open == 0
    assert engine.said == ["One two.", "Three four.", "Wait a moment."]
    assert words_of(call.heard.frames) == "One two. Three four. Wait a moment."
    assert call.remembered == ["One two. Three four."]


async def test_time_to_first_sound_and_characters_are_measured():
    params = PipelineParams(audio_out_sample_rate=RATE, enable_metrics=True, enable_usage_metrics=True)
    service = EngineTTSService(engine=FakeVoice(delay_secs=0.1))
    down, _ = await run_test(service, frames_to_send=answer("One two. ", "Three."), pipeline_params=params)
    data = [item for frame in down if isinstance(frame, MetricsFrame) for item in frame.data]
    ttfb = [item.value for item in data if isinstance(item, TTFBMetricsData) and item.value]
    assert len(ttfb) == 1 and 0.09 < ttfb[0] < 0.5
    assert [item.value for item in data if isinstance(item, TTSUsageMetricsData)] == [len("One two."), len("Three.")]


async def test_a_fault_is_told_and_the_next_answer_is_spoken():
    engine = FakeVoice(EngineFailed("no voice"), None)
    call = SpokenCall(engine)
    await call.run([*answer("One is lost. ", "So is its second sentence."), *answer("Two is said."), 0.3])
    assert call.errors[0] == "no voice"
    assert engine.said == ["One is lost.", "Two is said."]
    # Nobody heard the first, so that it was not said.
    assert call.remembered == ["Two is said."]


async def test_a_fault_is_an_error_of_this_service_and_not_fatal():
    service = EngineTTSService(engine=FakeVoice(EngineBusy("full")))
    _, up = await run_test(service, frames_to_send=[*answer("One.")], pipeline_params=PARAMS)
    error = next(frame for frame in up if isinstance(frame, ErrorFrame))
    assert isinstance(error.exception, EngineBusy) and error.error == "full" and not error.fatal
    assert error.processor is service and service.is_usable


async def test_a_fault_in_the_middle_keeps_what_was_heard():
    class Breaks(FakeVoice):
        def _chunk(self, sentence: str, at: int):
            if at:
                raise ValueError("the words of a caller")
            return super()._chunk(sentence, at)

    call = SpokenCall(Breaks())
    await call.run([*answer("One two. Three four. Five."), 0.3])
    assert call.remembered == ["One two."]
    assert call.errors == ["voice broke off: ValueError"]


async def test_after_many_faults_it_still_tries():
    engine = FakeVoice(*[EngineFailed("no voice")] * 5, None)
    sentences = [TTSSpeakFrame(f"Sentence {number}.") for number in range(6)]
    frames, errors = await spoken(engine, sentences)
    assert len(engine_errors(errors)) == 5
    assert len(engine.said) == 6 and audio_of(frames)


async def test_an_engine_that_never_answers_is_given_up():
    engine = FakeVoice(mute=1)
    call = SpokenCall(engine, timeout_secs=0.4)
    await call.run([*answer("Nobody hears this."), *answer("But this."), 0.8])
    assert call.errors[0] == "voice gave no sound within 0.4 s"
    assert engine.open == 0
    assert call.remembered == ["But this."]


async def test_a_brain_that_pauses_is_no_fault_of_the_engine():
    call = SpokenCall(FakeVoice(), timeout_secs=0.3)
    begun = [LLMFullResponseStartFrame(), LLMTextFrame("One two. T")]
    await call.run([*begun, 0.8, LLMTextFrame("hree."), LLMFullResponseEndFrame(), 0.2])
    assert call.errors == [] and call.remembered == ["One two. Three."]


async def test_an_answer_without_a_word_does_not_hold_up_the_next(hibari: HibariEngine):
    async with asyncio.timeout(8):
        sentences = [*answer("😀"), *answer("..."), *(TTSSpeakFrame("😀") for _ in range(2)), *answer("Still here.")]
        frames, errors = await spoken(hibari, sentences)
    assert audio_of(frames) and "Still here." in words_of(frames)
    assert sum(isinstance(frame, LLMFullResponseEndFrame) for frame in frames) == 3
    assert not any(frame.fatal or frame.exception for frame in errors)


async def test_an_engine_far_ahead_of_its_listener_is_not_asked_for_more(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(processors.tts, "MAX_AHEAD_SECS", 0.2)
    engine = FakeVoice(endless=True)
    made: list[float] = []

    async def note(frame: Frame) -> None:
        made.append(engine.made_secs - len(call.speaker.played) / 2 / RATE)
        if len(call.speaker.played) > 0.8 * RATE:
            asyncio.ensure_future(call.worker.cancel())  # noqa: RUF006

    call = SpokenCall(engine, on_heard=note)
    await call.run([LLMFullResponseStartFrame(), LLMTextFrame("Endless. N")], end=False)
    assert len(made) > 10 and 0.1 < max(made) < 1.0


async def test_the_voice_of_the_call_goes_to_the_engine():
    engine = FakeVoice()
    settings = EngineTTSService.Settings(model="voice", voice="bella", language=None, speed=1.5)
    service = EngineTTSService(engine=engine, settings=settings)
    await run_test(service, frames_to_send=answer("Hello. You."), pipeline_params=PARAMS)
    assert engine.streams == [SpeechOptions(voice="bella", speed=1.5)]


async def test_settings_change_with_the_next_answer():
    engine = FakeVoice()
    settings = EngineTTSService.Settings
    changes = [
        TTSUpdateSettingsFrame(delta=TTSSettings(voice="bella")),
        TTSUpdateSettingsFrame(delta=settings(speed=0.8, temperature=0.5, exaggeration=0.7, cfg_weight=0.0, seed=7)),
        TTSUpdateSettingsFrame(delta=settings(voice=None, top_k=5, top_p=0.9, min_p=0.1, repetition_penalty=1.2)),
    ]
    frames: list[Frame] = [*answer("One.")]
    for change in changes:
        frames += [change, *answer("Next.")]
    await spoken(engine, frames)
    assert engine.streams == [
        SpeechOptions(),
        SpeechOptions(voice="bella"),
        SpeechOptions("bella", speed=0.8, temperature=0.5, exaggeration=0.7, cfg_weight=0.0, seed=7),
        SpeechOptions(
            speed=0.8,
            temperature=0.5,
            exaggeration=0.7,
            cfg_weight=0.0,
            seed=7,
            top_k=5,
            top_p=0.9,
            min_p=0.1,
            repetition_penalty=1.2,
        ),
    ]


async def test_a_setting_that_changes_in_the_middle_leaves_the_answer_as_it_began():
    engine = FakeVoice()
    change = TTSUpdateSettingsFrame(delta=TTSSettings(voice="bella"))
    begun = [
        LLMFullResponseStartFrame(),
        LLMTextFrame("One. T"),
        change,
        LLMTextFrame("wo."),
        LLMFullResponseEndFrame(),
    ]
    await spoken(engine, [*begun, *answer("Three.")])
    assert [options.voice for options in engine.streams] == [None, "bella"]
    assert engine.said == ["One.", "Two.", "Three."]
