"""Where the time of an answer went, as callers and operators read it."""

import json

import pytest
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    ClientConnectedFrame,
    Frame,
    InterruptionFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.observers.base_observer import FramePushed
from pipecat.observers.user_bot_latency_observer import (
    LatencyBreakdown,
    LatencyContribution,
    LatencyOwnerKind,
    MeasuredFrom,
    UserBotLatencyObserver,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from processors.latency import Stages, TurnLatency, latency_observer, stages_of


def part(key: str, secs: float) -> LatencyContribution:
    return LatencyContribution(
        key=key, label=key, owner="x", owner_kind=LatencyOwnerKind.SERVICE, start_time=0, duration_secs=secs
    )


def test_named_parts_are_summed_into_stages():
    breakdown = LatencyBreakdown(
        contributions=[
            part("endpointing_wait", 0.2),
            part("transcription", 0.15),
            part("turn_detection", 0.05),
            part("llm_inference", 0.2),
            part("awaiting_speakable_text", 0.03),
            part("sentence_aggregation", 0.02),
            part("speech_synthesis", 0.04),
            part("output_transport", 0.01),
            part("pipeline", 0.006),
        ],
        measured_from=MeasuredFrom.USER_SILENCE,
        total_secs=0.706,
    )
    assert stages_of(breakdown) == Stages(vad_ms=200, stt_ms=150, turn_ms=50, llm_ms=250, tts_ms=50)


def test_a_stage_that_did_not_happen_is_unknown():
    assert stages_of(LatencyBreakdown(contributions=[part("speech_synthesis", 0.04)])) == Stages(tts_ms=40)
    assert stages_of(LatencyBreakdown()) == Stages()


def test_a_turn_goes_over_the_data_channel_as_json():
    turn = TurnLatency(1, 706.0, Stages(vad_ms=200.0))
    assert json.loads(json.dumps(turn.as_dict())) == {
        "turn": 1,
        "voice_to_voice_ms": 706.0,
        "stages": {"vad_ms": 200.0, "turn_ms": None, "stt_ms": None, "llm_ms": None, "tts_ms": None},
    }


class Conversation:
    """Pushes frames past an observer, each at a time that the test says."""

    def __init__(self) -> None:
        self.now = 0.0
        self.turns: list[TurnLatency] = []

        async def keep(turn: TurnLatency) -> None:
            self.turns.append(turn)

        self._observer: UserBotLatencyObserver = latency_observer(keep)
        self._observer._now = lambda: self.now
        self._from = FrameProcessor(name="someone")

    async def push(self, at: float, frame: Frame) -> None:
        self.now = at
        await self._observer.on_push_frame(
            FramePushed(self._from, self._from, frame, FrameDirection.DOWNSTREAM, timestamp=int(at * 1e9))
        )

    async def turn(self, at: float) -> None:
        """The caller falls silent at `at`; the agent's first sound comes 0.7 s later."""
        await self.push(at - 1, VADUserStartedSpeakingFrame())
        await self.push(at + 0.2, VADUserStoppedSpeakingFrame(stop_secs=0.2, timestamp=at + 0.2))
        await self.push(at + 0.35, TranscriptionFrame("hello", "", "now"))
        await self.push(at + 0.40, LLMFullResponseStartFrame())
        await self.push(at + 0.60, LLMTextFrame("Hello."))
        await self.push(at + 0.65, TTSAudioRawFrame(b"\0\0", 24_000, 1))
        await self.push(at + 0.70, BotStartedSpeakingFrame())
        await self._observer.cleanup()


async def test_each_answered_turn_is_measured_from_the_last_word_to_the_first_sound():
    conversation = Conversation()
    await conversation.turn(100)
    await conversation.turn(110)
    assert [turn.turn for turn in conversation.turns] == [1, 2]
    for turn in conversation.turns:
        assert turn.voice_to_voice_ms == pytest.approx(700, abs=0.2)
        assert turn.stages.vad_ms == pytest.approx(200, abs=0.2)
        assert turn.stages.stt_ms == pytest.approx(150, abs=0.2)
        assert turn.stages.turn_ms == pytest.approx(50, abs=0.2)
        parts = [value for value in vars(turn.stages).values() if value is not None]
        assert sum(parts) <= turn.voice_to_voice_ms + 0.5


async def test_a_greeting_is_not_a_turn():
    conversation = Conversation()
    await conversation.push(1, ClientConnectedFrame())
    await conversation.push(2, LLMFullResponseStartFrame())
    await conversation.push(2.5, TTSAudioRawFrame(b"\0\0", 24_000, 1))
    await conversation.push(2.6, BotStartedSpeakingFrame())
    await conversation.turn(10)
    assert [turn.turn for turn in conversation.turns] == [1]
    assert conversation.turns[0].voice_to_voice_ms == pytest.approx(700, abs=0.2)


async def test_a_turn_that_got_no_answer_is_not_counted():
    conversation = Conversation()
    await conversation.push(99, VADUserStartedSpeakingFrame())
    await conversation.push(100.2, VADUserStoppedSpeakingFrame(stop_secs=0.2, timestamp=100.2))
    await conversation.push(101, InterruptionFrame())
    await conversation.turn(110)
    assert [turn.turn for turn in conversation.turns] == [1]
