"""Server endpointing with the real VAD and an engine that only counts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
import soundfile

from tests.conftest import AUDIO
from tests.services.asr.fake import RunningService, Talk, running_service, talking, until

RATE = 16_000


def speech() -> bytes:
    samples, rate = soundfile.read(AUDIO / "librivox-0870.wav", dtype="int16")
    assert rate == RATE
    return samples.astype("<i2").tobytes()


def silence(secs: float) -> bytes:
    return bytes(2 * int(secs * RATE))


async def pour(talk: Talk, pcm: bytes, piece: int = 3202) -> None:
    for at in range(0, len(pcm), piece):
        await talk.socket.send(pcm[at : at + piece])


@asynccontextmanager
async def hearing(running: RunningService, **start: object) -> AsyncIterator[Talk]:
    async with talking(running, endpointing="server", **start) as talk:
        yield talk


async def test_what_is_transcribed_is_the_speech_with_a_little_before_and_after():
    async with running_service(vad=True, max_utterance_secs=30, stop_secs=1.0) as running, hearing(running) as talk:
        audio = silence(2) + speech() + silence(2)
        await pour(talk, audio)
        started, stopped, final = [await talk.hear() for _ in range(3)]
        assert (started["type"], stopped["type"], final["type"]) == ("speech_started", "speech_stopped", "final")
        assert started["id"] == stopped["id"] == final["id"] and not stopped["cut"]
        assert 2.0 <= started["at"] <= 2.5 and 8.0 <= stopped["at"] <= 9.3
        ((pcm, options),) = running.engine.asked
        at = audio.find(pcm)
        assert at >= 0 and at % 2 == 0, "it is one stretch of what was sent"
        assert 0.2 <= started["at"] - at / 2 / RATE <= 0.4
        assert options.partial is False


async def test_speech_without_a_pause_is_cut_without_losing_a_sample():
    async with running_service(vad=True, max_utterance_secs=2, stop_secs=1.0) as running, hearing(running) as talk:
        audio = silence(1) + speech() + silence(1)
        await pour(talk, audio)
        await talk.say("finish")
        told = await talk.hear_all()
        assert any(message.get("cut") for message in told) and await talk.close_code() == 1000
        pieces = [pcm for pcm, _ in running.engine.asked]
        assert len(pieces) >= 3 and all(len(pcm) <= 2 * 2 * RATE for pcm in pieces)
        finals = [message["id"] for message in told if message["type"] == "final"]
        assert sorted(finals) == sorted(message["id"] for message in told if message["type"] == "speech_started")
        for earlier, message in zip(pieces, [m for m in told if m["type"] == "speech_stopped"], strict=False):
            later = pieces[pieces.index(earlier) + 1 :]
            assert not message["cut"] or earlier + later[0] in audio


async def test_the_end_of_the_stream_ends_what_is_being_said():
    async with running_service(vad=True) as running, hearing(running) as talk:
        await pour(talk, silence(0.5) + speech()[: 2 * RATE])
        await talk.say("finish")
        assert [message["type"] for message in await talk.hear_all()] == ["speech_started", "speech_stopped", "final"]


async def test_silence_costs_nothing_and_is_not_kept():
    async with running_service(vad=True, max_utterance_secs=2) as running, hearing(running, partials=True) as talk:
        noise = (np.random.default_rng(3).normal(0, 20, 20 * RATE)).astype("<i2").tobytes()
        await pour(talk, noise, 64_000)
        await talk.say("finish")
        assert await talk.hear_all() == [] and running.engine.asked == []


async def test_half_a_sample_closes_the_connection_as_there_is_no_utterance_to_blame():
    async with running_service(vad=True) as running, hearing(running) as talk:
        await talk.socket.send(b"\x00" * 321)
        assert await talk.close_code() == 4400


async def test_a_drain_answers_what_was_being_said():
    async with running_service(vad=True, drain_secs=5) as running, hearing(running) as talk:
        await pour(talk, silence(0.5) + speech()[: 2 * RATE])
        assert (await talk.hear())["type"] == "speech_started"
        draining = asyncio.create_task(running.drain())
        assert [message["type"] for message in await talk.hear_all()] == ["draining", "speech_stopped", "final"]
        assert await talk.close_code() == 1001
        await draining


@pytest.mark.parametrize("partials", [False, True])
async def test_partials_come_where_they_are_wanted(partials: bool):
    async with running_service(vad=True) as running, hearing(running, partials=partials) as talk:
        await pour(talk, silence(0.5) + speech()[: 3 * RATE])
        assert (await talk.hear())["type"] == "speech_started"
        if partials:
            assert (await talk.hear())["type"] == "partial"
        await talk.say("cancel", id="speech-1")
        talk.socket.transport.abort()
        await until(lambda: running.service.state.connections == 0 and running.engine.running == 0)
