"""What words say of whether more is to come."""

import pytest

from processors.endings import Ending, ending_of, spoken_words

WHOLE = [
    ("Yes.", ""),
    ("yes please", ""),
    ("No, thanks.", ""),
    ("Um, yes.", ""),
    ("Thank you very much.", ""),
    ("Five.", "How many people are you?"),
    ("Twenty-two", "How old are you?"),
    ("john at example dot com", "What is your e-mail address?"),
    ("It is john.smith@example.com.", ""),
    ("555 123 4567", "What is your phone number?"),
    ("five five five one two three four five six seven", ""),
]
CLOSED = [
    "What is the capital of France?",
    "I need a table for two people.",
    "Who is it for?",
    "Yes, I think I do.",
    "I know what it is.",
    "My room is number five.",
]
HANGING = [
    "My number is",
    "My number is.",
    "I'd like to",
    "And",
    "I was thinking about",
    "So, um",
    "Well, it's the",
    "I want a table, and…",
    "My name is,",
    "I would like to have a.",
]
SPELLING = [
    ("My number is 555.", ""),
    ("five five five", ""),
    ("Five.", "What is your phone number?"),
    ("It's a b c", "Could you spell that?"),
    ("my email is john at", ""),
    ("john dot smith", "What is your e-mail?"),
    ("Call me at 555-1234.", ""),
]


@pytest.mark.parametrize(("text", "asked"), WHOLE)
def test_a_whole_answer_needs_nothing_more(text: str, asked: str):
    assert ending_of(text, asked=asked) is Ending.WHOLE


@pytest.mark.parametrize("text", CLOSED)
def test_a_sentence_that_ends(text: str):
    assert ending_of(text) is Ending.CLOSED


@pytest.mark.parametrize("text", HANGING)
def test_what_hangs(text: str):
    assert ending_of(text) is Ending.HANGING


@pytest.mark.parametrize(("text", "asked"), SPELLING)
def test_what_is_being_spelled_out(text: str, asked: str):
    assert ending_of(text, asked=asked) is Ending.SPELLING


@pytest.mark.parametrize("text", ["", "  ", "...", "?"])
def test_no_words(text: str):
    assert ending_of(text) is Ending.NONE


@pytest.mark.parametrize("text", ["Ich möchte einen Tisch.", "Je voudrais une table.", "私はテーブルが欲しい。"])
def test_other_languages_are_judged_by_their_punctuation(text: str):
    assert ending_of(text) is Ending.CLOSED
    assert ending_of(text.rstrip(".。")) is Ending.OPEN


def test_words_are_taken_without_punctuation():
    assert spoken_words("It’s 5 o'clock, isn't it?") == ["it's", "5", "o'clock", "isn't", "it"]
