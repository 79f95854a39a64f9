"""The client of the voice's services, against services of this process with a voice whose sound is known."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from engines.errors import EngineBusy, EngineClosed, EngineError, EngineFailed, EngineRefused, EngineUnreachable
from engines.protocol import DEFAULT_SPEECH, SpeechOptions, Voice
from engines.remote_trust import MAX_FAILED, MAX_SILENT
from engines.remote_tts import MAX_LOSSES, RemoteTextToSpeech
from engines.remote_voice import VoiceLink
from services.common.state import Status
from tests.services.serving import free_port, until
from tests.services.tts.fake import RATE, WORD, FakeVoice, RunningService, running_service, sound


@asynccontextmanager
async def remote(*services: RunningService | str, **options: Any) -> AsyncIterator[RemoteTextToSpeech]:
    addresses = [service if isinstance(service, str) else service.address for service in services]
    engine = RemoteTextToSpeech(addresses, **{"timeout_secs": 10, "ready_secs": 10, **options})
    try:
        yield engine
    finally:
        await engine.close()


async def all_ready(engine: RemoteTextToSpeech) -> None:
    await engine.warm_up()
    await until(lambda: all(link.healthy for link in engine._links))


def link_of(engine: RemoteTextToSpeech, running: RunningService) -> VoiceLink:
    return next(link for link in engine._links if link.address == running.address)


async def written(*pieces: str) -> AsyncIterator[str]:
    for piece in pieces:
        yield piece


async def spoken(engine: RemoteTextToSpeech, *pieces: str, options: SpeechOptions = DEFAULT_SPEECH) -> bytes:
    """The sound of a text, whole."""
    return b"".join([chunk.pcm async for chunk in engine.synthesize(written(*pieces), options)])


async def listen(engine: RemoteTextToSpeech, text: str, heard: bytearray) -> None:
    """Hear a text as far as it comes."""
    async for chunk in engine.synthesize(written(text)):
        heard += chunk.pcm


def fast() -> dict[str, Any]:
    """Options with which no wait between attempts is longer than a test has patience."""

    async def sleep(_: float) -> None:
        await asyncio.sleep(0.01)

    return {"sleep": sleep, "rng": lambda: 1.0}


async def test_the_sound_and_its_marks_are_the_engines_own():
    async with running_service() as running, remote(running) as engine:
        options = SpeechOptions(voice="otto", speed=1.5, temperature=0.5, seed=7, exaggeration=0.7, live=False)
        chunks = [chunk async for chunk in engine.synthesize(written("one t", "wo", "", "three"), options)]
        assert b"".join(chunk.pcm for chunk in chunks) == sound(0, 4 * WORD)
        marks = [(mark.text, mark.start, mark.end) for chunk in chunks for mark in chunk.marks]
        assert [mark[0] for mark in marks] == ["one", "t", "wo", "three"]
        assert [mark[1:] for mark in marks] == [(at * WORD, (at + 1) * WORD) for at in range(4)]
        assert running.engine.asked == [options]
        assert running.engine.read == ["one t", "wo", "", "three"]
        assert engine.sample_rate == RATE and not engine._streams and not engine._links[0].in_flight


async def test_a_voice_that_was_chosen_speaks_where_a_stream_does_not_say():
    async with running_service() as running, remote(running, voice="otto") as engine, remote(running) as other:
        for options in (DEFAULT_SPEECH, SpeechOptions(voice="anna", speed=1.5), SpeechOptions(speed=1.5)):
            await spoken(engine, "one", options=options)
        await spoken(other, "one")
        assert [options.voice for options in running.engine.asked] == ["otto", "anna", "otto", None]
        assert [options.speed for options in running.engine.asked] == [None, 1.5, 1.5, None]


async def test_a_text_without_a_word_is_silence():
    async with running_service() as running, remote(running) as engine:
        assert await spoken(engine) == await spoken(engine, "", "") == b""
        assert running.engine.asked == []
        assert await spoken(engine, " ") == b""


async def test_the_first_sound_comes_before_the_text_is_complete():
    async with running_service() as running, remote(running) as engine:
        more = asyncio.Event()

        async def text() -> AsyncIterator[str]:
            yield "one"
            await more.wait()
            yield "two"

        async with aclosing(engine.synthesize(text())) as chunks:  # pyright: ignore[reportArgumentType]
            assert (await anext(chunks)).pcm == sound(0)
            more.set()
            assert (await anext(chunks)).pcm == sound(WORD)


async def test_a_hundred_share_one_connection_and_none_waits_for_a_handshake():
    async with running_service(max_connections=1) as running, remote(running) as engine:
        await engine.warm_up()
        began_at = time.monotonic()
        found = await asyncio.gather(*(spoken(engine, "word " * (number % 7 + 1)) for number in range(100)))
        assert [len(pcm) for pcm in found] == [2 * WORD * (number % 7 + 1) for number in range(100)]
        assert time.monotonic() - began_at < 5
        assert running.service.state.connections == 1


@pytest.mark.parametrize("error", [EngineBusy("full"), EngineRefused("no such voice"), EngineFailed("oh")])
@pytest.mark.parametrize("after", [0, 2])
async def test_the_services_errors_are_the_engines_own(error: Exception, after: int):
    async with running_service(FakeVoice(error=error, error_after=after)) as running, remote(running) as engine:
        heard = bytearray()
        with pytest.raises(type(error), match=str(error)):
            await listen(engine, "one two three", heard)
        assert heard == sound(0, after * WORD)
        running.engine.error = None
        assert await spoken(engine, "one") == sound(0)


async def test_what_the_service_refuses_is_refused_and_the_rest_goes_on():
    async with running_service(max_text_chars=100) as running, remote(running) as engine:
        with pytest.raises(EngineRefused, match="too long"):
            await spoken(engine, "x" * 60, "y" * 60)
        with pytest.raises(EngineRefused, match="speed"):
            await spoken(engine, "one", options=SpeechOptions(speed=9))
        assert await spoken(engine, "one") == sound(0)


async def test_closing_the_generator_frees_the_place_at_once():
    async with running_service(FakeVoice(held_after=1)) as running, remote(running) as engine:
        stream = engine.synthesize(written("one two"))
        await anext(stream)
        assert running.engine.running == 1
        began_at = time.monotonic()
        await stream.aclose()  # pyright: ignore[reportAttributeAccessIssue]
        await until(lambda: running.engine.cancelled == 1)
        assert time.monotonic() - began_at < 0.5 and not engine._streams and not engine._links[0].in_flight
        running.engine.go.set()
        assert await spoken(engine, "one") == sound(0)


async def test_a_cancelled_task_is_cancelled_at_the_service_and_its_text_is_read_no_further():
    ended = asyncio.Event()

    async def text() -> AsyncIterator[str]:
        try:
            yield "one"
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with running_service() as running, remote(running) as engine:
        running.engine.go.clear()
        call = asyncio.create_task(anext(engine.synthesize(text())))  # pyright: ignore[reportArgumentType]
        await until(lambda: running.engine.running == 1)
        call.cancel()
        await until(lambda: running.engine.cancelled == 1 and ended.is_set())


async def test_a_text_that_fails_fails_the_stream():
    async def text() -> AsyncIterator[str]:
        yield "one"
        raise LookupError("the brain is gone")

    async with running_service() as running, remote(running) as engine:
        with pytest.raises(LookupError, match="brain"):
            async for _ in engine.synthesize(text()):
                pass
        await until(lambda: running.engine.running == 0)


async def test_a_listener_that_takes_nothing_holds_up_the_engine_and_nobody_else():
    async with running_service() as running, remote(running) as engine:
        stream = engine.synthesize(written("word " * 200))
        pcm = (await anext(stream)).pcm
        await asyncio.sleep(0.3)
        made = running.engine.words
        assert 50 <= made <= 60, "five seconds are made ahead"
        assert await spoken(engine, "one two") == sound(0, 2 * WORD)
        async for chunk in stream:
            pcm += chunk.pcm
        assert pcm == sound(0, 200 * WORD)


async def test_too_many_at_once_are_refused_here():
    async with running_service() as running, remote(running, max_streams=2) as engine:
        running.engine.go.clear()
        calls = [asyncio.create_task(spoken(engine, "one")) for _ in range(2)]
        await until(lambda: running.engine.running == 2)
        with pytest.raises(EngineBusy, match="2 streams"):
            await spoken(engine, "one")
        running.engine.go.set()
        await asyncio.gather(*calls)


async def test_the_voices_are_the_services():
    async with running_service() as running, remote(running) as engine:
        assert await engine.voices() == (Voice("anna", "the first"), Voice("otto", "the second", None))


async def test_a_service_that_never_was_is_unreachable_and_says_why():
    address = f"ws://127.0.0.1:{free_port()}"
    async with remote(address, timeout_secs=0.3, ready_secs=0.3) as engine:
        for call in (spoken(engine, "one"), engine.voices(), engine.warm_up()):
            with pytest.raises(EngineUnreachable, match=address):
                await call
        assert engine.problem is not None and address in engine.problem


async def test_a_wrong_token_is_named():
    async with running_service(token="a-secret-token") as running:
        async with remote(running, timeout_secs=0.4, token="wrong-token") as engine:
            with pytest.raises(EngineUnreachable, match="4401"):
                await spoken(engine, "one")
        async with remote(running, token="a-secret-token") as engine:
            assert await spoken(engine, "one") == sound(0)
            assert engine.problem is None


async def test_a_service_that_gives_no_sound_is_given_up_after_the_time_and_one_that_waits_for_text_is_not():
    async with running_service() as running, remote(running, timeout_secs=0.3) as engine:

        async def text() -> AsyncIterator[str]:
            yield "one"
            yield ""
            await asyncio.sleep(0.8)
            yield "two"

        assert b"".join([chunk.pcm async for chunk in engine.synthesize(text())]) == sound(0, 2 * WORD)
        running.engine.go.clear()
        with pytest.raises(EngineUnreachable, match="is slow"):
            await spoken(engine, "one")
        await until(lambda: running.engine.running == 0)
        for _ in range(MAX_SILENT - 1):
            with pytest.raises(EngineUnreachable):
                await spoken(engine, "one")
        assert engine.problem is not None and "streams in a row" in engine.problem
        running.engine.go.set()
        assert await spoken(engine, "one") == sound(0)
        assert engine.problem is None


async def test_a_text_outlives_a_service_that_had_not_begun_to_speak():
    port = free_port()
    async with remote(f"127.0.0.1:{port}") as engine:
        async with running_service(port=port) as running:
            running.engine.go.clear()
            await engine.warm_up()
            call = asyncio.create_task(spoken(engine, "one ", "two"))
            await until(lambda: running.engine.running == 1)
            engine._links[0].hang_up("cut by the test")
            await until(lambda: running.engine.cancelled == 1)
        async with running_service(port=port):
            assert await call == sound(0, 2 * WORD)


async def test_a_service_that_goes_while_it_speaks_ends_the_stream_with_an_error():
    async with running_service(FakeVoice(held_after=2)) as running, remote(running) as engine:
        heard = bytearray()
        listening = asyncio.create_task(listen(engine, "one two three", heard))
        await until(lambda: len(heard) == 4 * WORD)
        engine._links[0].hang_up("cut by the test")
        with pytest.raises(EngineUnreachable, match="while it spoke"):
            await listening
        assert heard == sound(0, 2 * WORD)


async def test_what_kills_every_service_is_given_up():
    async with running_service(FakeVoice(error=ValueError("bug"))) as running, remote(running, **fast()) as engine:
        with pytest.raises(EngineFailed, match=f"{MAX_LOSSES} times"):
            await spoken(engine, "one")
        assert len(running.engine.asked) == MAX_LOSSES


async def test_each_stream_goes_where_the_fewest_are_under_way():
    async with running_service() as one, running_service() as two, remote(one, two) as engine:
        await all_ready(engine)
        for running in (one, two):
            running.engine.go.clear()
        calls = [asyncio.create_task(spoken(engine, "one")) for _ in range(10)]
        await until(lambda: one.engine.running == 5 and two.engine.running == 5)
        for running in (one, two):
            running.engine.go.set()
        await asyncio.gather(*calls)


async def test_when_one_service_goes_the_other_speaks_what_it_had_not_begun():
    async with running_service() as two, running_service() as one, remote(one, two) as engine:
        await all_ready(engine)
        one.engine.go.clear()
        calls = [asyncio.create_task(spoken(engine, "one")) for _ in range(6)]
        await until(lambda: one.engine.running == 3)
        link_of(engine, one).hang_up("cut by the test")
        assert set(await asyncio.gather(*calls)) == {sound(0)}
        assert len(two.engine.asked) == 6


@pytest.mark.parametrize("error", [EngineBusy("full"), EngineFailed("no kernel"), EngineClosed("gone")])
async def test_what_one_service_has_no_room_or_no_life_for_another_speaks(error: EngineError):
    async with running_service(FakeVoice(error=error)) as one, running_service() as two, remote(one, two) as engine:
        await all_ready(engine)
        found = await asyncio.gather(*(spoken(engine, "one") for _ in range(4)))
        assert set(found) == {sound(0)}
        if isinstance(error, EngineClosed):
            assert one.service.state.status is Status.FAILED
        two.engine.error = EngineBusy("full too")
        if isinstance(error, EngineBusy):
            with pytest.raises(EngineBusy):
                await spoken(engine, "one")


async def test_what_fails_everywhere_fails_and_the_problem_tells():
    voices = [FakeVoice(error=EngineFailed("no kernel")) for _ in range(2)]
    async with running_service(voices[0]) as one, running_service(voices[1]) as two, remote(one, two) as engine:
        await all_ready(engine)
        for _ in range(MAX_FAILED):
            with pytest.raises(EngineFailed, match="no kernel"):
                await spoken(engine, "one")
        assert [len(voice.asked) for voice in voices] == [MAX_FAILED, MAX_FAILED]
        assert engine.problem is not None and engine.problem.count(f"failed at {MAX_FAILED} streams in a row") == 2


async def test_what_a_service_hangs_at_is_spoken_by_another_and_the_first_is_let_go():
    async with (
        running_service() as hung,
        running_service() as well,
        remote(hung, well, timeout_secs=1, **fast()) as engine,
    ):
        await all_ready(engine)
        hung.engine.go.clear()
        for _ in range(MAX_SILENT):
            assert link_of(engine, hung).works
            assert await spoken(engine, "one") == sound(0)
            await until(lambda: hung.engine.running == 0)
            await until(lambda: link_of(engine, hung).healthy)
            link_of(engine, hung).trust._doubted_until = None if not link_of(engine, hung).trust.problem else 1e12
        assert len(well.engine.asked) == MAX_SILENT == hung.engine.cancelled
        began_at = time.monotonic()
        assert await spoken(engine, "one") == sound(0)
        assert time.monotonic() - began_at < 0.3, "it goes last now"


async def test_a_service_that_drains_gets_nothing_new_and_speaks_what_it_has():
    async with running_service(drain_secs=5) as one, running_service() as two, remote(one, two) as engine:
        await all_ready(engine)
        one.engine.go.clear()
        calls = [asyncio.create_task(spoken(engine, "one")) for _ in range(4)]
        await until(lambda: one.engine.running == 2)
        draining = asyncio.create_task(one.drain())
        await until(lambda: not all(link.healthy for link in engine._links))
        assert set(await asyncio.gather(*(spoken(engine, "one") for _ in range(4)))) == {sound(0)}
        one.engine.go.set()
        assert set(await asyncio.gather(*calls)) == {sound(0)}
        await draining
        assert len(one.engine.asked) == 2 and len(two.engine.asked) == 6


async def test_close_refuses_what_runs_and_leaves_nothing():
    async with running_service() as running:
        async with remote(running) as engine:
            running.engine.go.clear()
            call = asyncio.create_task(spoken(engine, "one"))
            await until(lambda: running.engine.running == 1)
            await engine.close()
            for closed in (call, spoken(engine, "one"), engine.voices()):
                with pytest.raises(EngineClosed):
                    await closed
        await until(lambda: running.service.state.connections == 0 and running.engine.running == 0)


@pytest.mark.parametrize("addresses", [[], [""], ["ftp://x"], ["ws://:8002"], ["ws://x:99999"], ["ws://[x"]])
def test_what_is_no_address_is_refused(addresses: Sequence[str]):
    with pytest.raises(EngineRefused, match=r"expected .*ws://127\.0\.0\.1:8002"):
        RemoteTextToSpeech(addresses)
