"""An interruption silences the answer at once, frees the engine, and leaves in memory what was heard."""

import asyncio

import pytest
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    InterruptionFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSSpeakFrame,
    TTSTextFrame,
)

from engines.errors import EngineFailed
from tests.processors.speaking import RATE, FakeVoice, SpokenCall, answer, audio_of, words_of

STORY = "Once upon a time there was a lighthouse. Nobody came."


def interrupted_at(word: str, engine: FakeVoice) -> SpokenCall:
    """A call whose caller interrupts when the word has been heard."""

    async def interrupt(frame: Frame) -> None:
        if isinstance(frame, TTSTextFrame) and frame.text == word:
            await call.worker.queue_frame(InterruptionFrame())

    call = SpokenCall(engine, on_heard=interrupt)
    return call


async def test_an_interrupted_answer_is_remembered_as_far_as_it_was_heard():
    engine = FakeVoice(word_secs=0.2)
    call = interrupted_at("Its", engine)
    await call.run([*answer("A lighthouse. *Its* keeper lived there. Nobody came."), 1.0, *answer("Yes?"), 0.4])
    assert call.remembered == ["A lighthouse. *Its*", "Yes?"]
    assert call.errors == []


async def test_nothing_of_an_interrupted_answer_is_heard_afterwards():
    engine = FakeVoice(word_secs=0.2)
    call = interrupted_at("upon", engine)
    await call.run([*answer(STORY), 0.8, *answer("Yes?"), 0.4])
    at = next(at for at, frame in enumerate(call.heard.frames) if isinstance(frame, InterruptionFrame))
    after = call.heard.frames[at:]
    assert words_of(after) == "Yes?"
    old = {frame.context_id for frame in audio_of(call.made.frames)[:1]}
    made = call.made.frames
    made_after = made[next(at for at, frame in enumerate(made) if isinstance(frame, InterruptionFrame)) :]
    assert not [frame for frame in audio_of(made_after) if frame.context_id in old]
    # Two words of the story, and the one of the next answer.
    assert 0.5 * RATE * 2 < len(call.speaker.played) < 1.2 * RATE * 2


@pytest.mark.parametrize("delay_secs", [0.0, 0.01])
async def test_the_engine_is_freed_before_anybody_else_hears_of_the_interruption(delay_secs: float):
    engine = FakeVoice(endless=True, delay_secs=delay_secs)
    open_then: list[int] = []

    async def look(frame: Frame) -> None:
        if isinstance(frame, InterruptionFrame):
            open_then.append(engine.open)

    call = SpokenCall(engine, on_made=look)
    await call.run([*answer("A very long story. Yes."), 0.2, InterruptionFrame(), 0.1])
    assert open_then == [0]
    assert engine.closed_early == 1


async def test_an_interruption_closes_the_stream_once():
    engine = FakeVoice(word_secs=0.1, endless=True)
    call = SpokenCall(engine)
    await call.run([*answer(STORY), 0.2, InterruptionFrame(), InterruptionFrame(), 0.05, InterruptionFrame(), 0.1])
    assert engine.closed_early == 1 and engine.open == 0
    assert call.errors == []


async def test_an_interruption_before_the_first_sound_leaves_nothing():
    engine = FakeVoice(delay_secs=0.3)
    call = SpokenCall(engine)
    await call.run([*answer("Nobody hears this."), 0.1, InterruptionFrame(), 0.05, *answer("But this."), 0.6])
    assert engine.closed_early == 1 and engine.open == 0
    assert call.remembered == ["But this."]
    assert words_of(call.made.frames) == "But this."


async def test_an_interruption_while_the_brain_still_writes():
    engine = FakeVoice(word_secs=0.2)
    call = interrupted_at("two", engine)
    begun = [LLMFullResponseStartFrame(), LLMTextFrame("One two three. F"), LLMTextFrame("our")]
    await call.run([*begun, 0.6, *answer("Yes?"), 0.3])
    assert engine.said == ["One two three.", "Yes?"]
    assert engine.closed_early == 1
    assert call.remembered == ["One two", "Yes?"]


async def test_an_interruption_before_any_text_does_no_harm():
    call = SpokenCall(FakeVoice())
    await call.run([LLMFullResponseStartFrame(), InterruptionFrame(), 0.05, *answer("Yes?"), 0.3])
    assert call.remembered == ["Yes?"] and call.errors == []


async def test_an_interruption_drops_what_waits_behind_the_answer():
    engine = FakeVoice(word_secs=0.2)
    call = interrupted_at("upon", engine)
    await call.run([*answer(STORY), TTSSpeakFrame("And then."), 1.0, *answer("Yes?"), 0.3])
    assert call.remembered == ["Once upon", "Yes?"]
    assert engine.open == 0


async def test_after_a_fault_an_interruption_finds_nothing_to_close():
    engine = FakeVoice(EngineFailed("no voice"), None)
    call = SpokenCall(engine)
    begun = [LLMFullResponseStartFrame(), LLMTextFrame("One. T")]
    await call.run([*begun, 0.1, InterruptionFrame(), *answer("Yes?"), 0.3])
    assert call.errors == ["no voice"] and call.remembered == ["Yes?"]


async def test_words_are_told_when_they_were_played_though_the_brain_pauses():
    engine = FakeVoice(word_secs=0.1)
    played: dict[str, float] = {}

    async def note(frame: Frame) -> None:
        if isinstance(frame, TTSTextFrame):
            played[frame.text] = len(call.speaker.played) / 2 / RATE

    call = SpokenCall(engine, on_heard=note)
    begun = [LLMFullResponseStartFrame(), LLMTextFrame("One two. T")]
    await call.run([*begun, 0.7, *[LLMTextFrame("hree four. Five.")], *answer()[1:], 0.7])
    assert list(played) == ["One", "two.", "Three", "four.", "Five."]
    for number, secs in enumerate(played.values(), start=1):
        assert number * 0.1 - 0.25 < secs <= number * 0.1 + 0.25


async def test_a_hang_up_in_the_middle_leaves_no_stream_open():
    engine = FakeVoice(endless=True, word_secs=0.1)

    async def hang_up(frame: Frame) -> None:
        if isinstance(frame, TTSTextFrame):
            asyncio.ensure_future(call.worker.cancel())  # noqa: RUF006

    call = SpokenCall(engine, on_heard=hang_up)
    await call.run([LLMFullResponseStartFrame(), LLMTextFrame("Endless. N")], end=False)
    assert engine.open == 0 and engine.closed_early == 1


async def test_the_bot_stops_speaking_after_each_answer():
    call = interrupted_at("upon", FakeVoice(word_secs=0.2))
    await call.run([*answer(STORY), 0.7, *answer("Yes?"), 0.4])
    kinds = [type(f) for f in call.heard.frames if isinstance(f, (BotStartedSpeakingFrame, BotStoppedSpeakingFrame))]
    assert kinds == [BotStartedSpeakingFrame, BotStoppedSpeakingFrame] * 2


async def test_after_an_interruption_words_are_told_in_time():
    at: list[float] = []

    async def note(frame: Frame) -> None:
        if isinstance(frame, TTSTextFrame) and frame.text == "upon":
            at.append(asyncio.get_running_loop().time())
            await call.worker.queue_frames([InterruptionFrame(), *answer("Yes?")])
        elif isinstance(frame, TTSTextFrame) and frame.text == "Yes?":
            at.append(asyncio.get_running_loop().time())

    call = SpokenCall(FakeVoice(word_secs=0.2), on_heard=note)
    await call.run([*answer(STORY, *[" And so on."] * 5), 1.5])
    assert 0.15 < at[1] - at[0] < 1.5
