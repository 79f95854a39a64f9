"""Whom the agent answers, when, and with work done ahead."""

import pytest

from configs.settings import SttSettings, TurnSettings
from tests.conversation.stage import BEGIN, Scene, says

WORD = 0.3
ANSWER = "Here is my answer."


def gap(scene: Scene, ended: float) -> float:
    """Silence between the caller's last word and the agent's first sound."""
    return scene.sound[0][0] - ended


@pytest.mark.parametrize("text", ["what is the capital of France?", "yes.", "no, thanks.", "tell me a story."])
def test_what_is_finished_is_answered_at_once(text: str):
    scene = Scene(says(text, BEGIN)).play(6)
    assert scene.remembered == [("user", text), ("assistant", ANSWER)]
    assert 0.3 < gap(scene, BEGIN + len(text.split()) * WORD) < 0.7


def test_a_short_answer_waits_for_no_second_opinion():
    """Smart Turn often takes a single word for unfinished."""
    scene = Scene(says("yes.", BEGIN), finished=lambda: 0.01, judge_secs=0.5).play(6)
    assert gap(scene, BEGIN + WORD) < 0.7


def test_what_hangs_is_waited_for_whatever_its_sound():
    scene = Scene(says("my number is … … five five five one two three four eight nine ten.", BEGIN)).play(10)
    assert [said for _, said in scene.mind.asked] == ["my number is five five five one two three four eight nine ten."]
    assert len(scene.sound) == 1


def test_digits_are_not_cut_between_their_groups():
    scene = Scene(says("it is five five five … … one two three … … four five six seven.", BEGIN)).play(12)
    assert scene.remembered[0] == ("user", "it is five five five one two three four five six seven.")
    assert len(scene.sound) == 1


def test_an_address_is_not_cut_before_its_end():
    scene = Scene(says("my email is john at … … example dot com.", BEGIN)).play(10)
    assert scene.remembered[0] == ("user", "my email is john at example dot com.")
    assert len(scene.sound) == 1


def test_somebody_who_never_finishes_is_answered_in_the_end():
    scene = Scene(says("I would like to", BEGIN), finished=lambda: 0.01).play(8)
    assert TurnSettings().open_secs < gap(scene, BEGIN + 4 * WORD) < TurnSettings().longest_secs + 0.6


def test_somebody_who_pauses_long_is_given_longer_next_time():
    text = "I would … … like … … to … … have … … the"
    patient = Scene(says(text, BEGIN), finished=lambda: 0.01).play(14)
    hasty = Scene(says("I … would … like … to … have … the", BEGIN), finished=lambda: 0.01).play(12)
    assert len(patient.mind.asked) == 1
    assert gap(patient, BEGIN + 6 * WORD + 8 * 0.5) > gap(hasty, BEGIN + 6 * WORD + 5 * 0.5) + 0.3


def test_the_brain_begins_before_the_turn_is_over_and_nothing_of_it_is_heard_until_then():
    scene = Scene(says("I want a table.", BEGIN), finished=lambda: 0.3).play(6)
    ended = BEGIN + 4 * WORD
    ((asked, said),) = scene.mind.asked
    assert said == "I want a table." and asked - ended < 0.3
    assert gap(scene, ended) > 0.7
    # All that is left to do then is to speak.
    assert gap(scene, ended) - 1.0 < 0.2
    assert scene.remembered == [("user", "I want a table."), ("assistant", ANSWER)]


def test_without_guesses_the_brain_waits():
    scene = Scene(says("I want a table.", BEGIN), finished=lambda: 0.3, turn=TurnSettings(guesses=0)).play(6)
    assert scene.mind.asked[0][0] - (BEGIN + 4 * WORD) > 0.7


def test_a_guess_is_dropped_without_trace_when_the_caller_goes_on():
    scene = Scene(says("I want a table. … for two.", BEGIN), finished=lambda: 0.3).play(8)
    assert [said for _, said in scene.mind.asked] == ["I want a table.", "I want a table. for two."]
    assert scene.remembered == [("user", "I want a table. for two."), ("assistant", ANSWER)]
    assert scene.voice.said == [ANSWER]


def test_guesses_are_bounded():
    text = "one table. … and a chair. … and a lamp."
    scene = Scene(says(text, BEGIN), finished=lambda: 0.3, turn=TurnSettings(guesses=1)).play(9)
    assert [said for _, said in scene.mind.asked] == ["one table.", "one table. and a chair. and a lamp."]
    assert scene.remembered[0] == ("user", "one table. and a chair. and a lamp.")


def test_a_voice_without_words_is_not_answered():
    scene = Scene(says("*", BEGIN)).play(6)
    assert scene.mind.asked == [] and scene.sound == [] and scene.remembered == []


def test_words_may_come_late():
    scene = Scene(says("what is the capital of France?", BEGIN), hearing=SttSettings(early_secs=None))
    scene.ear.secs = 2.0
    scene.play(8)
    assert scene.remembered == [("user", "what is the capital of France?"), ("assistant", ANSWER)]
    assert 2.2 < gap(scene, BEGIN + 6 * WORD) < 3


def test_words_that_never_come_are_not_waited_for_for_ever():
    scene = Scene(says("hello there.", BEGIN))
    scene.ear.deaf = True
    scene.play(12)
    assert scene.mind.asked == [] and scene.remembered == []


def test_without_smart_turn_the_words_decide():
    scene = Scene(says("tell me a story.", BEGIN))
    scene.finished = lambda: float("nan")
    scene.play(6)
    assert scene.remembered[-1] == ("assistant", ANSWER)
