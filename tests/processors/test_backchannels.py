"""Signs of listening, and the agent's own words come back."""

import pytest

from processors.backchannels import is_backchannel, is_echo

SAID = "The train to London leaves at nine in the morning from platform four. Shall I book a seat for you?"


@pytest.mark.parametrize(
    "text", ["Mhm.", "Yeah.", "Uh-huh.", "Right, right.", "Okay.", "I see.", "Oh, okay.", "Mm-hmm", ""]
)
def test_signs_of_listening(text: str):
    assert is_backchannel(text)


@pytest.mark.parametrize(
    "text",
    [
        "No.",
        "Stop.",
        "Wait.",
        "Yeah, but I want two.",
        "Okay stop now.",
        "What?",
        "Hello?",
        "Sorry?",
        "Yes yes yes yes yes",
    ],
)
def test_words_that_want_something(text: str):
    assert not is_backchannel(text)


@pytest.mark.parametrize("text", ["leaves at nine in the morning", "the train to london", "nine in the morning from"])
def test_its_own_words_are_an_echo(text: str):
    assert is_echo(text, SAID)


@pytest.mark.parametrize(
    "text", ["no, in the evening please", "stop", "the", "book two seats", "", "what about platform five"]
)
def test_other_words_are_none(text: str):
    assert not is_echo(text, SAID)


def test_nothing_echoes_silence():
    assert not is_echo("the train to London", "")
