"""The agent leaves when its last words have been heard, unless the caller speaks over them."""

import asyncio
from typing import Any, cast

import pytest
from pipecat.frames.frames import Frame, InterruptionFrame, TTSSpeakFrame, UserSpeakingFrame
from pipecat.observers.base_observer import FramePushed
from pipecat.pipeline.worker import PipelineWorker

from agent.leaving import Leaving
from tests.agent.virtual_time import VirtualLoop, virtually

SPEAKING_SECS = 4.0


class Voice:
    """A worker whose words take a while to be heard."""

    def __init__(self, secs: float = SPEAKING_SECS):
        self.secs = secs
        self.said: list[str] = []

    async def queue_frame(self, frame: Frame) -> None:
        assert isinstance(frame, TTSSpeakFrame)
        self.said.append(frame.text)

    async def flush_pipeline(self) -> bool:
        await asyncio.sleep(self.secs)
        return True


def pushed(frame: Frame) -> FramePushed:
    return FramePushed(
        source=cast(Any, None), destination=cast(Any, None), frame=frame, direction=cast(Any, None), timestamp=0
    )


def left_at(
    voice: Voice, *, after_secs: float = 100, frame: Frame | None = None, words: str = "Bye.", begins: int = 1
) -> float | None:
    """When the call ended; None if it did not."""

    async def leave(loop: VirtualLoop) -> float | None:
        ended: list[float] = []

        async def end() -> None:
            await asyncio.sleep(0.5)
            ended.append(loop.time())

        leaving = Leaving(end)
        for _ in range(begins):
            leaving.begin(cast(PipelineWorker, voice), words)
        await asyncio.sleep(after_secs)
        if frame is not None:
            await leaving.on_push_frame(pushed(frame))
            await asyncio.sleep(100)
        await leaving.close()
        return ended[0] if ended else None

    return virtually(leave)


def test_the_call_ends_when_the_last_words_have_been_heard():
    voice = Voice()
    assert left_at(voice) == SPEAKING_SECS + 0.5 and voice.said == ["Bye."]


def test_words_that_are_said_already_are_waited_for():
    voice = Voice()
    assert left_at(voice, words="") == SPEAKING_SECS + 0.5 and voice.said == []


@pytest.mark.parametrize(("after_secs", "stays"), [(1, True), (SPEAKING_SECS + 0.2, False)])
def test_a_caller_who_speaks_over_the_goodbye_keeps_the_line_but_not_once_it_closes(after_secs: float, stays: bool):
    assert (left_at(Voice(), after_secs=after_secs, frame=InterruptionFrame()) is None) == stays


def test_other_frames_change_nothing():
    assert left_at(Voice(), after_secs=1, frame=UserSpeakingFrame()) == SPEAKING_SECS + 0.5


def test_who_leaves_twice_says_goodbye_once():
    voice = Voice()
    assert left_at(voice, begins=2) is not None and voice.said == ["Bye."]


def test_last_words_without_end_are_cut():
    assert left_at(Voice(secs=1000)) == 60.5


def test_a_call_that_ends_meanwhile_is_not_ended_again():
    assert left_at(Voice(), after_secs=1) is None
