"""The client of the services, against services of this process with an engine whose answers are known."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from engines.errors import (
    EngineBusy,
    EngineClosed,
    EngineFailed,
    EngineOvertaken,
    EngineRefused,
    EngineUnreachable,
)
from engines.protocol import TranscriptionOptions
from engines.remote import MAX_SENDS, RemoteSpeechToText
from engines.remote_link import Link, url_of
from engines.remote_trust import MAX_FAILED, MAX_SILENT, Backoff, Trust
from services.common.state import Status
from tests.services.asr.fake import SECOND, FakeEngine, RunningService, running_service, transcript_of, until


@asynccontextmanager
async def remote(*services: RunningService | str, **options: Any) -> AsyncIterator[RemoteSpeechToText]:
    addresses = [service if isinstance(service, str) else service.address for service in services]
    engine = RemoteSpeechToText(addresses, **{"timeout_secs": 10, "ready_secs": 10, **options})
    try:
        yield engine
    finally:
        await engine.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return closed.getsockname()[1]


async def all_ready(engine: RemoteSpeechToText) -> None:
    await engine.warm_up()
    await until(lambda: all(link.healthy for link in engine._links))


def link_of(engine: RemoteSpeechToText, running: RunningService) -> Link:
    return next(link for link in engine._links if link.address == running.address)


class Time:
    """The real time, and what is added to it; no wait is longer than a test has patience, a hedge only when it may."""

    HEDGE_SECS = 2.5
    """Of the engines of `remote`; no other wait is as long when `rng` gives 1."""

    def __init__(self):
        self.added_secs = 0.0
        self.hedge = asyncio.Event()
        self.options: dict[str, Any] = {"clock": self.now, "sleep": self.sleep, "rng": lambda: 1.0}

    def now(self) -> float:
        return time.monotonic() + self.added_secs

    async def sleep(self, secs: float) -> None:
        if secs == self.HEDGE_SECS:
            await self.hedge.wait()
        await asyncio.sleep(0.01)


async def test_the_transcript_is_the_engines_own():
    async with running_service() as running, remote(running) as engine:
        options = TranscriptionOptions(
            language="en", prompt="p", hotwords="h", beam_size=2, temperatures=(0.0, 0.2), word_timestamps=True
        )
        assert await engine.transcribe(SECOND, options) == transcript_of("16000 samples")
        ((pcm, asked),) = running.engine.asked
        assert pcm == SECOND
        for name in ("language", "prompt", "hotwords", "beam_size", "temperatures", "word_timestamps", "partial"):
            assert getattr(asked, name) == getattr(options, name)


async def test_a_long_utterance_and_an_empty_one_go_through():
    async with running_service(max_message_bytes=65_536) as running, remote(running) as engine:
        assert (await engine.transcribe(SECOND * 50)).text == "800000 samples"
        assert (await engine.transcribe(b"")).text == "0 samples"


async def test_many_share_one_connection_and_each_gets_its_own():
    async with running_service(max_connections=1) as running, remote(running) as engine:
        asked = [engine.transcribe(SECOND[: 2 * length]) for length in range(1, 41)]
        assert [found.text for found in await asyncio.gather(*asked)] == [f"{n} samples" for n in range(1, 41)]
        assert running.service.state.connections == 1


@pytest.mark.parametrize(
    "error", [EngineBusy("full"), EngineRefused("no"), EngineFailed("oh"), EngineOvertaken("late")]
)
async def test_the_services_errors_are_the_engines_own(error: Exception):
    async with running_service(FakeEngine(error=error)) as running, remote(running) as engine:
        with pytest.raises(type(error), match=str(error)):
            await engine.transcribe(SECOND)


async def test_what_the_service_refuses_is_refused_and_the_rest_goes_on():
    async with running_service(max_utterance_secs=2) as running, remote(running) as engine:
        with pytest.raises(EngineRefused, match="too long"):
            await engine.transcribe(SECOND * 3)
        with pytest.raises(EngineRefused, match="prompt"):
            await engine.transcribe(SECOND, TranscriptionOptions(prompt="x" * 20_000))
        with pytest.raises(EngineRefused, match="half a sample"):
            await engine.transcribe(b"\x00")
        assert (await engine.transcribe(SECOND)).text == "16000 samples"


async def test_a_cancelled_call_is_cancelled_at_the_service():
    async with running_service() as running, remote(running) as engine:
        running.engine.go.clear()
        call = asyncio.create_task(engine.transcribe(SECOND))
        await until(lambda: running.engine.running == 1)
        call.cancel()
        await until(lambda: running.engine.cancelled == 1)
        assert not engine._requests and not engine._links[0].in_flight
        running.engine.go.set()
        assert (await engine.transcribe(SECOND)).text == "16000 samples"


async def test_too_many_at_once_are_refused_here():
    async with running_service() as running, remote(running, max_in_flight=2) as engine:
        running.engine.go.clear()
        calls = [asyncio.create_task(engine.transcribe(SECOND)) for _ in range(2)]
        await until(lambda: running.engine.running == 2)
        assert not engine.has_room
        with pytest.raises(EngineBusy, match="2 utterances"):
            await engine.transcribe(SECOND)
        running.engine.go.set()
        await asyncio.gather(*calls)


async def test_room_is_what_the_service_says():
    async with running_service() as running, remote(running) as engine:
        assert not engine.has_room
        await engine.warm_up()
        assert engine.has_room
        running.engine.has_room = False
        await engine.transcribe(SECOND)
        assert engine.has_room, "nothing of ours is there, and it may have emptied since"
        running.engine.go.clear()
        call = asyncio.create_task(engine.transcribe(SECOND))
        await until(lambda: running.engine.running == 1)
        assert not engine.has_room
        running.engine.go.set()
        await call


async def test_a_service_that_never_was_is_unreachable_and_says_why():
    address = f"ws://127.0.0.1:{free_port()}"
    async with remote(address, timeout_secs=0.3, ready_secs=0.3) as engine:
        with pytest.raises(EngineUnreachable, match=address) as caught:
            await engine.transcribe(SECOND)
        assert "refused" in str(caught.value).lower() or "connect" in str(caught.value).lower()
        with pytest.raises(EngineUnreachable, match=address):
            await engine.warm_up()
        with pytest.raises(EngineOvertaken):
            await engine.transcribe(SECOND, TranscriptionOptions(partial=True))


async def test_a_wrong_token_is_named():
    async with running_service(token="a-secret-token") as running:
        async with remote(running, timeout_secs=0.4, token="wrong-token") as engine:
            with pytest.raises(EngineUnreachable, match="4401"):
                await engine.transcribe(SECOND)
        async with remote(running, token="a-secret-token") as engine:
            assert (await engine.transcribe(SECOND)).text == "16000 samples"


async def test_a_service_that_is_slow_is_given_up_after_the_time_and_cancelled():
    async with running_service() as running, remote(running, timeout_secs=0.3) as engine:
        running.engine.go.clear()
        with pytest.raises(EngineUnreachable, match="is slow"):
            await engine.transcribe(SECOND)
        await until(lambda: running.engine.cancelled == 1)


async def test_finals_outlive_a_service_and_partials_do_not():
    port = free_port()
    async with remote(f"127.0.0.1:{port}") as engine:
        async with running_service(port=port) as running:
            running.engine.go.clear()
            await engine.warm_up()
            final = asyncio.create_task(engine.transcribe(SECOND))
            partial = asyncio.create_task(engine.transcribe(SECOND, TranscriptionOptions(partial=True, stream="a")))
            await until(lambda: running.engine.running == 2)
            engine._links[0].hang_up("cut by the test")
            with pytest.raises(EngineOvertaken):
                await partial
            running.engine.go.set()
        async with running_service(port=port):
            assert (await final).text == "16000 samples"


async def test_what_kills_every_service_is_given_up():
    engine_of_service = FakeEngine(error=ValueError("bug"))
    async with running_service(engine_of_service) as running, remote(running) as engine:
        with pytest.raises(EngineFailed, match=f"{MAX_SENDS} times"):
            await engine.transcribe(SECOND)
        assert len(running.engine.asked) == MAX_SENDS


async def test_each_utterance_goes_where_the_least_is_under_way():
    async with running_service() as one, running_service() as two, remote(one, two) as engine:
        await all_ready(engine)
        for running in (one, two):
            running.engine.go.clear()
        calls = [asyncio.create_task(engine.transcribe(SECOND)) for _ in range(10)]
        await until(lambda: one.engine.running == 5 and two.engine.running == 5)
        for running in (one, two):
            running.engine.go.set()
        await asyncio.gather(*calls)


async def test_a_stream_stays_where_it_is_under_way():
    async with running_service() as one, running_service() as two, remote(one, two) as engine:
        await all_ready(engine)
        for running in (one, two):
            running.engine.go.clear()
        options = [TranscriptionOptions(stream="call", partial=partial) for partial in (True, True, False)]
        calls = [asyncio.create_task(engine.transcribe(SECOND, option)) for option in options]
        await until(lambda: 3 in (one.engine.running, two.engine.running))
        for running in (one, two):
            running.engine.go.set()
        await asyncio.gather(*calls)


async def test_when_one_service_goes_the_other_takes_its_work():
    async with running_service() as two, running_service() as one, remote(one, two) as engine:
        await all_ready(engine)
        one.engine.go.clear()
        calls = [asyncio.create_task(engine.transcribe(SECOND)) for _ in range(6)]
        await until(lambda: one.engine.running == 3)
        next(link for link in engine._links if link.address == one.address).hang_up("cut by the test")
        assert {found.text for found in await asyncio.gather(*calls)} == {"16000 samples"}
        assert len(two.engine.asked) == 6


async def test_a_service_that_is_full_passes_a_final_on():
    full = FakeEngine(error=EngineBusy("full"))
    async with running_service(full) as one, running_service() as two, remote(one, two) as engine:
        await all_ready(engine)
        found = await asyncio.gather(*(engine.transcribe(SECOND) for _ in range(4)))
        assert {transcript.text for transcript in found} == {"16000 samples"}
        two.engine.error = EngineBusy("full too")
        with pytest.raises(EngineBusy):
            await engine.transcribe(SECOND)


async def test_what_a_service_hangs_at_is_sent_to_another_too_and_the_first_is_let_go():
    passing = Time()
    async with running_service() as hung, running_service() as well, remote(hung, well, **passing.options) as engine:
        await all_ready(engine)
        hung.engine.go.clear()
        call = asyncio.create_task(engine.transcribe(SECOND))
        await until(lambda: hung.engine.running == 1)
        partial = asyncio.create_task(engine.transcribe(SECOND, TranscriptionOptions(partial=True)))
        assert (await partial).text == "16000 samples"
        passing.hedge.set()
        assert (await call).text == "16000 samples"
        await until(lambda: hung.engine.cancelled == 1)
        assert not engine._requests and not any(link.in_flight for link in engine._links)
        assert len(well.engine.asked) == 2


async def test_a_service_that_hangs_goes_last_and_is_then_tried_again():
    passing = Time()
    async with running_service() as hung, running_service() as well, remote(hung, well, **passing.options) as engine:
        await all_ready(engine)
        hung.engine.go.clear()
        link = link_of(engine, hung)
        for fault in range(1, MAX_SILENT + 1):
            passing.hedge.set()
            await engine.transcribe(SECOND)
            passing.hedge.clear()
            assert len(hung.engine.asked) == link.trust.record.faults == fault
            assert link.healthy == (fault < MAX_SILENT), "then it is hung up"
            await until(lambda: link.healthy)
            await asyncio.gather(*(engine.transcribe(SECOND) for _ in range(5)))
            assert len(hung.engine.asked) == fault and engine.has_room
            passing.added_secs += 5.0 * 2 ** (fault - 1) + 0.1
        assert engine.problem is None
        hung.engine.go.set()
        await engine.transcribe(SECOND)
        assert len(hung.engine.asked) == MAX_SILENT + 1
        assert link.trust.record.faults == 0 and not link.trust.doubted


async def test_what_else_a_service_has_that_hangs_goes_to_the_other_when_it_is_hung_up():
    passing = Time()
    async with running_service() as hung, running_service() as well, remote(hung, well, **passing.options) as engine:
        await all_ready(engine)
        hung.engine.go.clear()
        link = link_of(engine, hung)
        link.trust.left_unanswered(link.trust.sent())
        passing.added_secs += 5.1
        well.engine.go.clear()
        calls = [asyncio.create_task(engine.transcribe(SECOND)) for _ in range(4)]
        await until(lambda: hung.engine.running == 2 and well.engine.running == 2)
        assert link.trust.left_unanswered(next(iter(link.in_flight.values())).links[link])
        assert link.trust.problem is not None and "2 utterances" in link.trust.problem
        link.hang_up(link.trust.problem)
        well.engine.go.set()
        assert {found.text for found in await asyncio.gather(*calls)} == {"16000 samples"}
        await until(lambda: link.healthy)
        assert link.trust.problem, "it is the process that hung before"


async def test_of_two_that_have_a_final_the_one_asked_later_is_not_at_fault():
    passing = Time()
    async with running_service() as one, running_service() as two, remote(one, two, **passing.options) as engine:
        await all_ready(engine)
        for running in (one, two):
            running.engine.go.clear()
        call = asyncio.create_task(engine.transcribe(SECOND))
        await until(lambda: one.engine.running == 1)
        passing.hedge.set()
        await until(lambda: two.engine.running == 1)
        one.engine.go.set()
        assert (await call).text == "16000 samples"
        assert not any(link.trust.record.faults for link in engine._links)


async def test_a_final_that_two_have_outlives_the_loss_and_the_error_of_one():
    passing = Time()
    async with running_service() as one, running_service() as two, remote(one, two, **passing.options) as engine:
        await all_ready(engine)
        for running in (one, two):
            running.engine.go.clear()
        call = asyncio.create_task(engine.transcribe(SECOND))
        await until(lambda: one.engine.running == 1)
        passing.hedge.set()
        await until(lambda: two.engine.running == 1)
        passing.hedge.clear()
        link_of(engine, one).hang_up("cut by the test")
        await until(lambda: one.engine.cancelled == 1)
        passing.hedge.set()
        await until(lambda: one.engine.running == 1)
        two.engine.error = EngineRefused("no")
        two.engine.go.set()
        await until(lambda: two.engine.running == 0)
        one.engine.go.set()
        assert (await call).text == "16000 samples"


async def test_a_single_service_that_hangs_is_a_problem_for_some_seconds():
    passing = Time()
    async with running_service() as hung, remote(hung, timeout_secs=0.1, **passing.options) as engine:
        await engine.warm_up()
        hung.engine.go.clear()
        for fault in range(1, MAX_SILENT + 1):
            assert engine.problem is None
            with pytest.raises(EngineUnreachable, match="is slow" if fault < MAX_SILENT else "2 utterances in a row"):
                await engine.transcribe(SECOND)
        assert engine.problem is not None and "2 utterances in a row without an answer" in engine.problem
        assert engine._links[0].healthy, "to connect again would not help"
        passing.added_secs += 10.1
        assert engine.problem is None, "a call must be let in to try it"
        with pytest.raises(EngineUnreachable):
            await engine.transcribe(SECOND)
        assert engine.problem is not None
        hung.engine.go.set()
        await engine.transcribe(SECOND)
        assert engine.problem is None


async def test_a_service_that_went_by_itself_and_returns_is_trusted_again():
    port = free_port()
    async with remote(f"127.0.0.1:{port}", rng=lambda: 0.1) as engine:
        async with running_service(port=port):
            await engine.warm_up()
            trust = engine._links[0].trust
            for _ in range(MAX_SILENT):
                trust.left_unanswered(trust.sent())
            assert engine.problem is not None
        async with running_service(port=port):
            await until(lambda: engine.problem is None)


async def test_one_that_returned_only_now_is_not_at_fault_when_the_time_is_over():
    passing = Time()
    async with running_service() as running, remote(running, timeout_secs=0.3, **passing.options) as engine:
        await engine.warm_up()
        running.engine.go.clear()
        call = asyncio.create_task(engine.transcribe(SECOND))
        await until(lambda: running.engine.running == 1)
        passing.added_secs -= 1.0
        with pytest.raises(EngineUnreachable):
            await call
        assert engine._links[0].trust.record.faults == 0


def test_what_one_stall_took_with_it_is_one_fault_and_slow_is_none():
    trust = Trust(backoff=Backoff(first_secs=5.0, most_secs=30.0, rng=lambda: 1.0), clock=lambda: 0.0)
    stalled = [trust.sent() for _ in range(5)]
    assert [trust.left_unanswered(sent) for sent in stalled] == [True, False, False, False, False]
    assert trust.doubted and trust.problem is None
    trust.worked()
    assert not trust.doubted
    slow = trust.sent()
    trust.worked()
    assert not trust.left_unanswered(slow) and not trust.doubted


@pytest.mark.parametrize("error", [EngineClosed("gone"), None])
async def test_a_final_is_not_kept_from_a_service_that_was_full_when_the_other_is_lost(error: EngineClosed | None):
    full = FakeEngine(error=EngineBusy("full"))
    async with running_service(full) as one, running_service() as two, remote(one, two) as engine:
        await all_ready(engine)
        two.engine.go.clear()
        call = asyncio.create_task(engine.transcribe(SECOND))
        await until(lambda: two.engine.running == 1)
        assert len(full.asked) == 1
        full.error, two.engine.error = None, error
        if error is None:
            link_of(engine, two).hang_up("cut by the test")
        else:
            two.engine.go.set()
        assert (await call).text == "16000 samples"
        assert len(full.asked) == 2


async def test_what_fails_at_one_service_is_tried_once_at_another():
    broken = FakeEngine(error=EngineFailed("no kernel"))
    passing = Time()
    async with running_service(broken) as one, running_service() as two, remote(one, two, **passing.options) as engine:
        await all_ready(engine)
        for _ in range(5):
            assert (await engine.transcribe(SECOND)).text == "16000 samples"
        assert len(broken.asked) == MAX_FAILED, "then it goes last"
        assert engine.problem is None
        passing.added_secs += 5.1
        broken.error = None
        await engine.transcribe(SECOND)
        assert len(broken.asked) == MAX_FAILED + 1 and not link_of(engine, one).trust.record.faults


async def test_what_fails_everywhere_fails_and_the_problem_tells():
    engines = [FakeEngine(error=EngineFailed("no kernel")) for _ in range(2)]
    async with running_service(engines[0]) as one, running_service(engines[1]) as two, remote(one, two) as engine:
        await all_ready(engine)
        for _ in range(MAX_FAILED):
            assert engine.problem is None
            with pytest.raises(EngineFailed, match="no kernel"):
                await engine.transcribe(SECOND)
        assert [len(fake.asked) for fake in engines] == [MAX_FAILED, MAX_FAILED]
        assert engine.problem is not None
        assert engine.problem.count(f"failed at {MAX_FAILED} utterances in a row") == 2
        partial = TranscriptionOptions(partial=True)
        with pytest.raises(EngineFailed):
            await engine.transcribe(SECOND, partial)
        assert sum(len(fake.asked) for fake in engines) == 2 * MAX_FAILED + 1


async def test_a_service_that_drains_gets_nothing_new_and_answers_what_it_has():
    async with running_service(drain_secs=5) as one, running_service() as two, remote(one, two) as engine:
        await all_ready(engine)
        one.engine.go.clear()
        calls = [asyncio.create_task(engine.transcribe(SECOND)) for _ in range(4)]
        await until(lambda: one.engine.running == 2)
        draining = asyncio.create_task(one.drain())
        await until(lambda: not all(link.healthy for link in engine._links))
        await asyncio.gather(*(engine.transcribe(SECOND) for _ in range(4)))
        one.engine.go.set()
        await asyncio.gather(*calls)
        await draining
        assert len(one.engine.asked) == 2 and len(two.engine.asked) == 6


async def test_a_service_whose_engine_has_ended_is_left():
    dead = FakeEngine(error=EngineClosed("gone"))
    async with running_service(dead) as one, running_service() as two, remote(one, two) as engine:
        await all_ready(engine)
        found = await asyncio.gather(*(engine.transcribe(SECOND) for _ in range(4)))
        assert {transcript.text for transcript in found} == {"16000 samples"}
        assert one.service.state.status is Status.FAILED


async def test_close_refuses_what_waits_and_leaves_nothing():
    async with running_service() as running:
        async with remote(running) as engine:
            running.engine.go.clear()
            call = asyncio.create_task(engine.transcribe(SECOND))
            await until(lambda: running.engine.running == 1)
            await engine.close()
            with pytest.raises(EngineClosed):
                await call
            with pytest.raises(EngineClosed):
                await engine.transcribe(SECOND)
        await until(lambda: running.service.state.connections == 0 and running.engine.running == 0)


async def test_between_attempts_it_waits_longer_and_longer():
    waits: list[float] = []

    async def sleep(secs: float) -> None:
        waits.append(secs)
        await asyncio.sleep(0)

    async with remote(f"127.0.0.1:{free_port()}", sleep=sleep, rng=lambda: 1.0, timeout_secs=5) as engine:
        call = asyncio.create_task(engine.transcribe(SECOND))
        await until(lambda: len(waits) >= 8)
        call.cancel()
    assert waits[:8] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_waits_are_spread_over_their_upper_half():
    assert [Backoff(rng=lambda share=share: share).next() for share in (0.0, 0.5, 1.0)] == pytest.approx(
        [0.05, 0.075, 0.1]
    )


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("ws://127.0.0.1:8001", "ws://127.0.0.1:8001/v1/stream/asr"),
        ("127.0.0.1:8001", "ws://127.0.0.1:8001/v1/stream/asr"),
        ("http://asr:8001/", "ws://asr:8001/v1/stream/asr"),
        ("https://asr.example.org/ears", "wss://asr.example.org/ears"),
        ("ws://[::1]:8001", "ws://[::1]:8001/v1/stream/asr"),
    ],
)
def test_addresses(address: str, url: str):
    assert url_of(address) == url


@pytest.mark.parametrize("addresses", [[], [""], ["ftp://x"], ["ws://:8001"], ["ws://x:99999"], ["ws://[x"]])
def test_what_is_no_address_is_refused(addresses: Sequence[str]):
    with pytest.raises(EngineRefused, match=r"expected .*ws://127\.0\.0\.1:8001"):
        RemoteSpeechToText(addresses)
