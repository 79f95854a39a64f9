"""Where the tokens of a sentence stop being speech."""

import random
from dataclasses import replace

import pytest

from engines.speech import EndLimits, EndWatch, Stop

SILENT = 4299


def speech(count: int, seed: int = 0) -> list[int]:
    """Tokens as of real speech: they vary, some are held for a few."""
    chance, tokens = random.Random(seed), []
    while len(tokens) < count:
        tokens += [chance.randrange(4000)] * chance.choice((1, 1, 1, 2, 3, 6))
    return tokens[:count]


def watched(tokens: list[int], letters: float = 60, limits: EndLimits | None = None) -> tuple[Stop, int, int]:
    """Why it stopped, how many tokens are kept, and how many it took."""
    watch = EndWatch(letters, silence=(SILENT,), limits=limits or EndLimits())
    for number, token in enumerate(tokens, 1):
        if watch.push(token) is not Stop.NONE:
            assert watch.push(1) is watch.stop
            return watch.stop, watch.keep, number
    return Stop.NONE, watch.keep, len(tokens)


@pytest.mark.parametrize("letters_per_sec", [8, 12, 16, 20])
@pytest.mark.parametrize("letters", [3, 20, 60, 300])
def test_speech_of_any_pace_is_let_through(letters_per_sec: float, letters: float):
    tokens = speech(max(10, round(25 * letters / letters_per_sec)), seed=int(letters))
    with_pauses = [*[SILENT] * 6, *tokens[: len(tokens) // 2], *[SILENT] * 15, *tokens[len(tokens) // 2 :], SILENT]
    assert watched(with_pauses, letters) == (Stop.NONE, len(with_pauses), len(with_pauses))


def test_more_tokens_than_the_text_takes_are_a_runaway():
    stop, keep, took = watched(speech(2000))
    assert (stop, keep, took) == (Stop.RUNAWAY, 290, 290) and EndWatch(60).bound == 290


def test_the_shortest_text_has_two_seconds_and_more():
    assert EndWatch(2).bound == 58 and watched(speech(500), letters=2)[2] == 58


def test_of_a_runaway_what_came_before_a_likely_end_is_kept():
    tokens = speech(130) + [SILENT] * 8 + speech(500, seed=1)
    assert watched(tokens)[:2] == (Stop.RUNAWAY, 135)


def test_a_long_silence_where_all_can_have_been_said_is_the_end():
    tokens = speech(100) + [SILENT] * 100
    assert watched(tokens) == (Stop.OVER, 105, 120)


def test_the_same_silence_earlier_is_a_pause():
    tokens = speech(40) + [SILENT] * 25 + speech(60)
    assert watched(tokens)[0] is Stop.NONE


def test_silence_without_an_end_is_the_end_wherever_it_is():
    assert watched(speech(20) + [SILENT] * 100, letters=200) == (Stop.OVER, 25, 95)


@pytest.mark.parametrize("pattern", [[7], [7, 8], [7, 8, 9], [7, 8, 9, 10, 11], list(range(8))], ids=len)
def test_the_same_sounds_again_and_again_are_babble(pattern: list[int]):
    stop, keep, took = watched(speech(100) + pattern * 60)
    assert stop is Stop.BABBLE
    assert 100 <= keep <= 100 + len(pattern) and took <= 100 + max(16, 32, 4 * len(pattern))


def test_while_not_all_can_have_been_said_repetition_is_borne_for_longer():
    pause_of_an_unknown_token = speech(30) + [7] * 30 + speech(40, seed=1)
    assert watched(pause_of_an_unknown_token)[0] is Stop.NONE
    assert watched(speech(30) + [7] * 60)[0] is Stop.BABBLE


@pytest.mark.parametrize(
    ("rule", "tokens"),
    [
        ({"tokens_per_letter": None}, speech(1000)),
        ({"same_token": None, "pattern_tokens": None}, speech(80) + [7] * 100),
        ({"pattern_tokens": None}, speech(80) + [7, 8] * 50),
        ({"silence_tokens": None}, speech(100) + [SILENT] * 100),
    ],
)
def test_each_rule_has_its_switch(rule: dict[str, None], tokens: list[int]):
    assert watched(tokens)[0] is not Stop.NONE
    assert watched(tokens, limits=replace(EndLimits(), **rule))[0] is Stop.NONE


def test_with_all_of_them_off_nothing_is_stopped():
    assert watched([7] * 5000, letters=1, limits=EndLimits.off()) == (Stop.NONE, 5000, 5000)
