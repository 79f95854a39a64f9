"""One thread for a model, with a bounded queue in front."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from engines.errors import EngineBusy, EngineClosed, EngineFailed, WeightsError
from engines.owner import ModelOwner


@pytest.fixture
async def owner() -> AsyncIterator[ModelOwner]:
    owner = ModelOwner("test-model", max_queue=3)
    yield owner
    await owner.close()


class Held:
    """Work that runs until it is let go."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.let_go = threading.Event()
        self.finished = threading.Event()

    def __call__(self) -> str:
        self.began.set()
        assert self.let_go.wait(10)
        self.finished.set()
        return "held"


async def begun(owner: ModelOwner) -> tuple[Held, "asyncio.Task[str]"]:
    held = Held()
    task = asyncio.create_task(owner.run(held))
    await asyncio.to_thread(held.began.wait, 10)
    return held, task


async def test_calls_run_one_after_the_other_in_order_on_one_thread_of_its_own(owner: ModelOwner):
    order: list[int] = []
    threads: set[str] = set()

    def work(number: int) -> int:
        order.append(number)
        threads.add(threading.current_thread().name)
        return number

    results = await asyncio.gather(*(owner.run(lambda number=number: work(number)) for number in range(3)))
    assert results == [0, 1, 2] == order
    assert len(threads) == 1 and threads.pop().startswith("test-model")


async def test_one_more_than_the_queue_takes_is_refused_at_once_and_the_others_are_served(owner: ModelOwner):
    held, first = await begun(owner)
    waiting = [asyncio.create_task(owner.run(lambda: "waited")) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(EngineBusy, match="test-model already has 3"):
        await owner.run(lambda: "refused")
    held.let_go.set()
    assert [await first, *await asyncio.gather(*waiting)] == ["held", "waited", "waited"]
    assert await owner.run(lambda: "there is room again") == "there is room again"


async def test_cancelled_work_that_waits_never_runs_and_frees_its_place(owner: ModelOwner):
    held, first = await begun(owner)
    ran = threading.Event()
    waiting = asyncio.create_task(owner.run(ran.set))
    await asyncio.sleep(0)
    assert owner.pending == 2
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert owner.pending == 1
    held.let_go.set()
    await first
    await owner.run(lambda: None)
    assert not ran.is_set()


async def test_a_cancelled_caller_does_not_wait_for_work_that_runs(owner: ModelOwner):
    held, first = await begun(owner)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert not held.finished.is_set()
    assert owner.pending == 1
    held.let_go.set()
    assert await owner.run(lambda: "the thread went on") == "the thread went on"
    assert held.finished.is_set()


async def test_closing_refuses_what_waits_and_what_comes_and_lets_what_runs_finish(owner: ModelOwner):
    held, first = await begun(owner)
    waiting = asyncio.create_task(owner.run(lambda: None))
    await asyncio.sleep(0)
    await owner.close()
    with pytest.raises(EngineClosed, match="test-model"):
        await waiting
    with pytest.raises(EngineClosed, match="test-model"):
        await owner.run(lambda: None)
    held.let_go.set()
    assert await first == "held"


async def test_closing_twice_is_harmless(owner: ModelOwner):
    await owner.close()
    await owner.close()


async def test_a_failure_loses_one_request_and_has_its_cause(owner: ModelOwner):
    def fail() -> None:
        raise ValueError("out of memory")

    with pytest.raises(EngineFailed, match="test-model failed: ValueError: out of memory") as caught:
        await owner.run(fail)
    assert isinstance(caught.value.__cause__, ValueError)
    assert owner.pending == 0
    assert await owner.run(lambda: "goes on") == "goes on"


async def test_an_engine_error_is_passed_on_as_it_is(owner: ModelOwner):
    error = WeightsError("damaged")

    def fail() -> None:
        raise error

    with pytest.raises(WeightsError) as caught:
        await owner.run(fail)
    assert caught.value is error
