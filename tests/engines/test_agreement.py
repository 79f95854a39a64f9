"""Which words of a growing utterance are stable."""

import random

import pytest

from engines.agreement import LocalAgreement


def after(*hypotheses: str) -> tuple[str, str]:
    agreement = LocalAgreement()
    return [agreement.update(hypothesis) for hypothesis in hypotheses][-1]


@pytest.mark.parametrize(
    ("hypotheses", "expected"),
    [
        ([""], ("", "")),
        (["And so"], ("", "And so")),
        (["And so", "And so my"], ("And so", "my")),
        (["And so my", "And to my"], ("And", "to my")),
        (["and so,", "And so my"], ("And so", "my")),
        (["ask not", "Ask; not what", "ask not what you"], ("Ask; not what", "you")),
        (["one two", "one two", ""], ("one two", "")),
        (["one two three", "one two three", "one two tree four"], ("one two three", "four")),
        (["a b c d", "a b c d", "b c d e"], ("a b c d", "e")),
        (["a b c d", "a b c d", "so a b c d e"], ("a b c d", "e")),
        (["Привет, мир", "привет мир как"], ("привет мир", "как")),
    ],
)
def test_what_two_hypotheses_begin_with_is_stable(hypotheses: list[str], expected: tuple[str, str]):
    assert after(*hypotheses) == expected


def test_words_may_be_given_as_a_list():
    agreement = LocalAgreement()
    agreement.update(["one", "two"])
    assert agreement.update(["One", "two", "three"]) == ("One two", "three")
    assert agreement.stable == "One two"


def test_whatever_comes_the_stable_part_only_grows():
    chance = random.Random(7)
    for _ in range(300):
        agreement, before = LocalAgreement(), ""
        for _ in range(12):
            words = [chance.choice(["a", "B,", "b", "c.", "-", "d"]) for _ in range(chance.randrange(9))]
            stable, _ = agreement.update(words)
            assert stable.split()[: len(before.split())] == before.split()
            before = stable
