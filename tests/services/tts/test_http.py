"""HTTP, with a voice whose sound is known: health, metrics, models, voices, files and everything wrong with them."""

import asyncio
import contextlib
import io
import json
import wave
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

import av
import httpx
import numpy as np
import pytest

from engines.errors import EngineBusy, EngineClosed, EngineFailed, EngineRefused
from engines.protocol import DEFAULT_SPEECH, SpeechChunk, SpeechOptions
from services.common.state import Status
from tests.services.serving import until
from tests.services.tts.fake import RATE, WORD, FakeVoice, RunningService, running_service, sound, talking

PATH = "/v1/audio/speech"
TEXT = "one two three four five six seven eight nine ten"


async def post(running: RunningService, text: str = TEXT, **fields: Any) -> httpx.Response:
    """Ask for a file; of a header `authorization` among the fields."""
    headers = {"Authorization": fields.pop("authorization")} if "authorization" in fields else {}
    body = {"model": "tts-1", "input": text, "voice": "anna", "response_format": "pcm", **fields}
    async with httpx.AsyncClient(base_url=running.url, trust_env=False) as client:
        return await client.post(PATH, json=body, headers=headers)


async def get(running: RunningService, path: str, **options: Any) -> httpx.Response:
    async with httpx.AsyncClient(base_url=running.url, trust_env=False) as client:
        return await client.get(path, **options)


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error of a response in OpenAI's shape."""
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def decoded(content: bytes) -> np.ndarray:
    """The samples of a file, as 24 kHz mono."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    with av.open(io.BytesIO(content), "r") as file:
        pieces = [piece.to_ndarray() for frame in file.decode(audio=0) for piece in resampler.resample(frame)]
        pieces += [piece.to_ndarray() for piece in resampler.resample(None)]
    return np.concatenate([piece.reshape(-1) for piece in pieces])


class Thinking(FakeVoice):
    """A voice that tells of itself."""

    watermark = True

    def stats(self) -> dict[str, Any]:
        """A number, and something else."""
        return {"t3 steps": 7, "device": "cpu"}


async def test_health_says_what_the_service_is_doing():
    async with running_service(Thinking()) as running, talking(running) as talk:
        running.engine.go.clear()
        await talk.speak("a", "one")
        await until(lambda: running.engine.running == 1)
        answer = await get(running, "/health")
        body = answer.json()
        gpu = body.pop("gpu")
        assert answer.status_code == 200 and body == {
            "status": "ok",
            "problem": None,
            "model": "hibari",
            "engine": "fake",
            "active_connections": 1,
            "max_connections": 50,
            "queue_size": 1,
            "speaking": 0,
            "voices": 2,
            "watermark": True,
            "engine_stats": {"t3 steps": 7, "device": "cpu"},
        }
        assert gpu["available"] is False
        metrics = (await get(running, "/metrics")).text
        assert "voice_tts_engine_t3_steps 7.0" in metrics and "engine_device" not in metrics


@pytest.mark.parametrize("status", [Status.LOADING, Status.DRAINING, Status.FAILED])
async def test_a_service_that_takes_no_work_says_so(status: Status):
    async with running_service() as running:
        running.service.state.status = status
        answer = await get(running, "/health")
        assert (answer.status_code, answer.json()["status"]) == (503, status.value)
        refused = await post(running)
        assert refused.status_code == 503 and refused.headers["retry-after"]
        assert (await get(running, "/v1/voices")).status_code == 503


async def test_an_engine_with_a_problem_is_not_healthy_and_one_that_ended_ends_the_service():
    async with running_service() as running:
        running.engine.problem = "the GPU has fallen off the bus"
        body = (await get(running, "/health")).json()
        assert body["status"] == "failed" and "fallen off" in body["problem"]
        running.engine.problem = None
        running.engine.error = EngineClosed("gone")
        assert (await post(running)).status_code == 503
        assert (await get(running, "/health")).json()["status"] == "failed"


async def test_models_and_voices_are_listed():
    async with running_service() as running:
        listed = (await get(running, "/v1/models")).json()
        assert [model["id"] for model in listed["data"]] == ["hibari"]
        assert (await get(running, "/v1/models/tts-1")).json() == listed["data"][0]
        missing = await get(running, "/v1/models/some/other")
        assert missing.status_code == 404 and error_of(missing)["code"] == "model_not_found"
        voices = (await get(running, "/v1/voices")).json()["voices"]
        assert [(voice["id"], voice["name"], voice["language"]) for voice in voices] == [
            ("anna", "anna", "en"),
            ("otto", "otto", None),
        ]


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("mp3", "audio/mpeg"),
        ("opus", "audio/ogg"),
        ("aac", "audio/aac"),
        ("flac", "audio/flac"),
        ("wav", "audio/wav"),
        ("pcm", "audio/pcm"),
    ],
)
async def test_every_format_holds_the_whole_sound(name: str, media_type: str):
    async with running_service() as running:
        answer = await post(running, response_format=name)
        assert answer.status_code == 200 and answer.headers["content-type"] == media_type
        assert answer.headers["transfer-encoding"] == "chunked"
        whole = np.frombuffer(sound(0, 10 * WORD), dtype="<i2")
        found = np.frombuffer(answer.content, dtype="<i2") if name == "pcm" else decoded(answer.content)
    if name in ("pcm", "wav", "flac"):
        assert np.array_equal(found, whole)
    else:
        # Codecs have a delay, and fill their last frame up.
        assert 0 <= len(found) - len(whole) < 4000 or name == "opus"
        assert abs(len(found) - len(whole)) < 4000
        spectrum = np.abs(np.fft.rfft(found[4000:16_000].astype(float)))
        assert abs(np.argmax(spectrum) * 2 - 440) <= 4
        assert 5000 < np.max(np.abs(found[4000:16_000])) < 11_000


async def test_a_wav_header_does_not_claim_a_length():
    async with running_service() as running:
        content = (await post(running, response_format="wav")).content
    assert content[4:8] == content[40:44] == b"\xff" * 4 and content[44:] == sound(0, 10 * WORD)
    with wave.open(io.BytesIO(content)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)


@pytest.mark.parametrize("name", ["mp3", "opus", "aac", "flac", "wav", "pcm"])
async def test_a_file_comes_while_it_is_made(name: str):
    voice = FakeVoice(word_samples=RATE, held_after=6)
    async with running_service(voice) as running, httpx.AsyncClient(base_url=running.url, trust_env=False) as client:
        body = {"model": "tts-1", "input": TEXT, "voice": "anna", "response_format": name}
        async with client.stream("POST", PATH, json=body) as answer:
            pieces = answer.aiter_raw()
            content = b""
            async with asyncio.timeout(5):
                # Of six seconds it keeps less than three back.
                while len(content) < 1000 or len(decoded_or_raw(name, content)) < 3 * RATE:
                    content += await anext(pieces)
            await until(lambda: voice.words == 6)
            voice.go.set()
            async for piece in pieces:
                content += piece
    assert abs(len(decoded_or_raw(name, content)) - 10 * RATE) < 4000


def decoded_or_raw(name: str, content: bytes) -> np.ndarray:
    if name == "pcm":
        return np.frombuffer(content[: len(content) // 2 * 2], dtype="<i2")
    return decoded(content)


async def test_the_engine_gets_what_was_asked_for():
    async with running_service() as running:
        await post(running, voice={"id": "otto"}, speed=1.5, instructions="cheerfully", seed=3, exaggeration=0.7)
        await post(running, voice="anna", live=True, stream_format="audio", model="hibari")
    one, two = running.engine.asked
    assert (one.voice, one.speed, one.seed, one.exaggeration, one.live) == ("otto", 1.5, 3, 0.7, False)
    assert (two.voice, two.speed, two.live) == ("anna", None, True)
    assert running.engine.read == [TEXT, TEXT]


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"response_format": "midi"}, 400, "response_format"),
        ({"model": "tts-9"}, 404, "model"),
        ({"speed": 9}, 400, "speed"),
        ({"speed": "fast"}, 400, "speed"),
        ({"voice": {"name": "anna"}}, 400, "voice"),
        ({"voice": ""}, 400, "voice"),
        ({"input": ""}, 400, "input"),
        ({"input": None}, 400, "input"),
        ({"input": "x" * 4097}, 400, "input"),
        ({"input": " \n"}, 400, "input"),
        ({"stream_format": "sse"}, 400, "stream_format"),
        ({"colour": "red"}, 400, "colour"),
        ({"temperature": 1e999}, 400, "temperature"),
    ],
)
async def test_a_wrong_field_is_named(fields: dict[str, Any], status: int, param: str):
    async with running_service() as running:
        body = json.dumps({"model": "tts-1", "input": TEXT, "voice": "anna", **fields})
        async with httpx.AsyncClient(base_url=running.url, trust_env=False) as client:
            refused = await client.post(PATH, content=body)
        assert (refused.status_code, error_of(refused)["param"]) == (status, param)
        assert error_of(refused)["type"] == "invalid_request_error"
        assert running.engine.words == 0


class Hushed(FakeVoice):
    """Makes silence of what it cannot read, here of capitals."""

    async def synthesize(
        self, text: AsyncIterable[str], options: SpeechOptions = DEFAULT_SPEECH
    ) -> AsyncIterator[SpeechChunk]:
        """As much silence as the sound would be."""
        async for chunk in super().synthesize(text, options):
            yield SpeechChunk(bytes(len(chunk.pcm)), chunk.marks) if chunk.marks[0].text.isupper() else chunk


@pytest.mark.parametrize("name", ["mp3", "opus", "aac", "flac", "wav", "pcm"])
async def test_a_file_of_plain_silence_is_refused_before_it_begins(name: str):
    async with running_service(Hushed()) as running:
        answer = await post(running, "SILENT AS A STONE", response_format=name)
        assert answer.status_code == 400 and error_of(answer)["param"] == "input"
        assert running.service.state.requests == 0


@pytest.mark.parametrize("name", ["flac", "wav", "pcm"])
async def test_silence_before_what_is_heard_is_not_lost(name: str):
    async with running_service(Hushed()) as running:
        answer = await post(running, "SILENT at first", response_format=name)
    found = np.frombuffer(answer.content, dtype="<i2") if name == "pcm" else decoded(answer.content)
    assert np.array_equal(found, np.frombuffer(bytes(2 * WORD) + sound(WORD, 2 * WORD), dtype="<i2"))


async def test_what_is_no_json_is_refused():
    async with running_service() as running, httpx.AsyncClient(base_url=running.url, trust_env=False) as client:
        for content in (b"", b"hello", b"[1]", b"\xff\xfe", b'{"input": "\\ud800"}'):
            refused = await client.post(PATH, content=content)
            assert refused.status_code == 400 and error_of(refused)["code"] == "bad_request"
        assert (await client.get(PATH)).status_code == 405
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n" % PATH.encode())
        assert (await reader.read(-1)).startswith(b"HTTP/1.1 413")
        writer.close()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (EngineBusy("full"), 503),
        (EngineRefused("no such voice"), 400),
        (EngineFailed("oh"), 500),
        (ValueError("secret"), 500),
    ],
)
async def test_an_error_before_the_first_sound_has_its_status(error: Exception, status: int):
    async with running_service(FakeVoice(error=error)) as running:
        answer = await post(running, response_format="mp3")
        assert answer.status_code == status and "secret" not in answer.text
        assert error_of(answer)["message"] == str(error) or isinstance(error, ValueError)
        assert running.service.state.requests == 0


@pytest.mark.parametrize("error", [EngineFailed("oh"), ValueError("secret")])
@pytest.mark.parametrize("name", ["mp3", "wav", "pcm"])
async def test_an_error_after_it_cuts_the_connection(name: str, error: Exception):
    """A client that knows HTTP does not take what came for the whole."""
    async with running_service(FakeVoice(error=error, error_after=8)) as running:
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await post(running, response_format=name)
        await until(lambda: running.service.state.requests == 0 and running.engine.running == 0)
        code = "failed" if isinstance(error, EngineFailed) else "internal"
        assert running.metric("voice_tts_refused_total", code=code) == 1
        running.engine.error = None
        assert (await post(running)).status_code == 200


async def test_a_client_that_hangs_up_takes_its_work_with_it():
    for held_after in (0, 5):
        async with running_service(FakeVoice(held_after=held_after)) as running:
            if not held_after:
                running.engine.go.clear()
            call = asyncio.create_task(post(running))
            await until(
                lambda running=running, words=held_after: running.engine.running and running.engine.words == words
            )
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            await until(lambda running=running: running.engine.cancelled == 1 and running.service.state.requests == 0)


async def test_a_client_that_does_not_read_is_cut_and_others_do_not_notice():
    voice = FakeVoice()
    async with running_service(voice, slow_secs=0.5) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port, limit=4096)
        body = json.dumps({"input": "long " * 500, "response_format": "pcm"}).encode()
        writer.write(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (PATH.encode(), len(body)))
        writer.write(body)
        await until(lambda: voice.words > 2)
        assert (await post(running)).status_code == 200
        await until(lambda: running.metric("voice_tts_refused_total", code="slow_reader") == 1)
        await until(lambda: voice.running == 0 and running.service.state.requests == 0)
        assert voice.words < 100
        with contextlib.suppress(ConnectionError):
            assert not (await reader.read(-1)).endswith(b"0\r\n\r\n"), "it passes for the whole"
        writer.transport.abort()
        await asyncio.sleep(0.01)


async def test_the_token_is_wanted_everywhere_but_for_health():
    async with running_service(token="a-secret-token") as running:
        assert (await post(running)).status_code == 401
        assert (await post(running, authorization="Bearer a-secret-token")).status_code == 200
        for path in ("/v1/models", "/v1/models/hibari", "/v1/voices", "/metrics"):
            assert (await get(running, path)).status_code == 401
        assert (await get(running, "/health")).status_code == 200
        assert running.engine.asked[0].voice == "anna" and len(running.engine.asked) == 1


async def test_one_file_too_many_is_refused_and_a_free_place_is_taken():
    async with running_service(max_files=2) as running:
        running.engine.go.clear()
        calls = [asyncio.create_task(post(running)) for _ in range(2)]
        await until(lambda: running.engine.running == 2)
        refused = await post(running)
        assert refused.status_code == 503 and error_of(refused)["code"] == "too_many"
        running.engine.go.set()
        assert [answer.status_code for answer in await asyncio.gather(*calls)] == [200, 200]
        assert (await post(running)).status_code == 200


async def test_a_drain_lets_a_file_end():
    async with running_service(FakeVoice(held_after=5), drain_secs=5) as running:
        call = asyncio.create_task(post(running))
        await until(lambda: running.engine.words == 5)
        draining = asyncio.create_task(running.drain())
        await until(lambda: running.service.state.status is Status.DRAINING)
        assert (await post(running)).status_code == 503
        running.engine.go.set()
        assert (await call).content == sound(0, 10 * WORD)
        await draining
