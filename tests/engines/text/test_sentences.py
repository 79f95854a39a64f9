"""Sentences come out as soon as their end is sure, and no longer than a model bears."""

import random
import time

import pytest

from engines.text import Sentence, SentenceAssembler

STORY = (
    'Dr. Smith paid $3.14 for it. "Stop!" he said. She didn\'t. J. R. R. Tolkien lived in the U.K. until 1973. '
    "See https://example.com/a?b=1. for more… or not. Wait... What? It is 3 p.m. now, approx. half an hour late.\n"
    "1. First thing.\n2. Second thing\n\n# A heading\n\nAnd (this is it.) The end! No. 5 is alive; etc. That is it 🎉. "
    "He asked: why? I do not know. 你好。再见！ So do I. Then we left"
)


def assembled(*pieces: str, **settings) -> list[list[str]]:
    """What each piece gives, and at last the flush."""
    sentences = SentenceAssembler(**settings)
    given = [sentences.push(piece) for piece in pieces] + [sentences.flush()]
    return [[sentence.spoken for sentence in some] for some in given]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["Hello! "], [["Hello!"], []]),
        (["Hello there.", " "], [[], ["Hello there."], []]),
        (["Hello there."], [[], ["Hello there."]]),
        (["It is 3.", "5 now. "], [[], ["It is three point five now."], []]),
        (["Dr. ", "Who came. "], [[], ["Doctor Who came."], []]),
        (["Well... ", "maybe so. "], [[], ["Well... maybe so."], []]),
        (["Well then... ", "Maybe so. "], [[], ["Well then...", "Maybe so."], []]),
        (['"Stop it now!" ', "he said. "], [[], ["Stop it now! he said."], []]),
        (['"Stop it now!" ', "He said. "], [[], ["Stop it now!", "He said."], []]),
        (["I left the U.S. ", "and came here. "], [[], ["I left the US and came here."], []]),
        (["I left the U.S. ", "Then I came here. "], [[], ["I left the US.", "Then I came here."], []]),
        (["We had tea, etc. ", "Then we left it. "], [[], ["We had tea, et cetera.", "Then we left it."], []]),
        (["I said no. ", "Never again. "], [[], ["I said no.", "Never again."], []]),
        (["It is in no. ", "5 today. "], [[], ["It is in number five today."], []]),
        (["Born on Dec. ", "25th in St. ", "Louis. "], [[], [], ["Born on December twenty-fifth in Saint Louis."], []]),
        (["He came in Dec. ", "Then he left. "], [[], ["He came in Dec.", "Then he left."], []]),
        (["On Main St. ", "There it is. "], [[], ["On Main Street.", "There it is."], []]),
        (["J. ", "R. R. Tolkien wrote. "], [[], ["J. R. R. Tolkien wrote."], []]),
        (["1. ", "Take the bread. ", "2. Eat."], [[], ["one. Take the bread."], [], ["two. Eat."]]),
        (["A heading\nSome text. "], [["A heading.", "Some text."], []]),
        (["**It is so. And** it was. "], [["It is so.", "And it was."], []]),
        (["你好。再见！"], [["你好.", "再见!"], []]),
        (["See http://a.org/b.c?d. ", "Then go. "], [["See a dot org."], ["Then go."], []]),
        (["!", "!", "! "], [[], [], [], []]),
    ],
)  # fmt: skip
def test_a_sentence_comes_as_soon_as_its_end_is_sure(pieces: list[str], expected: list[list[str]]):
    assert assembled(*pieces, min_chars=0) == expected


def test_nothing_that_was_given_changes_with_how_the_text_is_cut_into_pieces():
    whole = [text for some in assembled(STORY, min_chars=0) for text in some]
    chance = random.Random(0)
    for _ in range(60):
        pieces, at = [], 0
        while at < len(STORY):
            size = chance.choice((1, 2, 5, 30))
            pieces.append(STORY[at : at + size])
            at += size
        assert [text for some in assembled(*pieces, min_chars=0) for text in some] == whole
    assert len(whole) > 12


@pytest.mark.parametrize("max_chars", [20, 60, 300])
@pytest.mark.parametrize("normalise", [True, False])
def test_every_word_that_was_written_is_in_a_sentence(max_chars: int, normalise: bool):
    sentences = SentenceAssembler(max_chars, normalise=normalise)
    given = sentences.push(STORY) + sentences.flush()
    assert " ".join(sentence.source for sentence in given if sentence.source) == " ".join(STORY.split()).replace(
        "。再", "。 再"
    )
    assert max(len(sentence.spoken) for sentence in given) <= max_chars + 1


def test_a_long_sentence_is_cut_into_even_parts_after_its_commas():
    clause = "the quick brown fox jumps over the lazy dog because it likes to do so, "
    given = [text for some in assembled(clause * 6) for text in some]
    assert len(given) == 2 and all(text.endswith((",", ".")) for text in given)
    assert max(map(len, given)) < 300 and max(map(len, given)) < 1.7 * min(map(len, given))


def test_without_a_mark_it_is_cut_before_a_conjunction_or_at_a_space():
    (first, *_), *_ = assembled("one two three four five and six seven eight nine ten. ", max_chars=40)
    assert first == "one two three four five,"
    given = [text for some in assembled("word " * 500) for text in some]
    assert " ".join(given).replace(",", "").replace(".", "").split() == ["word"] * 500
    assert max(map(len, given)) <= 300 and min(map(len, given)) > 90


def test_text_without_an_end_is_not_waited_for():
    sentences = SentenceAssembler(max_chars=100)
    given = [sentence for _ in range(60) for sentence in sentences.push("word ")]
    assert len(given) >= 2


def test_a_word_that_is_too_long_is_said_in_several_goes_and_written_once():
    sentences = SentenceAssembler(max_chars=60, normalise=False)
    given = sentences.push("b" * 110 + " end. ") + sentences.flush()
    assert [len(sentence.spoken) <= 61 for sentence in given] == [True] * len(given) and len(given) >= 2
    assert "".join(sentence.source for sentence in given).replace(" ", "") == "b" * 110 + "end."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes. I can do that for you. ", ["Yes. I can do that for you."]),
        ("I can do that for you. Yes. ", ["I can do that for you. Yes."]),
        ("Yes. No. Maybe. ", ["Yes. No. Maybe."]),
        ("Title\n\nHere is the whole of it. ", ["Title. Here is the whole of it."]),
        ("This is one sentence. This is another. ", ["This is one sentence.", "This is another."]),
    ],
)
def test_short_sentences_are_joined_to_a_neighbour(text: str, expected: list[str]):
    assert assembled(text) == [expected, []]


def test_a_short_sentence_is_not_waited_with():
    assert assembled("Yes. ", "I can do that for you. ") == [["Yes."], ["I can do that for you."], []]


@pytest.mark.parametrize(
    "text", ["", " ", "...", "?!", "—", "😀", "🎉 ✨", "* * *", "\n\n", "```", "|---|---|"], ids=repr
)
@pytest.mark.parametrize("normalise", [True, False])
def test_without_a_word_there_is_no_sentence(text: str, normalise: bool):
    assert assembled(text, normalise=normalise) == [[], []]


def test_what_is_silent_goes_with_a_neighbour():
    sentences = SentenceAssembler()
    assert sentences.push("🎉 \n") == [] and sentences.flush() == []
    (first,) = sentences.push("Hello my friend.\n✨ 🎉\n")
    assert first.source == "🎉 Hello my friend. ✨ 🎉" and first.spoken == "Hello my friend."


def test_after_a_flush_a_new_sentence_begins():
    sentences = SentenceAssembler()
    sentences.push("It is about 3.")
    assert [sentence.spoken for sentence in sentences.flush()] == ["It is about three."]
    assert [sentence.spoken for sentence in sentences.push("5 more came in. ")] == ["five more came in."]


def test_a_blank_line_ends_a_paragraph():
    sentences = SentenceAssembler()
    given = sentences.push("The first line is here.\nThe second line is here.\n\nAnd the third one. ")
    assert [sentence.ends_paragraph for sentence in given] == [False, True, False]
    assert [sentence.pause_secs for sentence in given] == [0.2, 0.4, 0.2]
    assert Sentence((), "one,").pause_secs < 0.2


def test_without_normalisation_words_are_said_as_they_stand():
    assert assembled("It costs *$5* 😀 now. ", normalise=False) == [["It costs *$5* 😀 now."], []]


def test_a_bound_that_leaves_no_room_is_refused():
    with pytest.raises(ValueError, match="max_chars is 5"):
        SentenceAssembler(5)


@pytest.mark.parametrize("unit", ["a", "!", "... ", "1. ", "Dr. ", "a\n", " ", '"', "word ", "Hi. ", "😀\n"])
def test_long_text_takes_time_in_proportion(unit: str):
    text = unit * (60_000 // len(unit))
    begin = time.process_time()
    sentences = SentenceAssembler()
    for at in range(0, len(text), 1000):
        sentences.push(text[at : at + 1000])
    sentences.flush()
    assert time.process_time() - begin < 3.0
