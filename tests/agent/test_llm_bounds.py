"""Answers are short, and conversations do not grow for ever."""

from typing import Any

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext

from agent.history import trim_history
from agent.stream import SentenceLimit


def let_through(limit: int | None, pieces: list[str]) -> str:
    sentences = SentenceLimit(limit)
    passed = ""
    for piece in pieces:
        passed += sentences.take(piece)
        if sentences.reached:
            break
    return passed


@pytest.mark.parametrize("by_character", [False, True], ids=["whole", "by character"])
@pytest.mark.parametrize(
    ("limit", "text", "passed"),
    [
        (1, "One. Two. Three.", "One."),
        (2, "One. Two. Three.", "One. Two."),
        (3, "One. Two. Three.", "One. Two. Three."),
        (5, "One. Two.", "One. Two."),
        (1, "Really? Yes! Good.", "Really?"),
        (1, "Mr. Smith is here. He waits.", "Mr. Smith is here."),
        (1, "It costs 3.5 euros. That is cheap.", "It costs 3.5 euros."),
        (1, "No end", "No end"),
        (1, "", ""),
        (2, "Wait... what? Yes. No.", None),
        (None, "One. Two. Three. Four.", "One. Two. Three. Four."),
    ],
)
def test_text_goes_through_up_to_the_end_of_the_last_sentence_allowed(
    limit: int | None, text: str, passed: str | None, by_character: bool
):
    got = let_through(limit, list(text) if by_character else [text])
    assert text.startswith(got)
    if passed is not None:
        assert got.strip() == passed


def test_the_same_passes_however_the_text_is_cut():
    text = "Dr. Jones paid 3.5 dollars at 10 a.m. on Monday. Then she left. She came back later. The end."
    whole = let_through(2, [text]).strip()
    for size in range(1, 20):
        assert let_through(2, [text[at : at + size] for at in range(0, len(text), size)]).strip() == whole


def test_after_the_limit_nothing_more_passes():
    sentences = SentenceLimit(1)
    assert sentences.take("One. Two.").strip() == "One." and sentences.reached
    assert sentences.take(" Three. Four.") == ""


def conversation(*roles: str) -> LLMContext:
    messages: list[Any] = [{"role": role, "content": str(number)} for number, role in enumerate(roles)]
    return LLMContext(messages=messages)


def kept(context: LLMContext) -> list[str]:
    return [str(message["content"]) for message in context.get_messages()]  # pyright: ignore


@pytest.mark.parametrize(
    ("roles", "most", "keep_first", "left"),
    [
        ("uaua", 4, 0, "0123"),
        ("uaua", 10, 0, "0123"),
        ("uauau", 5, 0, "01234"),
        ("uauauauau", 8, 0, "678"),
        ("uauau", 4, 0, "4"),
        ("uauau", 2, 0, "4"),
        ("uauau", 1, 0, "4"),
        ("uauau", 1, 2, "014"),
        ("uaua", 1, 0, "23"),
        ("uauauau", 4, 2, "016"),
        ("uauau", 3, 2, "01234"),
        ("", 3, 2, ""),
    ],
)
def test_the_oldest_messages_are_forgotten_and_the_caller_begins(roles: str, most: int, keep_first: int, left: str):
    context = conversation(*({"u": "user", "a": "assistant"}[role] for role in roles))
    trim_history(context, most, keep_first=keep_first)
    assert "".join(kept(context)) == left


def test_a_long_conversation_is_kept_within_its_characters():
    context = LLMContext(messages=[{"role": role, "content": "x" * 100} for role in ("user", "assistant") * 8])  # pyright: ignore[reportArgumentType]
    trim_history(context, 60, most_chars=450)
    messages = context.get_messages()
    assert 0 < sum(len(str(message.get("content"))) for message in messages if isinstance(message, dict)) <= 450
    assert isinstance(messages[0], dict) and messages[0].get("role") == "user"


def test_a_single_message_that_is_too_long_loses_its_beginning():
    context = LLMContext(messages=[{"role": "user", "content": "a" * 1000 + "the end"}])
    trim_history(context, 60, most_chars=50)
    (message,) = context.get_messages()
    assert isinstance(message, dict) and str(message.get("content")).endswith("the end")
    assert len(str(message.get("content"))) == 50
