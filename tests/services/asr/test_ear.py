"""Server endpointing with the real VAD and an engine that only counts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
import soundfile

from configs.settings import Settings
from engines.protocol import TranscriptionOptions
from engines.vad import SileroVad
from services.asr.ear import Ear
from services.asr.messages import Start
from services.asr.service import AsrService
from services.asr.session import Works
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
        talk.socket.transport.abort()
        await until(lambda: running.service.state.connections == 0 and running.engine.running == 0)


async def test_speech_whose_audio_stops_is_answered_and_what_comes_later_is_heard():
    async with running_service(vad=True, stop_secs=0.2) as running, hearing(running) as talk:
        said = silence(0.5) + speech()[: 2 * RATE]
        for number in (1, 2):
            await pour(talk, said)
            told = [await talk.hear(5) for _ in range(3)]
            assert [message["type"] for message in told] == ["speech_started", "speech_stopped", "final"]
            assert {message["id"] for message in told} == {f"speech-{number}"}
            assert told[1]["at"] <= number * len(said) / 2 / RATE, "time passes with the samples"
        assert not talk.socket.close_code
        (first, _), (second, _) = running.engine.asked
        assert first in said and len(first) > RATE and len(second) > RATE


async def test_long_messages_may_come_far_apart():
    async with running_service(vad=True, stop_secs=0.2) as running, hearing(running) as talk:
        await pour(talk, silence(0.5) + speech()[: 6 * RATE], 2 * 2 * RATE)
        assert (await talk.hear())["type"] == "speech_started"
        with pytest.raises(TimeoutError):
            await talk.hear(1.6)
        assert (await talk.hear(5))["type"] == "speech_stopped"


@pytest.mark.parametrize("before", [b"", silence(0.5)])
async def test_a_client_that_sends_no_audio_is_closed(before: bytes):
    async with running_service(vad=True, idle_secs=0.5) as running, hearing(running) as talk:
        await talk.socket.send(before)
        await talk.say("cancel", id="speech-9")
        (told,) = await talk.hear_all()
        assert told["code"] == "idle" and "no audio came for 0.5 s" in told["message"]
        assert await talk.close_code() == 4408


async def test_a_client_that_sends_silence_or_waits_for_an_answer_is_not_closed():
    async with running_service(vad=True, idle_secs=0.6, stop_secs=0.2) as running, hearing(running) as talk:
        for _ in range(6):
            await asyncio.sleep(0.2)
            await talk.socket.send(silence(0.2))
        running.engine.go.clear()
        await pour(talk, speech()[: 2 * RATE] + silence(1))
        assert [(await talk.hear())["type"] for _ in range(2)] == ["speech_started", "speech_stopped"]
        await until(lambda: running.engine.running == 1)
        await asyncio.sleep(1.5)
        running.engine.go.set()
        assert (await talk.hear())["type"] == "final"
        assert await talk.close_code() == 4408


@pytest.mark.parametrize("partials", [False, True])
async def test_a_cancelled_utterance_is_passed_over_and_the_next_is_heard(partials: bool):
    async with running_service(vad=True) as running, hearing(running, partials=partials) as talk:
        await pour(talk, silence(0.5) + speech()[: 2 * RATE])
        assert (await talk.hear())["id"] == "speech-1"
        await talk.say("cancel", id="speech-1")
        await pour(talk, speech()[2 * RATE : 4 * RATE] + silence(2))
        asked = len(running.engine.asked)
        await pour(talk, speech()[: 2 * RATE])
        await talk.say("finish")
        told = [message for message in await talk.hear_all() if message["type"] != "partial"]
        assert [(message["type"], message["id"]) for message in told] == [
            (kind, "speech-2") for kind in ("speech_started", "speech_stopped", "final")
        ]
        assert asked <= 1 and len([options for _, options in running.engine.asked if not options.partial]) == 1


async def test_what_is_cancelled_is_not_kept():
    service = AsrService(Settings())
    service.vad = vad = SileroVad()
    says: list[Any] = []
    works = Works(service, says.append, says.append)
    ear = Ear(Start(type="start", version=1, sample_rate=RATE), TranscriptionOptions(), works, vad)
    await ear.hear(silence(0.5) + speech()[: 2 * RATE])
    assert [message["type"] for message in says] == ["speech_started"]
    ear.cancel("speech-1")
    await ear.hear(speech()[2 * RATE : 6 * RATE])
    assert len(ear._kept) < 2 * RATE and len(says) == 1
    await service.close()


async def test_a_cancelled_utterance_that_waits_for_its_answer_gets_none():
    async with running_service(vad=True) as running, hearing(running) as talk:
        running.engine.go.clear()
        await pour(talk, silence(0.5) + speech()[: 2 * RATE] + silence(1))
        assert [(await talk.hear())["type"] for _ in range(2)] == ["speech_started", "speech_stopped"]
        await until(lambda: running.engine.running == 1)
        await talk.say("cancel", id="speech-1")
        await until(lambda: running.engine.cancelled == 1)
        await talk.say("finish")
        assert await talk.hear_all() == [] and await talk.close_code() == 1000
