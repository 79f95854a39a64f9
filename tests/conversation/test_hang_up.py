"""The caller hangs up, whatever the conversation is at."""

import pytest

from configs.settings import ConversationSettings
from tests.conversation.stage import Scene, says

STORY = "This is a rather long answer. It has several sentences in it. And it goes on for a while. You may stop me."
MOMENTS = {
    "before anything": 0.1,
    "in the greeting": 0.8,
    "in the caller's sentence": 2.5,
    "in the dip of the voice": 3.27,
    "while words are awaited": 3.38,
    "while the brain is at work": 3.55,
    "while the answer is spoken": 4.5,
    "while the sound is held": 5.2,
    "after a murmur": 5.6,
    "while the caller interrupts": 6.8,
    "in the second answer": 8.0,
}


@pytest.mark.parametrize("at", MOMENTS.values(), ids=MOMENTS)
def test_nothing_of_the_call_is_left(at: float):
    words = says("tell me a story.", 2.0) + says("mhm", 5.1) + says("no stop that now please.", 6.2)
    talking = ConversationSettings(greeting="Hello there.", filler_secs=0.2)
    scene = Scene(words, (STORY, "Fine, as you like."), talking=talking).play(at)
    assert scene.left_over == []
    assert scene.voice.open == 0
