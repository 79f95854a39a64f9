"""What waits together goes together; finals first; nothing is lost and nobody suffers for another."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import pytest

from engines.batcher import Again, Batcher, Done, Outcome
from engines.errors import EngineBusy, EngineClosed, EngineFailed, EngineOvertaken, WeightsError


class Model:
    """Answers in capitals, when a test lets it."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.may_go = threading.Semaphore(0)
        self.has_begun = threading.Semaphore(0)

    def run(self, requests: Sequence[str]) -> list[Outcome]:
        self.batches.append(list(requests))
        self.has_begun.release()
        assert self.may_go.acquire(timeout=10)
        if "weights" in requests:
            raise WeightsError("no weights")
        if "bad" in requests:
            raise ValueError("bad request")
        return [Again("again" + r[5:], "second") if r.startswith("twice") else Done(r.upper()) for r in requests]

    async def begins(self) -> None:
        assert await asyncio.get_running_loop().run_in_executor(None, lambda: self.has_begun.acquire(timeout=10))

    def go(self, batches: int = 1) -> None:
        self.may_go.release(batches)


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
async def batcher(model: Model) -> AsyncIterator[Batcher[str, str]]:
    batcher: Batcher[str, str] = Batcher("tester", model.run, max_batch=4, max_queue=6, max_partial_batch=2)
    yield batcher
    batcher.close()
    model.go(100)
    await asyncio.get_running_loop().run_in_executor(None, batcher.join, 10)


def ask(batcher: Batcher[str, str], request: str, **options) -> "asyncio.Task[str]":
    return asyncio.create_task(batcher.submit(request, key=options.pop("key", "one"), **options))


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def occupied(batcher: Batcher[str, str], model: Model) -> "asyncio.Task[str]":
    """The model works on something, so that what follows has to wait."""
    task = ask(batcher, "first")
    await model.begins()
    return task


async def test_a_lone_request_does_not_wait_for_company(batcher: Batcher[str, str], model: Model):
    model.go()
    assert await batcher.submit("alone", key="one") == "ALONE"
    assert model.batches == [["alone"]]


async def test_what_waits_goes_together_up_to_the_largest_batch(batcher: Batcher[str, str], model: Model):
    first = await occupied(batcher, model)
    waiting = [ask(batcher, name) for name in "abcde"]
    await settle()
    assert batcher.waiting == 5 and batcher.running == 1
    model.go(3)
    assert await asyncio.gather(first, *waiting) == ["FIRST", "A", "B", "C", "D", "E"]
    assert model.batches == [["first"], ["a", "b", "c", "d"], ["e"]]


async def test_only_one_key_shares_a_batch_and_the_oldest_goes_first(batcher: Batcher[str, str], model: Model):
    first = await occupied(batcher, model)
    waiting = [ask(batcher, "a"), ask(batcher, "b", key="two"), ask(batcher, "c")]
    await settle()
    model.go(3)
    await asyncio.gather(first, *waiting)
    assert model.batches == [["first"], ["a", "c"], ["b"]]


async def test_finals_go_before_partials(batcher: Batcher[str, str], model: Model):
    first = await occupied(batcher, model)
    waiting = [ask(batcher, name, partial=True) for name in "abc"] + [ask(batcher, "final")]
    await settle()
    model.go(4)
    await asyncio.gather(first, *waiting)
    assert model.batches == [["first"], ["final"], ["a", "b"], ["c"]]


async def test_a_partial_is_overtaken_by_newer_audio_of_its_stream(batcher: Batcher[str, str], model: Model):
    first = await occupied(batcher, model)
    old = ask(batcher, "old", partial=True, stream="caller")
    other = ask(batcher, "other", partial=True, stream="another caller")
    await settle()
    new = ask(batcher, "new", stream="caller")
    with pytest.raises(EngineOvertaken):
        await old
    model.go(3)
    assert await asyncio.gather(first, other, new) == ["FIRST", "OTHER", "NEW"]


async def test_a_final_overtakes_no_final_of_its_stream(batcher: Batcher[str, str], model: Model):
    first = await occupied(batcher, model)
    both = [ask(batcher, "one", stream="caller"), ask(batcher, "two", stream="caller")]
    await settle()
    model.go(2)
    assert await asyncio.gather(first, *both) == ["FIRST", "ONE", "TWO"]


@pytest.mark.parametrize("waits", [True, False])
async def test_the_same_audio_asked_for_again_joins_what_waits_or_runs(
    batcher: Batcher[str, str], model: Model, waits: bool
):
    first = await occupied(batcher, model) if waits else None
    guess = ask(batcher, "guess", partial=True, stream="caller", identity="pcm")
    await settle()
    if not waits:
        await model.begins()
    partial = ask(batcher, "partial", partial=True, stream="another")
    final = ask(batcher, "guess", stream="caller", identity="pcm")
    await settle()
    model.go(3)
    assert await asyncio.gather(guess, final, partial) == ["GUESS", "GUESS", "PARTIAL"]
    if first:
        await first
        # It had become a final, and went before the other partial.
        assert model.batches == [["first"], ["guess"], ["partial"]]
    else:
        assert model.batches == [["guess"], ["partial"]]


async def test_a_full_queue_refuses_the_newest_at_once(batcher: Batcher[str, str], model: Model):
    first = await occupied(batcher, model)
    waiting = [ask(batcher, str(number)) for number in range(6)]
    await settle()
    with pytest.raises(EngineBusy, match="tester already has 6 requests waiting"):
        await batcher.submit("seventh", key="one")
    with pytest.raises(EngineBusy):
        await batcher.submit("partial", key="one", partial=True)
    model.go(3)
    assert await asyncio.gather(first, *waiting) == ["FIRST", *"012345"]


async def test_a_final_takes_the_place_of_the_oldest_partial_in_a_full_queue(batcher: Batcher[str, str], model: Model):
    first = await occupied(batcher, model)
    partials = [ask(batcher, f"p{number}", partial=True) for number in range(6)]
    await settle()
    final = ask(batcher, "final")
    with pytest.raises(EngineOvertaken):
        await partials[0]
    model.go(5)
    assert await asyncio.gather(first, final, *partials[1:]) == ["FIRST", "FINAL", "P1", "P2", "P3", "P4", "P5"]


async def test_cancelling_removes_what_has_not_begun(batcher: Batcher[str, str], model: Model):
    first = await occupied(batcher, model)
    gone, stays = ask(batcher, "gone"), ask(batcher, "stays")
    await settle()
    gone.cancel()
    await settle()
    assert batcher.waiting == 1
    model.go(2)
    assert await asyncio.gather(first, stays) == ["FIRST", "STAYS"]
    assert model.batches == [["first"], ["stays"]]


async def test_cancelling_one_of_two_who_wait_leaves_it_to_the_other(batcher: Batcher[str, str], model: Model):
    first = await occupied(batcher, model)
    one = ask(batcher, "same", stream="caller", identity="pcm")
    two = ask(batcher, "same", stream="caller", identity="pcm")
    await settle()
    one.cancel()
    model.go(2)
    assert await asyncio.gather(first, two) == ["FIRST", "SAME"]


async def test_what_has_to_go_again_goes_to_the_head_of_the_queue(batcher: Batcher[str, str], model: Model):
    first = await occupied(batcher, model)
    waiting = [ask(batcher, "twice"), ask(batcher, "a"), ask(batcher, "b", key="third")]
    await settle()
    model.go(4)
    assert await asyncio.gather(first, *waiting) == ["FIRST", "AGAIN", "A", "B"]
    assert model.batches == [["first"], ["twice", "a"], ["again"], ["b"]]


async def test_only_the_guilty_request_of_a_batch_fails(batcher: Batcher[str, str], model: Model):
    first = await occupied(batcher, model)
    good, bad, fine = ask(batcher, "good"), ask(batcher, "bad"), ask(batcher, "fine")
    await settle()
    model.go(10)
    assert await asyncio.gather(first, good, fine) == ["FIRST", "GOOD", "FINE"]
    with pytest.raises(EngineFailed, match="tester failed: ValueError: bad request") as failure:
        await bad
    assert isinstance(failure.value.__cause__, ValueError)


async def test_an_engine_error_is_passed_on_as_it_is(batcher: Batcher[str, str], model: Model):
    model.go()
    with pytest.raises(WeightsError, match="no weights"):
        await batcher.submit("weights", key="one")


async def test_closing_refuses_what_waits_and_finishes_what_runs(batcher: Batcher[str, str], model: Model):
    first = await occupied(batcher, model)
    waiting = ask(batcher, "waiting")
    await settle()
    batcher.close()
    with pytest.raises(EngineClosed):
        await waiting
    with pytest.raises(EngineClosed):
        await batcher.submit("late", key="one")
    model.go()
    assert await first == "FIRST"


async def test_partials_leave_the_model_its_rest():
    now = 0.0
    rested = threading.Event()

    def clock() -> float:
        return now

    def run(requests: Sequence[str]) -> list[Outcome]:
        nonlocal now
        now += 1
        return [Done(request) for request in requests]

    batcher: Batcher[str, str] = Batcher("tester", run, max_batch=4, max_queue=8, partial_share=0.5, clock=clock)
    assert await batcher.submit("one", key=1, partial=True) == "one"
    task = asyncio.create_task(batcher.submit("two", key=1, partial=True))
    await asyncio.sleep(0.05)
    # The first took a second: for another one the model is kept free.
    assert not task.done() and batcher.waiting == 1
    assert await batcher.submit("final", key=1) == "final"
    assert await asyncio.wait_for(task, 5) == "two"
    rested.set()
    batcher.close()


async def test_what_runs_in_the_background_goes_last_and_one_at_a_time(batcher: Batcher[str, str], model: Model):
    first = await occupied(batcher, model)
    waiting = [ask(batcher, name, background=True) for name in "ab"] + [ask(batcher, "c"), ask(batcher, "d")]
    await settle()
    model.go(4)
    await asyncio.gather(first, *waiting)
    assert model.batches == [["first"], ["c", "d"], ["a"], ["b"]]


async def test_a_model_that_always_fails_is_told_and_in_the_end_given_up(batcher: Batcher[str, str], model: Model):
    model.go(100)
    for number in range(20):
        assert (batcher.problem is not None) == (number >= 3)
        with pytest.raises(EngineFailed):
            await batcher.submit("bad", key="one")
    assert batcher.problem == "ValueError: bad request"
    with pytest.raises(EngineClosed, match="tester has given up: ValueError: bad request"):
        await batcher.submit("good", key="one")


async def test_a_model_that_works_again_has_no_problem(batcher: Batcher[str, str], model: Model):
    model.go(100)
    for _ in range(5):
        with pytest.raises(EngineFailed):
            await batcher.submit("bad", key="one")
    assert batcher.problem
    assert await batcher.submit("good", key="one") == "GOOD"
    assert batcher.problem is None


async def test_what_has_to_wait_is_told_of(model: Model):
    told: list[str] = []
    batcher: Batcher[str, str] = Batcher("tester", model.run, max_batch=4, max_queue=1, on_wait=told.append)
    first = await occupied(batcher, model)
    waiting = ask(batcher, "waits")
    await settle()
    with pytest.raises(EngineBusy):
        await batcher.submit("refused", key="one")
    assert told == ["waits"]
    model.go(2)
    await asyncio.gather(first, waiting)
    batcher.close()
