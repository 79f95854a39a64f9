"""The WebSocket, with a voice whose sound is known: every message, every limit, every way to go wrong."""

import asyncio
import struct
from typing import Any

import numpy as np
import pytest

from engines.errors import EngineBusy, EngineFailed, EngineRefused
from services.common import websockets as service_websockets
from tests.services.serving import frame, silent_client, until
from tests.services.tts.fake import RATE, WORD, FakeVoice, RunningService, message, raw, running_service, sound, talking

PATH = "/v1/stream/tts"


async def at_rest(running: RunningService) -> None:
    """Everything of the connections is gone."""
    await until(lambda: running.engine.running == 0 and running.service.queue_size == running.service.speaking == 0)
    await until(lambda: running.service.state.connections == 0)
    assert running.metric("voice_tts_connections") == 0


async def test_a_text_comes_back_as_sound_with_its_marks_and_its_times():
    async with running_service() as running, raw(running) as talk:
        await talk.say("start", version=1)
        ready = await talk.hear()
        assert ready == {
            "type": "ready",
            "version": 1,
            "model": "hibari",
            "voice": "heart",
            "engine_sample_rate": RATE,
            "max_message_bytes": 1_048_576,
            "max_text_chars": 4096,
            "max_streams": 128,
            "idle_secs": 5.0,
        }
        await talk.speak("a", "one two three")
        heard = await talk.hear_stream("a")
    assert heard.said[0] == {"type": "started", "id": "a", "voice": "heart", "sample_rate": RATE}
    assert heard.pcm == sound(0, 3 * WORD)
    assert heard.marks == [("one", 0, WORD), ("two", WORD, 2 * WORD), ("three", 2 * WORD, 3 * WORD)]
    done = heard.last
    assert (done["type"], done["samples"], done["audio_secs"]) == ("done", 3 * WORD, pytest.approx(0.3))
    assert 0 <= done["first_audio_secs"] <= done["total_secs"] < 5 and done["underruns"] == 0
    assert running.metric("voice_tts_requests_total", way="stream", outcome="ok") == 1
    assert running.metric("voice_tts_audio_seconds_total", way="stream") == pytest.approx(0.3)
    assert running.metric("voice_tts_first_audio_seconds_count", way="stream") == 1


async def test_the_engine_reads_the_text_as_it_was_written():
    async with running_service() as running, talking(running) as talk:
        await talk.say("speak", id="a")
        for piece in ("Hel", "lo", "", " there."):
            await talk.say("text", id="a", text=piece)
        await talk.say("flush", id="a")
        await until(lambda: running.engine.read == ["Hel", "lo", " there.", ""])
        await talk.say("text", id="a", text="Bye.")
        await talk.say("end", id="a")
        heard = await talk.hear_stream("a")
        assert running.engine.read[-1] == "Bye." and heard.last["samples"] == 4 * WORD


async def test_what_is_spoken_first_comes_before_the_rest_is_written():
    async with running_service() as running, talking(running) as talk:
        await talk.say("speak", id="a")
        await talk.say("text", id="a", text="one")
        assert [(await talk.hear_any())[0]["type"] for _ in range(2)] == ["started", "audio"]
        assert running.service.speaking == 1 and running.service.queue_size == 0


async def test_many_streams_of_one_connection_are_spoken_at_once():
    async with running_service() as running, talking(running) as talk:
        running.engine.go.clear()
        names = [f"s{number}" for number in range(20)]
        for number, name in enumerate(names):
            await talk.speak(name, "word " * (number + 1))
        await until(lambda: running.engine.running == 20)
        assert running.service.queue_size == running.metric("voice_tts_queue_size") == 20
        running.engine.go.set()
        heard = await talk.hear_streams(*names)
    for number, name in enumerate(names):
        assert heard[name].pcm == sound(0, (number + 1) * WORD) and heard[name].last["type"] == "done"


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
async def test_sound_comes_at_the_rate_that_is_asked_for_and_marks_with_it(rate: int):
    words = [f"w{number}" for number in range(21)]
    async with running_service(FakeVoice(word_samples=1_001)) as running, talking(running) as talk:
        await talk.speak("a", " ".join(words), sample_rate=rate)
        heard = await talk.hear_stream("a")
    samples = np.frombuffer(heard.pcm, dtype="<i2")
    assert len(samples) == heard.last["samples"] == 21 * 1_001 * rate // RATE
    assert heard.said[0]["sample_rate"] == rate
    spectrum = np.abs(np.fft.rfft(samples[: rate // 2].astype(float)))
    assert abs(np.argmax(spectrum) * 2 - 440) <= 2
    ends = [number * 1_001 * rate // RATE for number in range(22)]
    assert heard.marks == [(word, ends[at], ends[at + 1]) for at, word in enumerate(words)]
    for said in heard.said:
        for mark in said.get("marks", ()):
            assert said["start"] <= mark["start"] < said["start"] + said["samples"], "a word comes with its sound"


async def test_a_long_chunk_comes_in_pieces_and_its_marks_with_the_piece_they_begin_in():
    async with running_service(FakeVoice(word_samples=5 * RATE)) as running, talking(running) as talk:
        await talk.speak("a", "one two")
        heard = await talk.hear_stream("a")
    audio = [said for said in heard.said if said["type"] == "audio"]
    assert [said["samples"] for said in audio] == [RATE] * 10 and heard.pcm == sound(0, 10 * RATE)
    assert [len(said["marks"]) for said in audio] == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0]


async def test_the_start_has_defaults_that_a_stream_overrides():
    async with running_service() as running, talking(running, voice="anna", sample_rate=8_000, seed=3) as talk:
        await talk.speak("a", "one")
        first = await talk.hear_stream("a")
        await talk.speak("b", "one", voice="otto", sample_rate=16_000, exaggeration=0.7, live=False)
        second = await talk.hear_stream("b")
    assert (first.said[0]["voice"], len(first.pcm)) == ("anna", 2 * 800)
    assert (second.said[0]["voice"], len(second.pcm)) == ("otto", 2 * 1600)
    one, two = running.engine.asked
    assert (one.voice, one.seed, one.live) == ("anna", 3, True)
    assert (two.voice, two.seed, two.exaggeration, two.live) == ("otto", 3, 0.7, False)


@pytest.mark.parametrize(
    ("error", "code"),
    [(EngineBusy("full"), "busy"), (EngineRefused("no such voice"), "refused"), (EngineFailed("oh"), "failed")],
)
async def test_an_engine_error_is_of_its_stream_only(error: Exception, code: str):
    async with running_service(FakeVoice(error=error, error_after=1)) as running, talking(running) as talk:
        await talk.say("speak", id="a")
        await talk.say("text", id="a", text="one two")
        heard = await talk.hear_stream("a")
        assert heard.pcm == sound(0) and heard.last == {"type": "error", "id": "a", "code": code, "message": str(error)}
        running.engine.error = None
        await talk.say("text", id="a", text="on its way")
        await talk.say("end", id="a")
        await talk.speak("a", "again")
        assert (await talk.hear_stream("a")).last["type"] == "done"
        assert running.metric("voice_tts_requests_total", way="stream", outcome=code) == 1


async def test_cancel_frees_the_place_at_once_and_the_name_is_free_again():
    async with running_service() as running, talking(running) as talk:
        running.engine.go.clear()
        await talk.speak("a", "one two three")
        await talk.speak("b", "one")
        await until(lambda: running.engine.running == 2)
        await talk.say("cancel", id="a")
        assert (await talk.hear_stream("a")).last == {"type": "cancelled", "id": "a"}
        assert (running.engine.running, running.engine.cancelled) == (1, 1)
        running.engine.go.set()
        assert (await talk.hear_stream("b")).last["type"] == "done"
        await talk.say("cancel", id="b")
        await talk.say("cancel", id="never was")
        await talk.speak("a", "again")
        assert (await talk.hear_stream("a")).pcm == sound(0)


async def test_finish_speaks_what_was_written_and_closes():
    async with running_service() as running, talking(running) as talk:
        await talk.say("speak", id="a")
        await talk.say("text", id="a", text="one")
        await talk.say("finish")
        assert (await talk.hear_stream("a")).last["samples"] == WORD
        assert await talk.close_code() == 1000
        await at_rest(running)


async def test_the_voices_are_told():
    async with running_service() as running, talking(running) as talk:
        await talk.say("voices")
        assert await talk.hear() == {
            "type": "voices",
            "voices": [
                {"id": "anna", "name": "anna", "description": "the first", "language": "en"},
                {"id": "otto", "name": "otto", "description": "the second", "language": None},
            ],
        }


async def test_who_asks_for_the_voices_and_flushes_without_end_is_answered_in_turn():
    async with running_service() as running, talking(running) as talk:
        await talk.say("speak", id="a")
        await talk.say("text", id="a", text="one")
        for _ in range(100):
            await talk.say("voices")
            await talk.say("flush", id="a")
        await talk.say("end", id="a")
        heard = await talk.hear_streams("a")
        told = [said for stream in heard.values() for said in stream.said if said["type"] == "voices"]
        while len(told) < 100:
            told.append((await talk.hear_any())[0])
        assert all(len(said["voices"]) == 2 for said in told) and running.engine.read == ["one", ""]


STREAM_ERRORS = {
    "a speed that cannot be": ({"speed": 99}, "refused"),
    "a number that is none": ({"temperature": "warm"}, "refused"),
    "a rate that is not given": ({"sample_rate": 11_025}, "unsupported"),
    "another format": ({"format": "mp3"}, "refused"),
    "too long a text": ({}, "too_long"),
}


@pytest.mark.parametrize("name", STREAM_ERRORS)
async def test_a_wrong_stream_is_refused_and_the_connection_goes_on(name: str):
    options, code = STREAM_ERRORS[name]
    async with running_service(max_text_chars=100) as running, talking(running) as talk:
        running.engine.go.clear()
        await talk.speak("a", "x" * 60, "y" * 60, **options)
        heard = await talk.hear_stream("a")
        assert (heard.last["type"], heard.last["code"]) == ("error", code)
        await until(lambda: running.engine.running == 0)
        running.engine.go.set()
        await talk.speak("b", "one")
        heard = await talk.hear_streams("b")
        assert heard["b"].last["type"] == "done" and set(heard) == {"b"}


async def test_text_of_nothing_is_told_and_does_no_harm():
    async with running_service() as running, talking(running) as talk:
        for kind, more in (("text", {"text": "x"}), ("flush", {}), ("end", {})):
            await talk.say(kind, id="a", **more)
            told = await talk.hear()
            assert (told["id"], told["code"]) == ("a", "unknown_id")
        await talk.speak("a", "one")
        assert (await talk.hear_stream("a")).last["type"] == "done"


START = ("start", {"version": 1})
OPEN = ("speak", {"id": "a"})
CLOSED: dict[str, tuple[list[Any], int]] = {
    "speak before start": ([OPEN], 4400),
    "sound before start": ([b"\0\0"], 4400),
    "sound": ([START, b"\0\0"], 4400),
    "not JSON": (["hello"], 4400),
    "JSON, but no object": (["[1]"], 4400),
    "deep JSON": (["[" * 60_000], 4400),
    "an unknown message": ([START, ("sing", {})], 4400),
    "an unknown field": ([START, ("speak", {"id": "a", "colour": "red"})], 4400),
    "text that is none": ([START, OPEN, ("text", {"id": "a", "text": 7})], 4400),
    "a stream without an id": ([START, ("speak", {})], 4400),
    "start twice": ([START, START], 4400),
    "one id twice": ([START, OPEN, OPEN], 4400),
    "text after its end": ([START, OPEN, ("end", {"id": "a"}), ("text", {"id": "a", "text": "x"})], 4400),
    "another version": ([("start", {"version": 2})], 4406),
    "a sample rate that is not given": ([("start", {"version": 1, "sample_rate": 11_025})], 4406),
    "a giant message": ([START, OPEN, ("text", {"id": "a", "text": "x" * 70_000})], 1009),
    "something after finish": ([START, OPEN, ("text", {"id": "a", "text": "x"}), ("finish", {}), OPEN], 4400),
}


@pytest.mark.parametrize("name", CLOSED)
async def test_a_client_that_breaks_the_protocol_is_closed_with_the_documented_code(name: str):
    said, code = CLOSED[name]
    async with running_service(max_message_bytes=65_536) as running:
        running.engine.go.clear()
        if "end" in name:
            # It must still be under way.
            running.engine.synthesize = lambda text, options: _never()  # pyright: ignore[reportAttributeAccessIssue]
        async with raw(running) as talk:
            for item in said:
                await (talk.say(item[0], **item[1]) if isinstance(item, tuple) else talk.socket.send(item))
            assert await talk.close_code() == code
        await at_rest(running)


async def _never():
    await asyncio.Event().wait()
    yield


async def test_the_reason_says_what_was_wrong():
    async with running_service() as running, raw(running) as talk:
        await talk.say("start", version=1, sample_rate=11_025)
        (told,) = await talk.hear_all()
        assert told["type"] == "error" and told["code"] == "unsupported" and "id" not in told
        assert told["message"] == talk.socket.close_reason and "48000" in told["message"]


async def test_one_connection_too_many_is_closed_at_once_and_a_free_place_is_taken():
    async with running_service(max_connections=2) as running:
        async with talking(running), talking(running), raw(running) as third:
            assert await third.close_code() == 4429
        await at_rest(running)
        async with talking(running) as talk:
            await talk.speak("a", "one")
            assert (await talk.hear_stream("a")).last["type"] == "done"
        assert running.metric("voice_tts_refused_total", code="too_many") == 1


async def test_the_token_is_wanted_and_pages_of_other_sites_are_not():
    async with running_service(token="a-secret-token") as running:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            async with raw(running, additional_headers=headers) as talk:
                assert await talk.close_code() == 4401
        right = {"Authorization": "Bearer a-secret-token"}
        async with raw(running, additional_headers=right, origin="https://evil.example") as talk:
            assert await talk.close_code() == 4401
        async with raw(running, additional_headers=right) as talk:
            await talk.say("start", version=1)
            assert (await talk.hear())["type"] == "ready"


async def test_a_client_that_never_starts_is_closed():
    async with running_service(idle_secs=0.3) as running, raw(running) as talk:
        assert await talk.close_code() == 4408


async def test_a_stream_whose_text_stops_is_given_up_and_one_that_is_only_slow_to_speak_is_not():
    async with running_service(idle_secs=0.3) as running, talking(running) as talk:
        running.engine.go.clear()
        await talk.speak("slow", "one")
        await talk.say("speak", id="a")
        for _ in range(4):
            await talk.say("text", id="a", text="x")
            await asyncio.sleep(0.15)
        refused = (await talk.hear_stream("a")).last
        assert refused["code"] == "idle" and "text" in refused["message"]
        await asyncio.sleep(0.5)
        running.engine.go.set()
        assert (await talk.hear_stream("slow")).last["type"] == "done"
        await at_rest_engine(running)


async def at_rest_engine(running: RunningService) -> None:
    await until(lambda: running.engine.running == 0)


async def test_no_more_is_made_than_the_client_wants_ahead():
    async with running_service(idle_secs=0.6) as running, talking(running) as talk:
        await talk.speak("a", "word " * 30, ahead_secs=0.5)
        pcm = b""
        for _ in range(6):
            pcm += (await talk.hear_any())[1]
        assert len(pcm) == 5 * WORD * 2
        await asyncio.sleep(0.1)
        assert running.engine.words <= 6, "the engine is not asked for more"
        await talk.say("heard", id="a", samples=3 * WORD)
        for _ in range(3):
            pcm += (await talk.hear_any())[1]
        assert pcm == sound(0, 8 * WORD) and running.engine.words <= 9
        refused = (await talk.hear_stream("a")).last
        assert refused["code"] == "idle" and "heard" in refused["message"], "it would hold its place for ever"
        await at_rest_engine(running)
        await talk.speak("b", "word " * 30, ahead_secs=0.5)
        await talk.say("heard", id="b", samples=10**9)
        await talk.say("heard", id="never was", samples=1)
        assert (await talk.hear_stream("b")).last["samples"] == 30 * WORD


async def test_too_many_streams_of_one_connection_are_refused():
    async with running_service(max_streams=2) as running, talking(running) as talk:
        running.engine.go.clear()
        for name in "abc":
            await talk.speak(name, "one")
        assert (await talk.hear_stream("c")).last["code"] == "busy"
        running.engine.go.set()
        assert {heard.last["type"] for heard in (await talk.hear_streams("a", "b")).values()} == {"done"}


@pytest.mark.parametrize("reads_again", [True, False])
async def test_a_client_that_does_not_read_is_closed_and_others_do_not_notice(
    reads_again: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(service_websockets, "LINGER_SECS", 3.0 if reads_again else 0.2)
    voice = FakeVoice()
    async with (
        running_service(voice, slow_secs=0.5) as running,
        silent_client(running.port, PATH) as (reader, writer),
        talking(running) as other,
    ):
        writer.write(frame(message("start", version=1)))
        writer.write(frame(message("speak", id="a")))
        writer.write(frame(message("text", id="a", text="long " * 500)))
        await until(lambda: voice.words > 2)
        for _ in range(5):
            await other.speak("b", "one two three")
            assert (await other.hear_stream("b")).last["samples"] == 3 * WORD
            await asyncio.sleep(0.05)
        await until(lambda: running.metric("voice_tts_refused_total", code="slow_reader") == 1)
        assert voice.words < 100, "it was not asked for what nobody reads"
        await until(lambda: voice.running == 0 and running.service.state.connections == 1)
        if reads_again:
            async with asyncio.timeout(8):
                told = await reader.read(-1)
            assert struct.pack("!H", 4413) in told[-200:]
        else:
            await asyncio.sleep(0.3)


async def test_a_client_that_goes_takes_its_streams_with_it():
    async with running_service() as running:
        running.engine.go.clear()
        async with talking(running) as talk:
            await talk.speak("a", "one")
            await talk.say("speak", id="b")
            await talk.say("text", id="b", text="one")
            await until(lambda: running.engine.running == 2)
            talk.socket.transport.abort()
        await at_rest(running)
        assert running.engine.cancelled == 2


async def test_a_client_from_whom_not_even_a_pong_comes_is_closed():
    async with running_service(idle_secs=0.4) as running, silent_client(running.port, PATH) as (reader, writer):
        writer.write(frame(message("start", version=1)))
        async with asyncio.timeout(5):
            assert struct.pack("!H", 4408) in await reader.read(-1)
        await at_rest(running)


async def test_a_fault_of_ours_closes_the_connection_and_is_logged_without_its_words():
    from loguru import logger

    lines: list[str] = []
    sink = logger.add(lines.append, level="INFO")
    try:
        async with running_service(FakeVoice(error=ValueError("secret words"))) as running, talking(running) as talk:
            await talk.speak("a", "one")
            assert await talk.close_code() == 1011
            await at_rest(running)
    finally:
        logger.remove(sink)
    assert "ValueError" in "".join(lines) and "secret" not in "".join(lines)


async def test_a_drain_lets_what_runs_end_and_sends_everybody_elsewhere():
    async with running_service(drain_secs=5) as running, talking(running) as busy, talking(running) as idle:
        running.engine.go.clear()
        await busy.say("speak", id="a")
        await busy.say("text", id="a", text="one")
        await until(lambda: running.engine.running == 1)
        assert (await busy.hear())["type"] == "started"
        draining = asyncio.create_task(running.drain())
        assert [await busy.hear(), await idle.hear()] == [{"type": "draining"}] * 2
        assert await idle.close_code() == 1001
        await busy.speak("b", "one")
        assert (await busy.hear_stream("b")).last["code"] == "draining"
        async with raw(running) as late:
            assert await late.close_code() == 4503
        running.engine.go.set()
        await busy.say("end", id="a")
        assert (await busy.hear_stream("a")).last["samples"] == WORD
        assert await busy.close_code() == 1001
        await draining


async def test_a_drain_does_not_wait_for_ever():
    async with running_service(drain_secs=0.3) as running, talking(running) as talk:
        await talk.say("speak", id="a")
        await until(lambda: running.engine.running == 1)
        await running.drain()
        assert await talk.close_code() == 1001
        await at_rest(running)


async def test_an_engine_that_is_late_is_counted_and_a_text_that_is_late_is_not():
    async with running_service() as running, talking(running) as talk:
        await talk.say("speak", id="a")
        await talk.say("text", id="a", text="one")
        await talk.hear_any()
        await talk.hear_any()
        await asyncio.sleep(0.2)
        await talk.say("text", id="a", text="two")
        await talk.say("end", id="a")
        last = {}
        while last.get("type") != "done":
            last, _ = await talk.hear_any()
        assert last["underruns"] == 0
        running.engine.held_after = 3
        await talk.speak("b", "one two")
        await until(lambda: running.engine.words == 3)
        await asyncio.sleep(0.3)
        running.engine.go.set()
        done = (await talk.hear_stream("b")).last
        assert done["underruns"] == 1 and 0.1 < done["underrun_secs"] < 0.4
        assert running.metric("voice_tts_underruns_total") == 1
