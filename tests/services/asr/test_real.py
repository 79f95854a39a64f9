"""The service as operators run it, with real weights and real speech."""

import asyncio
import itertools
import json
import re
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import jiwer
import pytest
import soundfile
from openai import APIStatusError, AsyncOpenAI
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from engines.protocol import TranscriptionOptions
from engines.remote import RemoteSpeechToText
from tests.conftest import AUDIO, SPOKEN
from tests.services.asr.process import (
    ROOT,
    STOP_SECS,
    ServiceProcess,
    command,
    environment,
    free_port,
    service_process,
)

SHORT = "librivox-0880.wav"
SPEAKERS = 10
"""Of fifty connections, who speak at once: the model takes a tenth of a second for each."""

WRONG_WORDS = 0.3
"""tiny.en mishears two of the eight words of the shortest recording now and then."""


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with service_process(free_port()) as running:
        yield running
        words = " ".join(running.lines).lower()
        assert "country" not in words and "disposed" not in words, "what was said is in the log"


def pcm_of(name: str) -> tuple[bytes, int]:
    samples, rate = soundfile.read(AUDIO / name, dtype="int16", always_2d=True)
    return samples[:, 0].astype("<i2").tobytes(), rate


def plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w' ]", " ", text.lower().replace("mr.", "mister")).split())


def errors(name: str, heard: str) -> float:
    """The word error rate."""
    return jiwer.wer(SPOKEN[name], plain(heard))


async def say(websocket: ClientConnection, kind: str, **fields: Any) -> None:
    await websocket.send(json.dumps({"type": kind, **fields}))


async def messages(websocket: ClientConnection) -> list[dict[str, Any]]:
    """Everything until the close."""
    heard: list[dict[str, Any]] = []
    try:
        async with asyncio.timeout(60):
            while True:
                heard.append(json.loads(await websocket.recv()))
    except ConnectionClosed:
        return heard


@pytest.fixture
async def openai(service: ServiceProcess, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncOpenAI]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with AsyncOpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("response_format", ["json", "text", "verbose_json", "srt", "vtt"])
async def test_openais_client_gets_every_format(openai: AsyncOpenAI, response_format: Any):
    wanted: dict[str, Any] = {"timestamp_granularities": ["word", "segment"]} if "verbose" in response_format else {}
    answer = await openai.audio.transcriptions.create(
        file=AUDIO / "jfk.flac", model="whisper-1", language="en", response_format=response_format, **wanted
    )
    text: Any = answer if isinstance(answer, str) else answer.text
    if response_format in ("srt", "vtt"):
        assert ("-->" in text) and text.startswith("1\n00:00:0" if response_format == "srt" else "WEBVTT\n\n00:00:0")
        text = re.sub(r"(?m)^(WEBVTT|\d+|.*-->.*)$", "", text)
    assert errors("jfk.flac", text) < WRONG_WORDS
    if response_format == "verbose_json":
        words: Any = answer.words  # pyright: ignore[reportAttributeAccessIssue]
        segments: Any = answer.segments  # pyright: ignore[reportAttributeAccessIssue]
        assert 0 <= words[0].start < words[-1].end <= 11.1 and len(words) > 15 and segments
        assert answer.duration == pytest.approx(11.0, abs=0.01)  # pyright: ignore[reportAttributeAccessIssue]


async def test_openais_client_understands_our_errors(openai: AsyncOpenAI):
    with pytest.raises(APIStatusError) as caught:
        await openai.audio.transcriptions.create(file=("a.wav", b"nothing"), model="whisper-1")
    assert caught.value.status_code == 400 and caught.value.code == "bad_audio" and caught.value.param == "file"
    with pytest.raises(APIStatusError) as caught:
        await openai.audio.transcriptions.create(file=AUDIO / SHORT, model="whisper-1", language="xx")
    assert caught.value.status_code == 400 and caught.value.code == "refused"


async def test_fifty_connections_at_once_are_all_answered_and_health_answers_meanwhile(service: ServiceProcess):
    pcm, rate = pcm_of(SHORT)
    connected = asyncio.Barrier(51)

    async def call(number: int) -> str:
        async with connect(service.socket_url, proxy=None, compression=None, ping_timeout=None) as websocket:
            await say(websocket, "start", version=1, sample_rate=rate)
            assert json.loads(await websocket.recv())["type"] == "ready"
            await connected.wait()
            await say(websocket, "utterance", id="a")
            for at in range(0, len(pcm) if number < SPEAKERS else 0, 32_000):
                await websocket.send(pcm[at : at + 32_000])
            await say(websocket, "end", id="a")
            return json.loads(await websocket.recv())["text"]

    calls = [asyncio.create_task(call(number)) for number in range(50)]
    async with httpx.AsyncClient(base_url=service.url, trust_env=False) as client:
        await connected.wait()
        async with connect(service.socket_url, proxy=None) as websocket:
            await messages(websocket)
            assert websocket.close_code == 4429
        slowest = 0.0
        while not all(call.done() for call in calls):
            began_at = time.monotonic()
            health = (await client.get("/health")).json()
            slowest = max(slowest, time.monotonic() - began_at)
            assert health["active_connections"] <= 50
            await asyncio.sleep(0.05)
        assert slowest < 2
        texts = [task.result() for task in calls]
        assert all(errors(SHORT, text) < WRONG_WORDS for text in texts[:SPEAKERS]) and not any(texts[SPEAKERS:])
        for _ in range(100):
            health = (await client.get("/health")).json()
            if not health["active_connections"]:
                break
            await asyncio.sleep(0.02)
        assert (health["active_connections"], health["queue_size"]) == (0, 0)


async def test_the_service_hears_by_itself_where_utterances_begin_and_end(service: ServiceProcess):
    pcm, rate = pcm_of("jfk.flac")
    silence = b"\x00" * (2 * rate)
    async with connect(service.socket_url, proxy=None, compression=None) as websocket:
        await say(websocket, "start", version=1, sample_rate=rate, endpointing="server", partials=True)
        heard = asyncio.create_task(messages(websocket))
        audio = silence + pcm + silence
        for at in range(0, len(audio), 4 * rate // 10):
            await websocket.send(audio[at : at + 4 * rate // 10])
            await asyncio.sleep(0.02)
        await say(websocket, "finish")
        told = await heard
        assert websocket.close_code == 1000
    started = [message for message in told if message["type"] == "speech_started"]
    stopped = [message for message in told if message["type"] == "speech_stopped"]
    finals = {message["id"]: message["text"] for message in told if message["type"] == "final"}
    assert [message["id"] for message in started] == [message["id"] for message in stopped] == sorted(finals)
    assert 1.0 <= started[0]["at"] <= 1.6 and 11.0 <= stopped[-1]["at"] <= 12.5
    assert errors("jfk.flac", " ".join(finals[message["id"]] for message in started)) < WRONG_WORDS


async def test_partials_grow_into_the_final_words(service: ServiceProcess):
    pcm, rate = pcm_of("librivox-0870.wav")
    async with connect(service.socket_url, proxy=None, compression=None) as websocket:
        await say(websocket, "start", version=1, sample_rate=rate, partials=True)
        await say(websocket, "utterance", id="a")
        heard = asyncio.create_task(messages(websocket))
        for at in range(0, len(pcm), rate // 5):
            await websocket.send(pcm[at : at + rate // 5])
            await asyncio.sleep(0.05)
        await say(websocket, "end", id="a")
        await say(websocket, "finish")
        told = await heard
    partials = [message for message in told if message["type"] == "partial"]
    stable = [partial["stable"] for partial in partials]
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(stable))
    assert len(partials) >= 2 and told[-1]["type"] == "final"
    assert errors("librivox-0870.wav", told[-1]["text"]) < WRONG_WORDS


async def test_an_utterance_outlives_a_service_that_is_killed_and_returns():
    pcm, _ = pcm_of("librivox-0870.wav")
    port = free_port()
    engine = RemoteSpeechToText([f"127.0.0.1:{port}"], timeout_secs=60)
    try:
        with service_process(port) as first:
            await engine.warm_up()
            calls = [asyncio.create_task(engine.transcribe(pcm)) for _ in range(4)]
            while not any(link.in_flight and link._outgoing.empty() for link in engine._links):
                await asyncio.sleep(0.001)
            first.process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(first.end)
        unanswered = [call for call in calls if not call.done()]
        assert unanswered, "it was too quick: nothing was under way any more"
        with ExitStack() as held:
            await asyncio.to_thread(held.enter_context, service_process(port))
            for transcript in await asyncio.gather(*calls):
                assert errors("librivox-0870.wav", transcript.text) < WRONG_WORDS
    finally:
        await engine.close()


async def test_when_one_of_two_services_is_killed_the_other_answers(service: ServiceProcess):
    pcm, _ = pcm_of(SHORT)
    with service_process(free_port()) as doomed:
        engine = RemoteSpeechToText([doomed.url, service.url], timeout_secs=60)
        try:
            await engine.warm_up()
            while not all(link.healthy for link in engine._links):
                await asyncio.sleep(0.01)
            calls = [
                asyncio.create_task(engine.transcribe(pcm, TranscriptionOptions(word_timestamps=True)))
                for _ in range(6)
            ]
            while not engine._links[0].in_flight:
                await asyncio.sleep(0.001)
            doomed.process.send_signal(signal.SIGKILL)
            for transcript in await asyncio.gather(*calls):
                assert errors(SHORT, transcript.text) < WRONG_WORDS and transcript.words
        finally:
            await engine.close()


async def test_at_sigterm_it_answers_what_runs_and_ends_with_0():
    samples, _ = pcm_of("librivox-0870.wav")
    with service_process(free_port()) as running:
        async with connect(running.socket_url, proxy=None, compression=None) as websocket:
            await say(websocket, "start", version=1, sample_rate=16_000)
            for number in range(4):
                await say(websocket, "utterance", id=str(number))
                await websocket.send(samples)
                await say(websocket, "end", id=str(number))
            assert json.loads(await websocket.recv())["type"] == "ready"
            async with httpx.AsyncClient(base_url=running.url, trust_env=False) as client:
                while (await client.get("/health")).json()["queue_size"] == 0:
                    await asyncio.sleep(0.001)
                running.process.send_signal(signal.SIGTERM)
                while (health := await client.get("/health")).status_code == 200:
                    await asyncio.sleep(0.001)
                assert health.json()["status"] == "draining"
            told = await messages(websocket)
            assert sorted(message["id"] for message in told if message["type"] == "final") == list("0123")
            assert websocket.close_code == 1001
        assert await asyncio.to_thread(running.end) == 0


async def test_at_sigterm_half_an_upload_is_not_waited_for():
    with service_process(free_port(), drain_secs="20") as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n")
        writer.write(b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n")
        await asyncio.sleep(0.3)
        began_at = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        assert (await reader.read(-1)).startswith(b"HTTP/1.1 503")
        assert await asyncio.to_thread(running.end) == 0 and time.monotonic() - began_at < 5
        writer.close()


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
async def test_a_second_signal_ends_it_at_once(second: signal.Signals):
    with service_process(free_port(), drain_secs="60") as running:
        async with connect(running.socket_url, proxy=None, compression=None) as websocket:
            await say(websocket, "start", version=1, sample_rate=16_000)
            await say(websocket, "utterance", id="never ended")
            running.process.send_signal(signal.SIGTERM)
            while json.loads(await websocket.recv())["type"] != "draining":
                pass
            began_at = time.monotonic()
            running.process.send_signal(second)
            assert await asyncio.to_thread(running.end) == -second and time.monotonic() - began_at < 2


@pytest.mark.parametrize(
    ("flags", "settings", "words"),
    [
        (["--port", "99999"], {}, "asr.port = 99999 (command line)"),
        (["--host", "0.0.0.0"], {}, "VOICE_AGENT_ASR__TOKEN"),
        (["--profile", "nope"], {}, "no such profile or file"),
        ([], {"VOICE_AGENT_ASR__PROT": "1"}, "did you mean VOICE_AGENT_ASR__PORT?"),
        (["--model", "./nowhere", "--port", "0"], {}, "'./nowhere': no such folder"),
    ],
)
def test_what_cannot_be_started_says_why_and_ends_with_1(flags: list[str], settings: dict[str, str], words: str):
    ran = subprocess.run(
        command(*flags),
        cwd=ROOT,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=STOP_SECS,
        check=False,
    )
    assert ran.returncode == 1 and words in ran.stderr and "Traceback" not in ran.stderr


def test_a_port_that_is_taken_is_named(service: ServiceProcess):
    ran = subprocess.run(
        command("--port", str(service.port)),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=STOP_SECS,
        check=False,
    )
    assert ran.returncode == 1 and f"cannot listen on 127.0.0.1:{service.port}" in ran.stderr
    assert "VOICE_AGENT_ASR__PORT" in ran.stderr
