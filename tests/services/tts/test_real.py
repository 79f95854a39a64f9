"""The service as operators run it, with the embedded voice, heard by Whisper."""

import asyncio
import io
import json
import re
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, aclosing
from typing import Any

import av
import jiwer
import numpy as np
import pytest
import soxr
from openai import APIStatusError, AsyncOpenAI
from websockets.asyncio.client import connect

from engines.errors import EngineError
from engines.remote_tts import RemoteTextToSpeech
from engines.whisper import WhisperEngine
from tests.engines.conftest import whisper
from tests.services.process import ROOT, STOP_SECS, ServiceProcess, command, environment
from tests.services.serving import free_port
from tests.services.tts.fake import Talk
from tests.services.tts.process import service_process

__all__ = ["whisper"]

RATE = 24_000
TEXT = "Good morning. The train to London leaves in about twenty minutes. Please hold your ticket ready."
WRONG_WORDS = 0.2


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with service_process(free_port()) as running:
        yield running
        words = " ".join(running.lines).lower()
        assert "london" not in words and "ticket" not in words, "what was said is in the log"


@pytest.fixture
async def openai(service: ServiceProcess, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncOpenAI]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with AsyncOpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0) as client:
        yield client


async def errors(whisper: WhisperEngine, pcm: bytes, rate: int = RATE, text: str = TEXT) -> float:
    """The word error rate of what Whisper hears."""
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32) / 32768
    at_16_khz = (np.clip(soxr.resample(samples, rate, 16_000), -1, 1) * 32767).astype("<i2").tobytes()
    heard = (await whisper.transcribe(at_16_khz)).text
    return jiwer.wer(plain(text), plain(heard))


def plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w' ]", " ", text.lower().replace("20", "twenty")).split())


def decoded(content: bytes) -> bytes:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    with av.open(io.BytesIO(content), "r") as file:
        return b"".join(
            piece.to_ndarray().tobytes() for frame in file.decode(audio=0) for piece in resampler.resample(frame)
        )


@pytest.mark.parametrize("response_format", ["pcm", "mp3", "opus", "wav"])
async def test_openais_client_gets_speech_that_can_be_understood(
    openai: AsyncOpenAI, whisper: WhisperEngine, response_format: Any
):
    content, pieces = b"", 0
    async with openai.audio.speech.with_streaming_response.create(
        model="tts-1", voice="heart", input=TEXT, response_format=response_format, instructions="Speak calmly."
    ) as answer:
        async for piece in answer.iter_bytes(4096):
            content += piece
            pieces += 1
    pcm = content if response_format == "pcm" else decoded(content)
    assert pieces > 5 and 4 < len(pcm) / 2 / RATE < 15
    assert await errors(whisper, pcm) < WRONG_WORDS


async def test_openais_client_understands_our_errors(openai: AsyncOpenAI):
    with pytest.raises(APIStatusError) as caught:
        await openai.audio.speech.create(model="tts-1", voice="nobody", input=TEXT)
    assert caught.value.status_code == 400 and caught.value.code == "refused" and "heart" in caught.value.message
    with pytest.raises(APIStatusError) as caught:
        await openai.audio.speech.create(model="tts-1", voice="heart", input=TEXT, speed=50)
    assert caught.value.status_code == 400 and caught.value.param == "speed"
    models = [model.id async for model in openai.models.list()]
    assert models == ["hibari"] and (await openai.models.retrieve("hibari")).id == "hibari"


@pytest.mark.parametrize("rate", [8_000, 24_000, 48_000])
async def test_a_stream_at_any_rate_can_be_understood_and_its_marks_lie_in_it(
    service: ServiceProcess, whisper: WhisperEngine, rate: int
):
    async with connect(service.socket_url, proxy=None, compression=None) as websocket:
        talk = Talk(websocket)
        await talk.say("start", version=1, sample_rate=rate)
        assert (await talk.hear())["type"] == "ready"
        await talk.speak("a", *(f"{sentence}. " for sentence in TEXT.rstrip(".").split(". ")))
        heard = await talk.hear_stream("a")
    assert heard.last["type"] == "done" and heard.last["samples"] * 2 == len(heard.pcm)
    assert await errors(whisper, heard.pcm, rate) < WRONG_WORDS
    assert plain(" ".join(text for text, _, _ in heard.marks)) == plain(TEXT)
    edges = [edge for _, start, end in heard.marks for edge in (start, end)]
    assert edges == sorted(edges) and edges[0] >= 0 and edges[-1] <= heard.last["samples"]


async def test_a_text_outlives_a_service_that_is_killed_and_returns_and_one_that_is_stopped(whisper: WhisperEngine):
    port, begun, go_on = free_port(), asyncio.Event(), asyncio.Event()

    async def text() -> AsyncIterator[str]:
        yield "Good morning. "
        begun.set()
        await go_on.wait()
        yield TEXT.removeprefix("Good morning. ")

    engine = RemoteTextToSpeech([f"127.0.0.1:{port}"], timeout_secs=60, sleep=lambda _: asyncio.sleep(0.1))
    try:
        with service_process(port) as first:
            await engine.warm_up()
            speaking = asyncio.create_task(_whole(engine, text()))
            await begun.wait()
            first.process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(first.end)
        if (lost := await _error_of(speaking)) is not None:
            # It had begun to speak.
            assert "while it spoke" in str(lost)
            speaking = asyncio.create_task(_whole(engine, text()))
        with ExitStack() as held:
            second = await asyncio.to_thread(held.enter_context, service_process(port))
            go_on.set()
            assert await errors(whisper, await speaking) < WRONG_WORDS
            assert (await engine.voices())[0].id == "heart"
            stream = engine.synthesize(_once(TEXT))
            pcm = (await anext(stream)).pcm
            second.process.send_signal(signal.SIGTERM)
            pcm += b"".join([chunk.pcm async for chunk in stream])
            assert await errors(whisper, pcm) < WRONG_WORDS, "what runs is spoken to its end"
            assert await asyncio.to_thread(second.end) == 0
    finally:
        await engine.close()


async def _whole(engine: RemoteTextToSpeech, text: AsyncIterator[str]) -> bytes:
    return b"".join([chunk.pcm async for chunk in engine.synthesize(text)])


async def _error_of(task: "asyncio.Task[bytes]") -> EngineError | None:
    await asyncio.wait([task], timeout=0.5)
    error = task.exception() if task.done() else None
    assert error is None or isinstance(error, EngineError)
    return error


async def test_a_stream_that_is_closed_frees_the_service_for_the_next(service: ServiceProcess):
    engine = RemoteTextToSpeech([service.url])
    try:
        await engine.warm_up()
        for _ in range(3):
            async with aclosing(engine.synthesize(_once(TEXT * 20))) as chunks:  # pyright: ignore[reportArgumentType]
                await anext(chunks)
        began_at = time.monotonic()
        async with aclosing(engine.synthesize(_once("Hello."))) as chunks:  # pyright: ignore[reportArgumentType]
            await anext(chunks)
        assert time.monotonic() - began_at < 1
    finally:
        await engine.close()


async def _once(text: str) -> AsyncIterator[str]:
    yield text


@pytest.mark.parametrize(
    ("flags", "settings", "words"),
    [
        (["--host", "0.0.0.0"], {}, "VOICE_AGENT_TTS_SERVICE__TOKEN"),
        (["--voice", "nobody", "--port", "0"], {}, "'nobody'"),
    ],
)
def test_what_cannot_be_started_says_why_and_ends_with_1(flags: list[str], settings: dict[str, str], words: str):
    ran = subprocess.run(
        command("tts", *flags),
        cwd=ROOT,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=STOP_SECS,
        check=False,
    )
    assert ran.returncode == 1 and words in ran.stderr and "Traceback" not in ran.stderr
    assert "tts service: " in ran.stderr


async def test_health_tells_of_the_voice(service: ServiceProcess, openai: AsyncOpenAI):
    answer = await openai.get("../health", cast_to=object)
    body: Any = answer if isinstance(answer, dict) else json.loads(str(answer))
    assert (body["status"], body["model"], body["active_connections"]) == ("ok", "hibari", 0) and body["voices"] >= 1
