"""What the agent says of its own accord."""

from configs.settings import ConversationSettings
from tests.conversation.stage import Scene, says

QUIET = {"greeting": "", "reprompt_secs": 0, "filler_secs": 0}


def talking(**settings: object) -> ConversationSettings:
    return ConversationSettings.model_validate({**QUIET, **settings})


def test_the_caller_is_greeted_at_once():
    scene = Scene([], talking=talking(greeting="Hello there.")).play(3)
    assert scene.voice.said == ["Hello there."]
    assert scene.sound[0][0] < 0.7


def test_a_caller_who_speaks_first_is_not_talked_over():
    scene = Scene(says("what time is it?", 0.05), talking=talking(greeting="Hello there.")).play(5)
    assert scene.voice.said == ["Here is my answer."]


def test_the_greeting_can_be_interrupted():
    greeting = "Hello and welcome to this rather long greeting of mine."
    scene = Scene(says("what time is it?", 1.5), talking=talking(greeting=greeting)).play(6)
    assert scene.sound[0][1] < 1.7
    assert scene.remembered[-1] == ("assistant", "Here is my answer.")


def test_a_silent_caller_is_asked_and_then_left():
    settings = talking(greeting="Hello.", reprompt_secs=5, reprompts=["Still there?", "Anybody?"])
    scene = Scene([], talking=settings).play(30)
    assert scene.voice.said == ["Hello.", "Still there?", "Anybody?"]
    begins = [begin for begin, _ in scene.sound]
    assert begins[1] - scene.sound[0][1] > 4.9 and begins[2] - scene.sound[1][1] > 4.9
    assert len(scene.hung_up) == 1 and scene.hung_up[0] - scene.sound[2][1] > 4.9


def test_who_speaks_again_is_asked_from_the_beginning():
    settings = talking(greeting="Hello.", reprompt_secs=5, reprompts=["Still there?", "Anybody?"])
    scene = Scene(says("tell me more.", 8), talking=settings).play(17)
    assert scene.voice.said == ["Hello.", "Still there?", "Here is my answer.", "Still there?"]
    assert scene.hung_up == []


def test_a_slow_brain_is_bridged_and_never_with_the_same_words():
    settings = talking(filler_secs=1.5, fillers=["One moment.", "Let me think."])
    scene = Scene(says("tell me a story.", 1) + says("and another.", 9), talking=settings)
    scene.mind.first_secs = 3.0
    scene.play(15)
    assert scene.voice.said == ["One moment.", "Here is my answer.", "Let me think.", "Here is my answer."]
    assert [text for role, text in scene.remembered if role == "assistant"] == ["Here is my answer."] * 2


def test_a_quick_brain_is_not():
    scene = Scene(says("tell me a story.", 1), talking=talking(filler_secs=1.5)).play(6)
    assert scene.voice.said == ["Here is my answer."]


def test_a_caller_who_goes_on_silences_the_filler():
    scene = Scene(says("tell me a story.", 1) + says("about a dog please.", 3.0), talking=talking(filler_secs=1.5))
    scene.mind.first_secs = 1.2
    scene.play(8)
    assert set(scene.voice.said) == {"Here is my answer."}


def test_a_brain_that_is_away_is_told_and_the_call_goes_on():
    scene = Scene(says("tell me a story.", 1) + says("are you there?", 6), talking=talking())
    scene.mind.fails = True
    scene.play(5, (5.0, lambda it: setattr(it.mind, "fails", False)))
    assert scene.problems == ["brain"]


def test_an_ear_that_fails_is_told_and_nothing_is_asked():
    scene = Scene(says("tell me a story.", 1), talking=talking())
    scene.ear.fails = True
    scene.play(8)
    assert scene.problems == ["stt"] and scene.mind.asked == []
