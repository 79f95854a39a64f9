"""Who speaks while the agent does."""

from itertools import pairwise
from typing import Literal

import pytest

from configs.settings import ConversationSettings
from tests.conversation.stage import BEGIN, Scene, Word, says

STORY = "This is a rather long answer. It has several sentences in it. And it goes on for a while. You may stop me."
OVER = 4.0
"""In the middle of it."""


def scene(over: list[Word], manner: Literal["polite", "eager", "never"] = "polite", *answers: str) -> Scene:
    talking = ConversationSettings(greeting="", reprompt_secs=0, barge_in=manner)
    return Scene(says("tell me a story.", BEGIN) + over, (STORY, *(answers or ("Fine.",))), talking=talking)


@pytest.mark.parametrize("words", ["no stop that now.", "stop.", "wait a second please.", "what about Tuesday?"])
def test_words_take_the_floor_and_the_sound_stops_at_once(words: str):
    played = scene(says(words, OVER)).play(12)
    assert played.sound[0][1] - OVER <= 0.15
    roles = [role for role, _ in played.remembered]
    assert roles == ["user", "assistant", "user", "assistant"]
    assert played.remembered[2] == ("user", words)


def test_only_what_was_heard_is_remembered():
    played = scene(says("no stop that now.", OVER)).play(12)
    begin, end = played.sound[0]
    heard = int((end - begin + 0.01) / played.word_secs)
    assert played.remembered[1] == ("assistant", " ".join(STORY.split()[:heard]))


@pytest.mark.parametrize("sound", ["mhm", "yeah", "uh-huh", "*"])
def test_a_sign_of_listening_and_a_cough_let_it_go_on_where_it_stopped(sound: str):
    played = scene(says(sound, OVER)).play(14)
    (_, stopped), (resumed, _) = played.sound
    assert stopped - OVER <= 0.15 and resumed - OVER < 1.0
    assert played.remembered == [("user", "tell me a story."), ("assistant", STORY)]
    assert len(played.mind.asked) == 1
    heard = sum(end - begin for begin, end in played.sound)
    assert heard == pytest.approx(len(STORY.split()) * played.word_secs, abs=0.08)


def test_a_sign_of_listening_is_shown_as_one():
    assert scene(says("mhm", OVER)).play(14).notes.backchannels == ["mhm"]


def test_a_click_hardly_holds_it():
    played = scene(says("*", OVER, 0.03)).play(14)
    assert len(played.sound) <= 2
    assert sum(later[0] - earlier[1] for earlier, later in pairwise(played.sound)) < 0.2


def test_yes_is_an_answer_where_something_was_asked():
    asked = "Do you want to hear a very long story about a dog and a cat?"
    talking = ConversationSettings(greeting="", reprompt_secs=0)
    played = Scene(
        says("tell me a story.", BEGIN) + says("yes.", 6.65),
        (f"{asked} I know some of them.", "Well."),
        talking=talking,
    ).play(12)
    assert played.remembered[2] == ("user", "yes.")


def test_a_long_voice_takes_the_floor_before_its_words_are_known():
    played = scene(says("* * * * * * * *", OVER))
    played.ear.secs = 0.1
    played.play(14)
    # Nothing was understood, so the agent asks.
    assert len(played.mind.asked) == 2


def test_eager_stops_for_a_cough():
    played = scene(says("*", OVER), "eager").play(12)
    assert played.sound[0][1] - OVER <= 0.35
    assert played.remembered[1][1] != STORY


def test_never_finishes_first_and_answers_then():
    played = scene(says("no stop that now.", OVER), "never").play(16)
    assert {("assistant", STORY), ("user", "no stop that now.")} < set(played.remembered)
    assert played.sound[0][1] - played.sound[0][0] > len(STORY.split()) * played.word_secs - 0.3


def test_the_agents_own_words_come_back_are_not_taken_for_the_callers():
    played = scene(says("a rather long answer.", 4.4)).play(16)
    assert played.remembered == [("user", "tell me a story."), ("assistant", STORY)]


def test_two_interruptions_in_a_row():
    played = scene(
        says("no wait please.", OVER) + says("I meant a song.", 6.3),
        "polite",
        "Fine, I shall do something else.",
        "La.",
    ).play(12)
    assert [text for role, text in played.remembered if role == "user"] == [
        "tell me a story.",
        "no wait please.",
        "I meant a song.",
    ]
    assert played.remembered[-1] == ("assistant", "La.")
    assert [role for role, _ in played.remembered] == ["user", "assistant"] * 3


@pytest.mark.parametrize("after", [-0.1, 0.0, 0.05, 0.2])
def test_speech_in_the_instant_the_answer_starts(after: float):
    begins = Scene(says("tell me a story.", BEGIN), (STORY,)).play(4).sound[0][0]
    played = scene(says("about a dog please.", begins + after)).play(12)
    assert played.remembered[-1] == ("assistant", "Fine.")
    assert ("user", "about a dog please.") in played.remembered
    assert all(end - begin < 0.5 for begin, end in played.sound[:-1])


def test_a_cough_while_the_brain_is_at_work_only_delays_the_answer():
    played = scene(says("*", 2.55)).play(14)
    assert played.remembered == [("user", "tell me a story."), ("assistant", STORY)]
    assert len(played.mind.asked) == 1 and played.sound[0][0] < 3.6
