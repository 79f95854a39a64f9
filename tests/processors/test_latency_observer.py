"""Which turns are timed, and what counts as the beginning and the end of each stage."""

from collections.abc import Sequence

from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    ClientConnectedFrame,
    EagerEndOfTurnCancelFrame,
    Frame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.observers.base_observer import FramePushed
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.frame_processor import FrameDirection

from processors.latency import BEGAN_AT, Stages, Timeline, TurnLatency
from processors.latency_observer import LatencyObserver

UNIX = 1_800_000_000.0
"""Unix time at which the pipeline's clock stood at 0."""

Step = tuple[float, Frame]
"""Milliseconds after the caller's last word, and what is pushed then."""


def started() -> Frame:
    return VADUserStartedSpeakingFrame()


def paused(at_ms: float = 0) -> Frame:
    """The pause that is certain 200 ms after the last word; `at_ms` is where that word ended."""
    return VADUserStoppedSpeakingFrame(stop_secs=0.2, timestamp=UNIX + 100 + (at_ms + 200) / 1000)


def transcript(began_ms: float | None = None) -> Frame:
    frame = TranscriptionFrame("hello", "", "now")
    if began_ms is not None:
        frame.metadata[BEGAN_AT] = UNIX + 100 + began_ms / 1000
    return frame


def sound() -> Frame:
    return TTSAudioRawFrame(b"\0\0", 24_000, 1)


def asked(*, speculation: bool = False) -> Frame:
    return LLMContextFrame(LLMContext(), speculation=speculation)


ANSWER: tuple[Step, ...] = (
    (400, UserStoppedSpeakingFrame()),
    (400, asked()),
    (401, LLMFullResponseStartFrame()),
    (500, LLMTextFrame("Hello ")),
    (600, LLMTextFrame("there.")),
    (650, TTSStartedFrame()),
    (690, sound()),
    (700, BotStartedSpeakingFrame()),
)


def spoken() -> tuple[Step, ...]:
    return (
        (-1000, started()),
        (-1000, UserStartedSpeakingFrame()),
        (-1000, InterruptionFrame()),
        (200, paused()),
        (350, transcript(began_ms=80)),
    )


async def turns_of(*runs: Sequence[Step]) -> list[TurnLatency]:
    """What is reported of frames that are pushed 100 s after the pipeline began, each run 100 s after the last."""
    reported: list[TurnLatency] = []

    async def keep(turn: TurnLatency) -> None:
        reported.append(turn)

    observer = LatencyObserver(keep)
    user, _ = LLMContextAggregatorPair(LLMContext())
    for number, run in enumerate(runs):
        for at_ms, frame in run:
            at = int((100 * (number + 1) + at_ms / 1000) * 1e9)
            await observer.on_push_frame(FramePushed(user, user, frame, FrameDirection.DOWNSTREAM, timestamp=at))
    await observer.cleanup()
    return reported


async def test_an_answered_turn_is_timed_from_the_last_word_to_the_first_sound():
    (turn,) = await turns_of([*spoken(), *ANSWER])
    assert turn.turn == 1
    assert turn.voice_to_voice_ms == 700
    assert turn.timeline == Timeline(
        vad_ms=(0, 200), stt_ms=(80, 350), turn_ms=(200, 400), llm_ms=(400, 650), tts_ms=(650, 690)
    )
    assert turn.stages == Stages(vad_ms=200, stt_ms=150, turn_ms=50, llm_ms=250, tts_ms=50)
    assert turn.spoke_until == UNIX + 100


async def test_turns_are_numbered_as_they_are_answered():
    unanswered = (*spoken(), *ANSWER[:4])
    turns = await turns_of([*spoken(), *ANSWER], unanswered, [*spoken(), *ANSWER])
    assert [turn.turn for turn in turns] == [1, 2]


async def test_work_ahead_of_the_decision_begins_ahead_of_it():
    early = (
        *spoken()[:3],
        (90, transcript(began_ms=50)),
        (95, asked(speculation=True)),
        (96, LLMFullResponseStartFrame()),
        (150, LLMTextFrame("Hello there.")),
        (200, paused()),
        (210, TTSStartedFrame()),
        (260, sound()),
        (900, UserStoppedSpeakingFrame()),
        (905, BotStartedSpeakingFrame()),
    )
    (turn,) = await turns_of(early)
    assert turn.timeline == Timeline(
        vad_ms=(0, 200), stt_ms=(50, 90), turn_ms=(200, 900), llm_ms=(95, 210), tts_ms=(210, 260)
    )
    assert turn.stages == Stages(vad_ms=200, stt_ms=0, turn_ms=700, llm_ms=0, tts_ms=5)


async def test_a_withdrawn_guess_leaves_no_trace():
    guess = ((360, asked(speculation=True)), (370, LLMTextFrame("No.")), (380, EagerEndOfTurnCancelFrame()))
    (turn,) = await turns_of([*spoken(), *guess, *ANSWER])
    assert turn.timeline.llm_ms == (400, 650)


async def test_rounds_of_tools_are_the_brains():
    rounds = ((410, LLMTextFrame("Let me see")), (450, LLMFullResponseStartFrame()))
    (turn,) = await turns_of([*spoken(), *ANSWER[:3], *rounds, *ANSWER[3:]])
    assert turn.timeline.llm_ms == (400, 650)


async def test_a_caller_who_goes_on_is_timed_from_where_they_ended_at_last():
    first = [(at_ms - 3000, frame) for at_ms, frame in (*spoken()[:3], (200, paused(-3000)), (350, transcript()))]
    on = ((-1000, started()), (200, paused()), (350, transcript(began_ms=80)))
    (turn,) = await turns_of([*first, *on, *ANSWER])
    assert turn.voice_to_voice_ms == 700
    assert turn.timeline.stt_ms == (80, 350)


async def test_a_last_stretch_without_words_is_answered_for_those_before_it():
    first = [(at_ms - 3000, frame) for at_ms, frame in (*spoken()[:3], (200, paused(-3000)), (350, transcript()))]
    (turn,) = await turns_of([*first, (-1000, started()), (200, paused()), *ANSWER])
    assert turn.voice_to_voice_ms == 700
    assert turn.timeline.stt_ms is None
    assert turn.stages.stt_ms is None


async def test_a_transcription_that_does_not_say_when_it_began_counts_from_the_pause():
    (turn,) = await turns_of([*spoken()[:4], (350, transcript()), *ANSWER])
    assert turn.timeline.stt_ms == (200, 350)


async def test_words_that_open_a_turn_belong_to_it():
    over_the_agent = (
        (-1000, started()),
        (200, paused()),
        (350, transcript(began_ms=80)),
        (350, UserStartedSpeakingFrame()),
        (350, InterruptionFrame()),
    )
    (turn,) = await turns_of([*over_the_agent, *ANSWER])
    assert turn.timeline.stt_ms == (80, 350)


async def test_a_greeting_is_not_a_turn():
    greeting = ((0, ClientConnectedFrame()), (10, asked()), *ANSWER[2:])
    assert [turn.turn for turn in await turns_of(greeting, [*spoken(), *ANSWER])] == [1]


async def test_an_answer_interrupted_before_it_sounded_is_not_a_turn():
    typed = ((650, InterruptionFrame()), (651, asked()), *ANSWER[2:])
    assert await turns_of([*spoken(), *ANSWER[:4], *typed]) == []


async def test_the_same_answer_sounding_on_is_not_another_turn():
    assert len(await turns_of([*spoken(), *ANSWER, (2000, sound()), (2001, BotStartedSpeakingFrame())])) == 1


async def test_a_question_to_repeat_what_had_no_words_is_not_a_turn():
    assert await turns_of([*spoken()[:4], *ANSWER]) == []


async def test_a_spoken_fault_is_not_an_answer():
    fault = ((900, TTSStartedFrame()), (950, sound()), (951, BotStartedSpeakingFrame()))
    assert await turns_of([*spoken(), *ANSWER[:3], *fault]) == []


async def test_the_conversation_that_the_assistant_passes_on_is_no_question():
    reported: list[TurnLatency] = []

    async def keep(turn: TurnLatency) -> None:
        reported.append(turn)

    observer = LatencyObserver(keep)
    user, assistant = LLMContextAggregatorPair(LLMContext())
    steps = [(user, step) for step in (*spoken(), *ANSWER)]
    steps.insert(-3, (assistant, (640, asked())))
    for source, (at_ms, frame) in steps:
        at = int((100 + at_ms / 1000) * 1e9)
        await observer.on_push_frame(FramePushed(source, source, frame, FrameDirection.DOWNSTREAM, timestamp=at))
    await observer.cleanup()
    assert [turn.timeline.llm_ms for turn in reported] == [(400, 650)]
