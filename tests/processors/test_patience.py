"""How long the agent waits."""

import itertools

import pytest

from processors.endings import Ending
from processors.patience import Patience, Pauses, wait_secs

PATIENCE = Patience()


def pauses(*secs: float) -> Pauses:
    seen = Pauses()
    for pause in secs:
        seen.add(pause)
    return seen


def wait(ending: Ending, probability: float | None = 0.9, seen: Pauses | None = None) -> float:
    return wait_secs(ending, probability, seen or Pauses(), PATIENCE)


@pytest.mark.parametrize("probability", [None, 0.0, 0.4, 1.0])
def test_a_whole_answer_is_not_waited_for(probability: float | None):
    assert wait(Ending.WHOLE, probability) == PATIENCE.sure_secs


@pytest.mark.parametrize("ending", [Ending.CLOSED, Ending.OPEN])
def test_what_sounds_over_is_over(ending: Ending):
    assert wait(ending, 0.9) == PATIENCE.sure_secs


@pytest.mark.parametrize("ending", [Ending.CLOSED, Ending.OPEN])
def test_what_may_be_over_is_waited_for_a_moment(ending: Ending):
    assert PATIENCE.sure_secs < wait(ending, 0.8) < wait(ending, 0.51) < PATIENCE.open_secs


@pytest.mark.parametrize("ending", list(Ending))
def test_no_wait_is_longer_than_the_longest_or_shorter_than_the_shortest(ending: Ending):
    for probability, seen in itertools.product((None, 0.0, 0.2, 0.6, 1.0), (Pauses(), pauses(9, 9, 9), pauses(0, 0))):
        assert PATIENCE.sure_secs <= wait(ending, probability, seen) <= PATIENCE.longest_secs


@pytest.mark.parametrize("ending", [Ending.CLOSED, Ending.OPEN])
def test_the_less_it_sounds_over_the_longer_the_wait(ending: Ending):
    waits = [wait(ending, probability) for probability in (0.9, 0.49, 0.4, 0.3, 0.2, 0.1, 0.0)]
    assert waits == sorted(waits) and waits[0] < waits[1] < waits[-1]


def test_a_sentence_that_ends_is_given_less_than_one_that_does_not():
    assert wait(Ending.CLOSED, 0.0) < wait(Ending.OPEN, 0.0)


def test_what_hangs_waits_however_it_sounds():
    assert wait(Ending.HANGING, 1.0) == PATIENCE.open_secs


def test_a_caller_who_pauses_long_is_given_that_and_a_bit():
    assert wait(Ending.HANGING, 0.0, pauses(1.2, 1.3, 1.4)) == pytest.approx(1.3 * 1.3)
    assert wait(Ending.HANGING, 0.0, pauses(3, 3, 3)) == PATIENCE.longest_secs


def test_a_caller_who_hardly_pauses_is_answered_sooner():
    assert wait(Ending.HANGING, 0.0, pauses(0.3, 0.3, 0.3)) == PATIENCE.doubt_secs


def test_one_pause_is_no_habit():
    assert wait(Ending.HANGING, 0.0, pauses(0.3)) == PATIENCE.open_secs


def test_without_smart_turn_the_words_decide():
    assert wait(Ending.CLOSED, None) == PATIENCE.doubt_secs
    assert wait(Ending.OPEN, None) == PATIENCE.open_secs


def test_only_the_last_pauses_count():
    assert pauses(*[5.0] * 20, *[0.5] * 12).usual_secs == 0.5
