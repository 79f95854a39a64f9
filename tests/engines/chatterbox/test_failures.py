"""When failures in a row are told, and when the engine gives up: each part by itself."""

import pytest

from engines.chatterbox.failures import FAILURES_TO_GIVE_UP, FAILURES_TO_TELL, Failures, Part, as_engine_error
from engines.errors import EngineBusy, EngineFailed, EngineRefused


class Watched:
    """A count, and what it did."""

    def __init__(self) -> None:
        self.recovered = self.gave_up = 0
        self.failures = Failures(recover=self._recover, give_up=self._give_up)

    def fail(self, part: Part, times: int, message: str = "broken") -> None:
        """So many times in a row."""
        for _ in range(times):
            self.failures.failed(part, RuntimeError(f"{message}\nwith details"))

    def _recover(self) -> None:
        self.recovered += 1

    def _give_up(self) -> None:
        self.gave_up += 1


def test_a_model_that_fails_for_good_is_told_and_given_up_although_the_other_is_well():
    watched = Watched()
    for number in range(1, FAILURES_TO_GIVE_UP + 1):
        watched.failures.went_well(Part.TOKENS)
        watched.fail(Part.SOUND, 1, "the vocoder is broken")
        assert (watched.failures.problem is None) == (number < FAILURES_TO_TELL)
        assert watched.gave_up == (number >= FAILURES_TO_GIVE_UP)
    assert watched.failures.problem == "RuntimeError: the vocoder is broken"
    assert watched.recovered == FAILURES_TO_GIVE_UP


def test_what_goes_well_again_is_no_problem_any_more():
    watched = Watched()
    watched.fail(Part.TOKENS, FAILURES_TO_TELL)
    watched.failures.went_well(Part.SOUND, Part.ROUND)
    assert watched.failures.problem is not None
    watched.failures.went_well(Part.TOKENS)
    assert watched.failures.problem is None and watched.failures.last == "RuntimeError: broken"


def test_failures_of_several_parts_do_not_add_up_and_the_worst_is_told():
    watched = Watched()
    for part in Part:
        watched.fail(part, FAILURES_TO_TELL - 1, part)
    assert watched.failures.problem is None
    watched.fail(Part.TOKENS, 1, "the worst")
    watched.fail(Part.SOUND, 1, "as bad")
    watched.fail(Part.TOKENS, 1, "the worst")
    assert watched.failures.problem == "RuntimeError: the worst"


@pytest.mark.parametrize("error", [EngineRefused("no such voice"), EngineBusy("full")])
def test_what_the_request_is_at_fault_for_does_not_count(error: Exception):
    watched = Watched()
    for _ in range(FAILURES_TO_GIVE_UP):
        watched.failures.failed(Part.TOKENS, error)
    assert watched.failures.problem is None and watched.recovered == watched.gave_up == 0


def test_a_stream_is_told_an_engines_error():
    refused = EngineRefused("no such voice")
    assert as_engine_error(refused) is refused
    cause = RuntimeError("CUDA out of memory\nmore")
    failure = as_engine_error(cause)
    assert isinstance(failure, EngineFailed) and "CUDA out of memory" in str(failure) and failure.__cause__ is cause
