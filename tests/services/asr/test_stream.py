"""The WebSocket, with an engine whose answers are known: every message, every limit, every way to go wrong."""

import asyncio
import struct
from typing import Any

import pytest

from engines.errors import EngineBusy, EngineFailed, EngineOvertaken, EngineRefused
from services.common import websockets as service_websockets
from tests.services.asr.fake import SECOND, FakeEngine, RunningService, raw, running_service, talking, until
from tests.services.serving import frame, silent_client

PATH = "/v1/stream/asr"


async def at_rest(running: RunningService) -> None:
    """Everything of the connections is gone."""
    await until(lambda: running.engine.running == 0 and running.service.queue_size == 0)
    await until(lambda: running.service.state.connections == 0)
    assert running.metric("voice_asr_connections") == 0 and running.metric("voice_asr_queue_size") == 0


async def test_an_utterance_comes_back_with_everything_of_its_transcript():
    async with running_service() as running, talking(running) as talk:
        await talk.utter("a", SECOND, hotwords="Ada", word_timestamps=True, temperatures=[0, 0.4])
        final = await talk.hear()
    assert final.pop("has_room") is True
    assert final == {
        "type": "final",
        "id": "a",
        "text": "16000 samples",
        "language": "en",
        "avg_logprob": -0.25,
        "no_speech_prob": 0.125,
        "audio_secs": 1.0,
        "queue_secs": 0.01,
        "compute_secs": 0.02,
        "language_probability": 0.5,
        "segments": [
            {
                "text": "16000 samples",
                "start": 0.0,
                "end": 1.0,
                "avg_logprob": -0.25,
                "no_speech_prob": 0.125,
                "compression_ratio": 1.5,
                "temperature": 0.0,
                "tokens": [1, 2],
            }
        ],
        "words": [{"text": "16000", "start": 0.0, "end": 1.0, "probability": 0.75}],
        "gate": None,
        "batch_size": 3,
        "passes": 2,
        "features_secs": 0.001,
        "encode_secs": 0.002,
        "decode_secs": 0.003,
    }
    ((pcm, options),) = running.engine.asked
    assert pcm == SECOND
    assert options.hotwords == "Ada" and options.word_timestamps and options.temperatures == (0, 0.4)
    assert options.stream and options.stream.endswith("/a") and not options.partial
    await at_rest(running)


async def test_the_start_has_defaults_that_an_utterance_overrides():
    async with running_service() as running, talking(running, language="en", prompt="before") as talk:
        await talk.utter("a")
        await talk.utter("b", prompt="other", stream="call", partial=True)
        await talk.hear()
        await talk.hear()
    first, second = (options for _, options in running.engine.asked)
    assert (first.language, first.prompt, first.partial) == ("en", "before", False)
    assert (second.language, second.prompt, second.partial) == ("en", "other", True)
    assert second.stream and second.stream.endswith("/call")


async def test_streams_of_two_connections_with_one_name_are_two():
    async with running_service() as running, talking(running) as one, talking(running) as two:
        for talk in (one, two):
            await talk.utter("a", stream="call")
            await talk.hear()
    assert len({options.stream for _, options in running.engine.asked}) == 2


async def test_many_utterances_are_under_way_at_once_and_answered_by_id():
    async with running_service() as running, talking(running) as talk:
        running.engine.go.clear()
        for number in range(1, 9):
            await talk.utter(str(number), SECOND[: 2 * number])
        await until(lambda: running.engine.running == 8)
        assert running.service.queue_size == 8
        running.engine.go.set()
        answers = [await talk.hear() for _ in range(8)]
    assert {answer["id"]: answer["text"] for answer in answers} == {str(n): f"{n} samples" for n in range(1, 9)}


@pytest.mark.parametrize("rate", [8_000, 24_000, 44_100, 48_000])
async def test_other_sample_rates_are_resampled_without_losing_a_millisecond(rate: int):
    async with running_service() as running, talking(running, sample_rate=rate) as talk:
        await talk.say("utterance", id="a")
        second = b"\x10\x00" * rate
        for at in range(0, len(second), 962):
            await talk.socket.send(second[at : at + 962])
        await talk.say("end", id="a")
        await talk.hear()
    ((pcm, _),) = running.engine.asked
    assert abs(len(pcm) // 2 - 16_000) <= 16


async def test_partials_come_while_the_audio_does_and_their_stable_part_grows():
    async with running_service() as running, talking(running, partials=True) as talk:
        await talk.say("utterance", id="a")
        heard: list[dict[str, Any]] = []
        for text in ("one two", "one two tree", "one two three four"):
            running.engine.text = text
            await talk.socket.send(SECOND)
            heard.append(await talk.hear())
        await talk.say("end", id="a")
        final = await talk.hear()
        assert [(partial["stable"], partial["unstable"]) for partial in heard] == [
            ("", "one two"),
            ("one two", "tree"),
            ("one two", "three four"),
        ]
        assert final["type"] == "final" and all(partial["type"] == "partial" for partial in heard)
        assert [options.partial for _, options in running.engine.asked] == [True, True, True, False]
        assert len({options.stream for _, options in running.engine.asked}) == 1
        assert running.metric("voice_asr_partials_total", outcome="sent") == 3


async def test_without_room_there_are_no_partials():
    async with running_service(FakeEngine(has_room=False)) as running, talking(running, partials=True) as talk:
        await talk.say("utterance", id="a")
        await talk.socket.send(SECOND)
        await until(lambda: running.metric("voice_asr_partials_total", outcome="dropped") >= 2)
        await talk.say("end", id="a")
        assert (await talk.hear())["type"] == "final"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (EngineBusy("full"), "busy"),
        (EngineRefused("no"), "refused"),
        (EngineFailed("oh"), "failed"),
        (EngineOvertaken("late"), "overtaken"),
    ],
)
async def test_an_engine_error_is_of_its_utterance_only(error: Exception, code: str):
    async with running_service(FakeEngine(error=error)) as running, talking(running) as talk:
        await talk.utter("a")
        answer = await talk.hear()
        assert answer == {"type": "error", "id": "a", "code": code, "message": str(error)}
        running.engine.error = None
        await talk.utter("b")
        assert (await talk.hear())["type"] == "final"
        assert running.metric("voice_asr_requests_total", way="stream", outcome=code) == 1


async def test_a_cancelled_utterance_is_dropped_and_not_answered():
    async with running_service() as running, talking(running) as talk:
        running.engine.go.clear()
        await talk.utter("a")
        await until(lambda: running.engine.running == 1)
        await talk.say("cancel", id="a")
        await until(lambda: running.engine.cancelled == 1)
        await talk.say("utterance", id="b")
        await talk.say("cancel", id="b")
        # Audio of it that was on its way is passed over.
        await talk.socket.send(bytes(640))
        await talk.say("cancel", id="never was")
        running.engine.go.set()
        await talk.utter("c")
        assert (await talk.hear())["id"] == "c"


async def test_finish_answers_everything_and_closes():
    async with running_service() as running, talking(running) as talk:
        running.engine.go.clear()
        await talk.utter("a")
        await talk.say("finish")
        await until(lambda: running.engine.running == 1)
        running.engine.go.set()
        assert [message["id"] for message in await talk.hear_all()] == ["a"]
        assert await talk.close_code() == 1000


async def test_fifty_connections_with_ten_utterances_each():
    async def call(running: RunningService, number: int) -> None:
        async with talking(running) as talk:
            for index in range(10):
                await talk.utter(str(index), SECOND[: 2 * (10 * number + index)])
            heard = [await talk.hear() for _ in range(10)]
            assert {message["text"] for message in heard} == {f"{10 * number + index} samples" for index in range(10)}

    async with running_service() as running:
        await asyncio.gather(*(call(running, number) for number in range(50)))
        await at_rest(running)


async def test_a_client_that_goes_after_finish_takes_its_work_with_it():
    async with running_service() as running:
        running.engine.go.clear()
        async with talking(running) as talk:
            await talk.utter("a")
            await talk.say("finish")
            await until(lambda: running.engine.running == 1)
            talk.socket.transport.abort()
        await at_rest(running)
        assert running.engine.cancelled == 1


UTTERANCE_ERRORS = {
    "half a sample": ([("utterance", {"id": "a"}), b"\x00" * 3], "odd_audio"),
    "too long": ([("utterance", {"id": "a"}), SECOND, SECOND, b"\x00" * 32_002], "too_long"),
    "an end of nothing": ([("end", {"id": "a"})], "unknown_id"),
    "an option that cannot be": ([("utterance", {"id": "a", "beam_size": 99}), SECOND], "refused"),
    "a prompt that is too long": ([("utterance", {"id": "a", "prompt": "x" * 10_001})], "refused"),
}


@pytest.mark.parametrize("name", UTTERANCE_ERRORS)
async def test_a_wrong_utterance_is_refused_and_the_connection_goes_on(name: str):
    said, code = UTTERANCE_ERRORS[name]
    async with running_service(max_utterance_secs=3) as running, talking(running) as talk:
        for message in said:
            await (talk.socket.send(message) if isinstance(message, bytes) else talk.say(message[0], **message[1]))
        answer = await talk.hear()
        assert (answer["type"], answer["id"], answer["code"]) == ("error", "a", code)
        if code != "unknown_id":
            await talk.socket.send(SECOND)  # It belongs to the refused utterance, and is passed over.
            await talk.say("end", id="a")
        await talk.utter("b")
        assert (await talk.hear())["text"] == "16000 samples"
        assert len(running.engine.asked) == 1


START = ("start", {"version": 1, "sample_rate": 16_000})
CLOSED = {
    "audio before start": ([SECOND], 4400),
    "an utterance before start": ([("utterance", {"id": "a"})], 4400),
    "not JSON": (["hello"], 4400),
    "JSON, but no object": (["[1]"], 4400),
    "an unknown message": ([START, ("sing", {})], 4400),
    "an unknown field": ([("start", {"version": 1, "sample_rate": 16_000, "colour": "red"})], 4400),
    "a number as text": ([("start", {"version": "1", "sample_rate": 16_000})], 4400),
    "start twice": ([START, START], 4400),
    "audio of no utterance": ([START, SECOND], 4400),
    "two utterances open": ([START, ("utterance", {"id": "a"}), ("utterance", {"id": "b"})], 4400),
    "one id twice": ([START, ("utterance", {"id": "a"}), ("end", {"id": "a"}), ("utterance", {"id": "a"})], 4400),
    "an utterance without an id": ([START, ("utterance", {})], 4400),
    "another version": ([("start", {"version": 2, "sample_rate": 16_000})], 4406),
    "a sample rate that is not taken": ([("start", {"version": 1, "sample_rate": 11_025})], 4406),
    "a giant message": ([START, ("utterance", {"id": "a"}), b"\x00" * 70_000], 1009),
    "something after finish": ([START, ("utterance", {"id": "a"}), ("end", {"id": "a"}), ("finish", {}), SECOND], 4400),
    "an utterance with server endpointing": (
        [("start", {"version": 1, "sample_rate": 16_000, "endpointing": "server"}), ("utterance", {"id": "a"})],
        4400,
    ),
    "deep JSON": (["[" * 60_000], 4400),
}


@pytest.mark.parametrize("name", CLOSED)
async def test_a_client_that_breaks_the_protocol_is_closed_with_the_documented_code(name: str):
    said, code = CLOSED[name]
    engine = FakeEngine()
    engine.go.clear()
    async with running_service(engine, max_message_bytes=65_536, vad=True) as running:
        async with raw(running) as talk:
            for message in said:
                if isinstance(message, tuple):
                    await talk.say(message[0], **message[1])
                else:
                    await talk.socket.send(message)
            assert await talk.close_code() == code
        await at_rest(running)


async def test_the_reason_says_what_was_wrong():
    async with running_service() as running, raw(running) as talk:
        await talk.say("start", version=1, sample_rate=11_025)
        (told,) = await talk.hear_all()
        assert told["type"] == "error" and told["code"] == "unsupported" and "id" not in told
        assert told["message"] == talk.socket.close_reason
        assert "11025" in told["message"] and "48000" in told["message"]


async def test_one_connection_too_many_is_closed_at_once_and_a_free_place_is_taken():
    async with running_service(max_connections=2) as running:
        async with talking(running), talking(running):
            async with raw(running) as third:
                assert await third.close_code() == 4429
            assert running.metric("voice_asr_connections") == 2
        await at_rest(running)
        async with talking(running) as talk:
            await talk.utter("a")
            assert (await talk.hear())["type"] == "final"
        assert running.metric("voice_asr_refused_total", code="too_many") == 1


async def test_the_token_is_wanted_and_pages_of_other_sites_are_not():
    async with running_service(token="a-secret-token") as running:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic a-secret-token"}):
            async with raw(running, additional_headers=headers) as talk:
                assert await talk.close_code() == 4401
        right = {"Authorization": "Bearer a-secret-token"}
        async with raw(running, additional_headers=right, origin="https://evil.example") as talk:
            assert await talk.close_code() == 4401
        async with raw(running, additional_headers=right) as talk:
            await talk.say("start", version=1, sample_rate=16_000)
            assert (await talk.hear())["type"] == "ready"


async def test_a_client_that_never_starts_is_closed():
    async with running_service(idle_secs=0.3) as running, raw(running) as talk:
        assert await talk.close_code() == 4408


async def test_an_utterance_whose_audio_stops_is_given_up_and_a_client_that_only_pongs_stays():
    async with running_service(idle_secs=0.3) as running, talking(running) as talk:
        await talk.say("utterance", id="a")
        await talk.socket.send(SECOND)
        assert (await talk.hear())["code"] == "idle"
        await talk.say("end", id="a")
        await asyncio.sleep(1)
        await talk.utter("b")
        assert (await talk.hear())["id"] == "b"


async def test_a_client_from_whom_not_even_a_pong_comes_is_closed():
    async with running_service(idle_secs=0.4) as running, silent_client(running.port, PATH) as (reader, writer):
        writer.write(frame(b'{"type":"start","version":1,"sample_rate":16000}', 1))
        async with asyncio.timeout(5):
            told = await reader.read(-1)
        assert struct.pack("!H", 4408) in told
        await at_rest(running)
        assert running.metric("voice_asr_refused_total", code="idle") == 1


@pytest.mark.parametrize("reads_again", [True, False])
async def test_a_client_that_does_not_read_is_closed_and_holds_nothing(
    reads_again: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(service_websockets, "LINGER_SECS", 3.0 if reads_again else 0.2)
    wordy = FakeEngine(text="word " * 60_000)
    async with (
        running_service(wordy, max_outgoing=8, idle_secs=60) as running,
        silent_client(running.port, PATH) as (reader, writer),
    ):
        writer.write(frame(b'{"type":"start","version":1,"sample_rate":16000}', 1))
        for number in range(60):
            writer.write(frame(b'{"type":"utterance","id":"%d"}' % number, 1))
            writer.write(frame(b'{"type":"end","id":"%d"}' % number, 1))
        await until(lambda: running.metric("voice_asr_refused_total", code="slow_reader") == 1)
        await at_rest(running)
        if reads_again:
            async with asyncio.timeout(8):
                told = await reader.read(-1)
            assert struct.pack("!H", 4413) in told[-200:]
        else:
            await asyncio.sleep(0.3)


async def test_a_connection_that_is_cut_takes_its_work_with_it():
    async with running_service() as running:
        running.engine.go.clear()
        async with talking(running, partials=True) as talk:
            await talk.utter("a")
            await talk.say("utterance", id="b")
            await talk.socket.send(SECOND)
            await until(lambda: running.engine.running == 2)
            talk.socket.transport.abort()
        await at_rest(running)
        assert running.engine.cancelled == 2


async def test_too_many_utterances_of_one_connection_are_refused():
    async with running_service(max_in_flight=2) as running, talking(running) as talk:
        running.engine.go.clear()
        for name in "abc":
            await talk.utter(name)
        refused = await talk.hear()
        assert (refused["id"], refused["code"]) == ("c", "busy")
        running.engine.go.set()
        assert {(await talk.hear())["id"] for _ in range(2)} == {"a", "b"}


async def test_a_fault_of_ours_closes_the_connection_and_is_logged_without_its_words(caplog: pytest.LogCaptureFixture):
    from loguru import logger

    lines: list[str] = []
    sink = logger.add(lines.append, level="INFO")
    try:
        async with running_service(FakeEngine(error=ValueError("secret words"))) as running, talking(running) as talk:
            await talk.utter("a")
            assert await talk.close_code() == 1011
            await at_rest(running)
    finally:
        logger.remove(sink)
    assert "ValueError" in "".join(lines) and "secret" not in "".join(lines)


async def test_a_drain_lets_what_runs_end_and_sends_everybody_elsewhere():
    async with running_service(drain_secs=5) as running, talking(running) as busy, talking(running) as idle:
        running.engine.go.clear()
        await busy.utter("a")
        await until(lambda: running.engine.running == 1)
        draining = asyncio.create_task(running.drain())
        assert [await busy.hear(), await idle.hear()] == [{"type": "draining"}] * 2
        assert await idle.close_code() == 1001
        await busy.utter("b")
        refused = await busy.hear()
        assert (refused["id"], refused["code"]) == ("b", "draining")
        async with raw(running) as late:
            assert await late.close_code() == 4503
        running.engine.go.set()
        assert (await busy.hear())["id"] == "a"
        assert await busy.close_code() == 1001
        await draining


async def test_a_drain_does_not_wait_for_ever():
    async with running_service(drain_secs=0.3) as running, talking(running) as talk:
        running.engine.go.clear()
        await talk.utter("a")
        await until(lambda: running.engine.running == 1)
        await running.drain()
        assert await talk.close_code() == 1001
        await at_rest(running)
