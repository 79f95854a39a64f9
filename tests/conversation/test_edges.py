"""Instants at which a conversation could fall silent, or remember what nobody heard."""

import asyncio

import pytest
from pipecat.frames.frames import InterruptionFrame

from configs.settings import ConversationSettings
from tests.conversation.stage import BEGIN, Scene, Word, says

STORY = "This is a rather long answer. It has several sentences in it. And it goes on for a while. You may stop me."
QUIET = ConversationSettings.model_validate({"greeting": None, "reprompt_secs": 0, "filler_secs": 0})


@pytest.mark.parametrize("after", [-0.2, -0.12, -0.08, -0.06, -0.04, -0.02, 0.0, 0.02, 0.06, 0.1])
def test_who_answers_just_as_the_agent_ends_is_answered(after: float):
    asked = "Do you want more?"
    end = Scene(says("tell me a story.", BEGIN), (asked,), talking=QUIET).play(6).sound[-1][1]
    words = says("tell me a story.", BEGIN) + says("yes I do.", end + after)
    scene = Scene(words, (asked, "Here it is."), talking=QUIET).play(end + 4)
    assert scene.remembered[-2:] == [("user", "yes I do."), ("assistant", "Here it is.")]
    assert scene.sound[-1][0] > end + 0.5


@pytest.mark.parametrize("close_secs", [0.0, 0.01, 0.05, 0.3])
def test_what_is_still_being_made_is_not_remembered(close_secs: float):
    long = " ".join(f"one two three four five six number {number}." for number in range(20))
    scene = Scene(says("tell me a story.", BEGIN) + says("no stop that now.", 5), (long, "Fine."), talking=QUIET)
    scene.voice.close_secs = close_secs
    scene.play(10)
    begin, end = scene.sound[0]
    assert scene.remembered[1][0] == "assistant" and scene.remembered[2] == ("user", "no stop that now.")
    assert abs(len(scene.remembered[1][1].split()) - (end - begin) / scene.word_secs) <= 1


def test_a_flicker_that_never_becomes_a_voice_does_not_mute_the_agent():
    flicker = [Word(None, 4 + 0.096 * number, 0.032) for number in range(100)]
    scene = Scene(says("tell me a story.", BEGIN) + flicker, (STORY,), talking=QUIET).play(14)
    assert scene.remembered == [("user", "tell me a story."), ("assistant", STORY)]
    assert scene.sound[-1][1] - scene.sound[0][0] < len(STORY.split()) * scene.word_secs + 1.5


def test_a_cough_after_the_filler_does_not_lose_the_question():
    talking = ConversationSettings.model_validate({"greeting": None, "reprompt_secs": 0, "filler_secs": 1})
    scene = Scene(says("tell me a story.", BEGIN) + says("*", 4.6), talking=talking)
    scene.mind.first_secs = 4.0
    scene.play(12)
    assert scene.remembered == [("user", "tell me a story."), ("assistant", "Here is my answer.")]
    assert len(scene.mind.asked) == 1


def test_a_second_filler_comes_where_the_brain_is_slower_still():
    talking = ConversationSettings.model_validate(
        {"greeting": None, "reprompt_secs": 3, "filler_secs": 1, "fillers": ["One moment.", "Let me think."]}
    )
    scene = Scene(says("tell me a story.", BEGIN), talking=talking)
    scene.mind.first_secs = 4.6
    scene.play(11)
    # And nobody is asked whether they are still there while the agent is the slow one.
    assert scene.voice.said[:3] == ["One moment.", "Let me think.", "Here is my answer."]


def test_a_caller_who_comes_in_silence_is_asked_without_a_greeting():
    talking = ConversationSettings.model_validate({"greeting": None, "reprompt_secs": 4, "reprompts": ["Hello?"]})
    scene = Scene([], talking=talking).play(14)
    assert scene.voice.said == ["Hello?"] and len(scene.hung_up) == 1


@pytest.mark.parametrize("at", [2.5, 2.6, 2.8])
def test_an_interruption_from_outside_does_not_leave_the_turn_unanswered(at: float):
    def interrupt(scene: Scene) -> None:
        tasks.append(asyncio.ensure_future(scene.worker.queue_frame(InterruptionFrame())))

    tasks: list[asyncio.Future[None]] = []
    scene = Scene(says("I want a table.", BEGIN), finished=lambda: 0.3, talking=QUIET).play(8, (at, interrupt))
    assert scene.remembered[-1] == ("assistant", "Here is my answer.")


def test_a_guess_that_fails_is_not_told_and_the_turn_is_answered():
    scene = Scene(says("I want a table. … for two.", BEGIN), finished=lambda: 0.3, talking=QUIET)
    scene.mind.fails = True
    scene.play(9, (3.2, lambda it: setattr(it.mind, "fails", False)))
    assert scene.problems == []
    assert scene.remembered == [("user", "I want a table. for two."), ("assistant", "Here is my answer.")]


def test_a_brain_that_fails_in_earnest_is_told_once():
    scene = Scene(says("I want a table.", BEGIN), finished=lambda: 0.3, talking=QUIET)
    scene.mind.fails = True
    scene.play(6)
    assert scene.problems == ["brain"]


def test_one_who_finishes_first_answers_each_in_turn():
    talking = QUIET.model_copy(update={"barge_in": "never"})
    words = says("tell me a story.", BEGIN) + says("I want a table. … for two.", 4)
    scene = Scene(words, (STORY, "A table, then."), finished=lambda: 0.3, talking=talking).play(16)
    assert scene.voice.said[-1] == "A table, then." and scene.voice.said.count("A table, then.") == 1
