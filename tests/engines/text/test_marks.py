"""Words lie where they are said, as far as their length tells; together they are the sound."""

import random
from itertools import pairwise

import pytest

from engines.protocol import Mark
from engines.text import MarkPlanner, Sentence, SentenceAssembler, spoken_length, word_marks

TEXTS = (
    "Hello there, my friend. ",
    "It costs $5.50 on Nov 24, 2026 🎉 and that is all. ",
    "🎉 Yes! ✨ ",
    "A",
    "Supercalifragilisticexpialidocious is a word, isn't it? ",
)


def sentence_of(text: str) -> Sentence:
    sentences = SentenceAssembler()
    (sentence,) = sentences.push(text) + sentences.flush()
    return sentence


def streamed(sentence: Sentence, start: int, pieces: list[int], *, known: bool = False) -> list[tuple[int, Mark]]:
    """The marks, each with the number of its piece."""
    planner, found = MarkPlanner(sentence, start), []
    for number, samples in enumerate(pieces):
        expected = sum(pieces) if known else None
        last = number == len(pieces) - 1
        found += [(number, mark) for mark in planner.advance(samples, expected=expected, last=last)]
    return found


@pytest.mark.parametrize("text", TEXTS)
def test_the_words_of_a_sentence_fill_its_sound(text: str):
    marks = word_marks(sentence_of(text), 1000, 48_000)
    assert [mark.text for mark in marks] == text.split()
    assert marks[0].start == 1000 and marks[-1].end == 49_000
    assert all(before.end == after.start for before, after in pairwise(marks))


def test_what_takes_longer_to_say_is_longer_and_what_is_not_said_has_no_length():
    lengths = {mark.text: mark.end - mark.start for mark in word_marks(sentence_of(TEXTS[1]), 0, 100_000)}
    assert lengths["$5.50"] > 4 * lengths["It"] and lengths["🎉"] == 0
    assert lengths["2026"] > lengths["on"]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("secs", [0.2, 1.0, 3.0, 12.0])
def test_in_a_stream_each_word_comes_once_in_order_and_all_by_the_end(text: str, secs: float):
    sentence, chance = sentence_of(text), random.Random(0)
    for _ in range(20):
        pieces = [chance.randint(1, 12_000)]
        while sum(pieces) < secs * 24_000:
            pieces.append(chance.randint(0, 12_000))
        found = streamed(sentence, 500, pieces)
        marks = [mark for _, mark in found]
        assert [mark.text for mark in marks] == text.split()
        assert marks[0].start == 500 and max(mark.end for mark in marks[-2:]) == 500 + sum(pieces)
        assert all(before.start <= after.start for before, after in pairwise(marks))
        assert all(mark.start <= mark.end for mark in marks)


def test_a_word_comes_with_the_piece_in_which_it_begins():
    sentence = sentence_of("one two three four five six seven eight nine ten eleven twelve. ")
    pieces = [4_800] * 20
    found = streamed(sentence, 0, pieces, known=True)
    for number, mark in found[:-1]:
        assert number * 4_800 <= mark.start < (number + 1) * 4_800
    assert found[-1][0] == 19


def test_where_the_length_is_known_from_the_first_piece_the_stream_is_as_the_whole():
    sentence = sentence_of(TEXTS[1])
    whole, parts = word_marks(sentence, 0, 96_000), streamed(sentence, 0, [9_600] * 10, known=True)
    for (_, mark), expected in zip(parts, whole, strict=True):
        assert abs(mark.start - expected.start) <= 8 and mark.text == expected.text


@pytest.mark.parametrize(
    ("longer", "shorter"),
    [("a longer text", "short"), ("5", "a"), ("BBC", "bed"), ("你好", "ab"), ("one, two", "one two"), ("so.", "so")],
)
def test_length_grows_with_what_is_said(longer: str, shorter: str):
    assert spoken_length(longer) > spoken_length(shorter)


@pytest.mark.parametrize(("once", "often"), [("so!", "so!!!"), ("so.", "so..."), ("so?", "so?!?!")])
def test_a_pause_is_a_pause_however_often_it_is_written(once: str, often: str):
    assert spoken_length(often) == spoken_length(once)


def test_plain_prose_has_the_length_of_its_letters():
    assert spoken_length("the quick brown fox") == len("the quick brown fox")
    assert spoken_length("") == 0
