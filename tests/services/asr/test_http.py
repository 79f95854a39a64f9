"""HTTP, with an engine whose answers are known: health, metrics, models, files and everything wrong with them."""

import asyncio
import contextlib
import io
import json
import struct
import time
import tracemalloc
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import av
import httpx
import numpy as np
import pytest
import soundfile

from engines.errors import EngineBusy, EngineClosed, EngineError, EngineFailed, EngineRefused
from services.asr import audio_files
from services.asr.audio_files import decode
from services.common.errors import Refusal
from services.common.state import Status
from tests.services.asr.fake import FakeEngine, RunningService, running_service, talking, until

PATH = "/v1/audio/transcriptions"


def wav(secs: float = 1.0, rate: int = 16_000, channels: int = 1, level: int = 1000) -> bytes:
    """A tone."""
    tone = (level * np.sin(np.arange(int(secs * rate)) * 2 * np.pi * 440 / rate)).astype("<i2")
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(tone, channels).tobytes())
    return written.getvalue()


async def post(running: RunningService, content: bytes | None = None, **fields: Any) -> httpx.Response:
    """Upload a file; of a header `authorization` among the fields."""
    headers = {"Authorization": fields.pop("authorization")} if "authorization" in fields else {}
    content = wav() if content is None else content
    async with httpx.AsyncClient(base_url=running.url, trust_env=False) as client:
        return await client.post(PATH, files={"file": ("a.wav", content)}, data=fields, headers=headers)


async def get(running: RunningService, path: str, **options: Any) -> httpx.Response:
    async with httpx.AsyncClient(base_url=running.url, trust_env=False) as client:
        return await client.get(path, **options)


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error of a response in OpenAI's shape."""
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


async def test_health_says_what_the_service_is_doing_also_while_the_model_works():
    async with running_service() as running, talking(running) as talk:
        running.engine.go.clear()
        await talk.utter("a")
        await until(lambda: running.engine.running == 1)
        answer = await get(running, "/health")
        body = answer.json()
        gpu = body.pop("gpu")
        assert answer.status_code == 200 and body == {
            "status": "ok",
            "problem": None,
            "model": "tiny.en",
            "engine": "fake",
            "active_connections": 1,
            "max_connections": 50,
            "queue_size": 1,
        }
        keys = {"id", "name", "available", "memory_allocated", "memory_reserved", "memory_total"}
        assert set(gpu) == keys and gpu["available"] is False and gpu["memory_total"] is None


@pytest.mark.parametrize("status", [Status.LOADING, Status.DRAINING, Status.FAILED])
async def test_a_service_that_takes_no_work_says_so(status: Status):
    async with running_service() as running:
        running.service.state.status = status
        answer = await get(running, "/health")
        assert (answer.status_code, answer.json()["status"]) == (503, status.value)
        refused = await post(running)
        assert refused.status_code == 503 and refused.headers["retry-after"]


async def test_a_model_that_fails_every_time_is_not_healthy_until_it_has_recovered():
    async with running_service() as running:
        running.engine.problem = "the GPU has fallen off the bus"
        answer = await get(running, "/health")
        body = answer.json()
        assert (answer.status_code, body["status"]) == (503, "failed") and "fallen off" in body["problem"]
        assert (await post(running)).status_code == 200, "or it could never show that it has recovered"
        running.service.state.status = Status.DRAINING
        assert (await get(running, "/health")).json()["status"] == "draining"
        running.service.state.status, running.engine.problem = Status.OK, None
        answer = await get(running, "/health")
        body = answer.json()
        assert (answer.status_code, body["status"], body["problem"]) == (200, "ok", None)


async def test_metrics_count_what_happened():
    async with running_service() as running, talking(running) as talk:
        await talk.utter("a")
        await talk.hear()
        await post(running)
        text = (await get(running, "/metrics")).text
        for line in (
            "voice_asr_connections 1.0",
            "voice_asr_queue_size 0.0",
            'voice_asr_requests_total{outcome="ok",way="stream"} 1.0',
            'voice_asr_requests_total{outcome="ok",way="file"} 1.0',
            'voice_asr_audio_seconds_total{kind="final"} 2.0',
            "voice_asr_batch_size_sum 6.0",
            'voice_asr_latency_seconds_count{part="total"} 2.0',
            'voice_asr_latency_seconds_sum{part="encode"} 0.004',
        ):
            assert line in text.splitlines()


async def test_models_are_listed_as_openai_lists_them():
    async with running_service() as running:
        listed = (await get(running, "/v1/models")).json()
        assert listed["object"] == "list" and [model["id"] for model in listed["data"]] == ["tiny.en"]


async def test_the_token_is_wanted_by_everything_but_health():
    async with running_service(token="a-secret-token") as running:
        for path in ("/metrics", "/v1/models"):
            refused = await get(running, path)
            assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
            assert error_of(refused)["code"] == "unauthorized"
            assert (await get(running, path, headers={"Authorization": "Bearer a-secret-token"})).status_code == 200
        assert (await get(running, "/health")).status_code == 200
        assert (await post(running)).status_code == 401
        assert (await post(running, authorization="Bearer wrong")).status_code == 401
        assert (await post(running, authorization="Bearer a-secret-token")).status_code == 200


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Host": "evil.example"}])
async def test_pages_of_other_sites_are_refused(headers: dict[str, str]):
    async with running_service() as running:
        refused = await get(running, "/v1/models", headers=headers)
        assert (refused.status_code, error_of(refused)["code"]) == (403, "origin_refused")


async def test_a_form_reaches_the_engine():
    async with running_service() as running:
        fields: dict[str, Any] = {
            "model": "whisper-1",
            "language": "en",
            "prompt": "before",
            "hotwords": "Ada",
            "temperature": "0.4",
            "response_format": "verbose_json",
            "timestamp_granularities[]": "word",
            "stream": "false",
        }
        answer = await post(running, **fields)
        assert answer.json()["words"] == [{"word": "16000", "start": 0.0, "end": 1.0}]
    ((pcm, options),) = running.engine.asked
    assert len(pcm) == 32_000 and options.stream is None and not options.partial
    assert (options.language, options.prompt, options.hotwords) == ("en", "before", "Ada")
    assert options.temperatures == (0.4,) and options.timestamps and options.word_timestamps


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"response_format": "xml"}, 400, "response_format"),
        ({"model": "whisper-9"}, 404, "model"),
        ({"temperature": "warm"}, 400, "temperature"),
        ({"temperature": "nan"}, 400, "temperature"),
        ({"temperature": "2"}, 400, "temperature"),
        ({"stream": "true"}, 400, "stream"),
        ({"timestamp_granularities[]": "letter"}, 400, "timestamp_granularities[]"),
        ({"timestamp_granularities[]": "word"}, 400, "timestamp_granularities[]"),
        ({"colour": "red"}, 400, None),
        ({"prompt": "x" * 70_000}, 400, None),
        ({f"field{number}": "x" for number in range(30)}, 400, None),
    ],
)
async def test_a_wrong_field_is_named(fields: dict[str, Any], status: int, param: str | None):
    async with running_service() as running:
        refused = await post(running, **fields)
        assert (refused.status_code, error_of(refused)["param"]) == (status, param)
        assert error_of(refused)["type"] == "invalid_request_error"
        assert running.engine.asked == []


async def test_what_is_no_form_with_a_file_is_refused():
    async with running_service() as running, httpx.AsyncClient(base_url=running.url, trust_env=False) as client:
        requests: list[dict[str, Any]] = [{"json": {}}, {"content": b"x"}, {"data": {"file": "text"}}]
        for request in requests:
            refused = await client.post(PATH, **request)
            assert (refused.status_code, error_of(refused)["param"]) == (400, "file")
        broken = {"Content-Type": "multipart/form-data; boundary=x"}
        refused = await client.post(PATH, content=b"--y\r\nnonsense", headers=broken)
        assert refused.status_code == 400 and error_of(refused)
        assert (await client.get(PATH)).status_code == 405
        assert error_of(await client.get("/nothing"))["code"] == "not_found"


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "empty"), (b"\x00" * 1000, "cannot be decoded"), (b"RIFF1234WAVE", "cannot be decoded"), (wav(0), "zero")],
)
async def test_a_file_without_sound_is_refused_and_says_why(content: bytes, words: str):
    async with running_service() as running:
        refused = await post(running, content)
        error = error_of(refused)
        assert refused.status_code == 400 and error["param"] == "file" and error["code"] == "bad_audio"
        assert words in error["message"] and "expected an audio file" in error["message"]


async def test_a_file_that_is_too_long_is_refused():
    async with running_service(max_upload_secs=1) as running:
        error = error_of(await post(running, wav(1.5)))
        assert error["code"] == "too_long" and "at most 1 s" in error["message"]


@pytest.mark.parametrize("counted", [True, False])
async def test_a_body_that_is_too_large_is_refused_before_it_was_read(counted: bool):
    async with running_service(max_upload_bytes=100_000) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        length = b"Content-Length: 900000000" if counted else b"Transfer-Encoding: chunked"
        form = b"Content-Type: multipart/form-data; boundary=x"
        writer.write(b"POST %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n%s\r\n\r\n" % (PATH.encode(), length, form))
        if not counted:
            part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + b"\x00" * 150_000
            writer.write(b"%x\r\n%s\r\n" % (len(part), part))
        async with asyncio.timeout(5):
            answer = await reader.read(-1)
        assert answer.startswith(b"HTTP/1.1 413") and b"too_large" in answer and b"100000 bytes" in answer
        writer.close()
        assert running.service.state.requests == 0


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (EngineBusy("full"), 503),
        (EngineRefused("no such language"), 400),
        (EngineFailed("oh"), 500),
        (EngineClosed("gone"), 503),
    ],
)
async def test_an_engine_error_has_its_status(error: EngineError, status: int):
    async with running_service(FakeEngine(error=error)) as running:
        answer = await post(running)
        assert answer.status_code == status and error_of(answer)["message"] == str(error)
        assert ("retry-after" in answer.headers) is isinstance(error, EngineBusy)


async def test_a_fault_of_ours_is_an_error_without_its_words():
    async with running_service(FakeEngine(error=ValueError("secret words"))) as running:
        answer = await post(running)
        assert answer.status_code == 500 and "secret" not in answer.text and error_of(answer)["type"] == "server_error"
        assert running.service.state.requests == 0 and running.service.queue_size == 0


async def test_a_client_that_hangs_up_takes_its_work_with_it():
    async with running_service() as running:
        running.engine.go.clear()
        call = asyncio.create_task(post(running))
        await until(lambda: running.engine.running == 1)
        assert running.service.state.requests == 1
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await until(lambda: running.engine.cancelled == 1 and running.service.state.requests == 0)


@asynccontextmanager
async def half_an_upload(running: RunningService) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A raw upload whose body has come in part."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    headers = "Host: localhost\r\nContent-Length: 100000\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n"
    part = '--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nRIFF'
    before = running.service.state.requests
    try:
        writer.write(f"POST {PATH} HTTP/1.1\r\n{headers}{part}".encode())
        await until(lambda: running.service.state.requests == before + 1)
        yield reader, writer
    finally:
        writer.close()


async def rest_of(reader: asyncio.StreamReader) -> tuple[str, dict[str, Any]]:
    """An answer up to the end of its connection: its head, in small letters, and its error."""
    async with asyncio.timeout(5):
        head, _, body = (await reader.read(-1)).decode().partition("\r\n\r\n")
    return head.lower(), json.loads(body)["error"]


async def test_a_body_that_stops_coming_is_not_waited_for():
    async with running_service(idle_secs=0.3) as running, half_an_upload(running) as (reader, _):
        head, error = await rest_of(reader)
        assert head.startswith("http/1.1 408") and error["code"] == "idle"
        assert "every 0.3 s" in error["message"] and set(error) == {"message", "type", "param", "code"}
        assert running.service.state.requests == 0
        assert running.metric("voice_asr_refused_total", code="idle") == 1


async def test_a_body_that_comes_in_drops_is_not_waited_for():
    async with running_service(idle_secs=0.5) as running, half_an_upload(running) as (reader, writer):
        began_at = time.monotonic()
        answering = asyncio.create_task(rest_of(reader))
        while not answering.done() and time.monotonic() - began_at < 4:
            with contextlib.suppress(ConnectionError):
                writer.write(b"x")
                await writer.drain()
            await asyncio.sleep(0.1)
        assert time.monotonic() - began_at < 3
        assert (await answering)[0].startswith("http/1.1 408")


async def test_a_slow_body_that_keeps_coming_is_read_to_its_end():
    async with running_service(idle_secs=1) as running:

        async def slowly(content: bytes) -> AsyncIterator[bytes]:
            for at in range(0, len(content), 4000):
                yield content[at : at + 4000]
                await asyncio.sleep(0.15)

        async with httpx.AsyncClient(base_url=running.url, trust_env=False) as client:
            request = client.build_request("POST", PATH, files={"file": ("a.wav", wav())})
            content = await request.aread()
            answer = await client.post(
                PATH, content=slowly(content), headers={"Content-Type": request.headers["Content-Type"]}
            )
        assert answer.status_code == 200


async def test_one_upload_too_many_is_refused_and_a_free_place_is_taken():
    async with running_service(max_uploads=2) as running:
        async with half_an_upload(running), half_an_upload(running):
            refused = await post(running)
            assert refused.status_code == 503 and error_of(refused)["code"] == "too_many"
            assert refused.headers["retry-after"] and refused.headers["connection"] == "close"
        await until(lambda: running.service.state.requests == 0)
        assert (await post(running)).status_code == 200


async def test_a_drain_does_not_wait_for_half_a_body():
    async with running_service(drain_secs=30) as running, half_an_upload(running) as (reader, _):
        began_at = time.monotonic()
        await running.drain()
        assert time.monotonic() - began_at < 2
        head, error = await rest_of(reader)
        assert head.startswith("http/1.1 503") and "retry-after" in head and error["code"] == "draining"


async def test_a_drain_lets_an_upload_end():
    async with running_service(drain_secs=5) as running:
        running.engine.go.clear()
        call = asyncio.create_task(post(running))
        await until(lambda: running.engine.running == 1)
        draining = asyncio.create_task(running.drain())
        await until(lambda: running.service.state.status is Status.DRAINING)
        assert (await post(running)).status_code == 503
        running.engine.go.set()
        assert (await call).status_code == 200
        await draining


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (44_100, 2), (48_000, 6)])
def test_any_rate_and_number_of_channels_becomes_16_khz_mono(rate: int, channels: int):
    pcm = np.frombuffer(decode(io.BytesIO(wav(1.0, rate, channels)), max_secs=10), dtype="<i2")
    assert abs(len(pcm) - 16_000) <= 16
    assert 900 < np.max(np.abs(pcm[4000:12_000])) < 1100


def in_container(name: str, codec: str, rate: int, secs: float = 1.0, **frame: Any) -> bytes:
    """A tone in a container that FFmpeg writes; `frame_samples` of each frame."""
    written = io.BytesIO()
    samples, _ = soundfile.read(io.BytesIO(wav(secs, rate)), dtype="int16")
    with av.open(written, "w", format=name) as file:
        stream: Any = file.add_stream(codec, rate=rate, layout="mono")
        most = frame.get("frame_samples", len(samples))
        for at in range(0, len(samples), most):
            piece = av.AudioFrame.from_ndarray(samples[at : at + most].reshape(1, -1), format="s16", layout="mono")
            piece.sample_rate, piece.pts = rate, at
            file.mux(stream.encode(piece))
        file.mux(stream.encode(None))
    return written.getvalue()


@pytest.mark.parametrize("rate", [1, 3_999, 192_001, 2_000_000_000])
@pytest.mark.parametrize("make", [lambda rate: wav_of_rate(rate), lambda rate: matroska_of_rate(rate)])
def test_a_sample_rate_that_no_file_has_is_refused_before_anything_is_resampled(make: Any, rate: int):
    content = make(rate)
    tracemalloc.start()
    try:
        with pytest.raises(Refusal, match=f"sample rate is {rate} Hz; expected 4000 to 192000 Hz") as caught:
            decode(io.BytesIO(content), max_secs=1e9)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "bad_audio", "file")


def wav_of_rate(rate: int) -> bytes:
    """100,000 samples whose header claims a rate."""
    content = bytearray(wav(100_000 / 16_000))
    content[24:28] = rate.to_bytes(4, "little")
    return bytes(content)


def matroska_of_rate(rate: int) -> bytes:
    """The same in a container that libsndfile does not know."""
    content = in_container("matroska", "pcm_s16le", 16_000, 2.0)
    # SamplingFrequency, a float of 8 bytes.
    at = content.index(b"\xb5\x88") + 2
    return content[:at] + struct.pack(">d", rate) + content[at + 8 :]


@pytest.mark.parametrize("name", ["wav", "mov"])
def test_a_header_that_says_too_much_is_enough(monkeypatch: pytest.MonkeyPatch, name: str):
    content = wav(3.0, 8_000) if name == "wav" else in_container("mov", "pcm_s16le", 8_000, 3.0, frame_samples=800)

    def read(*_: Any) -> Any:
        raise AssertionError("it was decoded")

    monkeypatch.setattr(soundfile.SoundFile, "read", read)
    monkeypatch.setattr(av.AudioResampler, "resample", read) if name == "wav" else None
    monkeypatch.setattr(audio_files, "_pieces", read)
    with pytest.raises(Refusal, match="at most 2 s"):
        decode(io.BytesIO(content), max_secs=2)


def test_a_header_that_does_not_know_the_length_does_no_harm():
    streamed = bytearray(wav(1.0))
    streamed[4:8] = streamed[40:44] = b"\xff" * 4
    assert len(decode(io.BytesIO(bytes(streamed)), max_secs=1.5)) == 32_000
    written = io.BytesIO()
    soundfile.write(written, np.zeros(16_000, dtype=np.int16), 16_000, format="FLAC")
    flac = bytearray(written.getvalue())
    flac[21] &= 0xF0
    flac[22:26] = bytes(4)
    assert len(decode(io.BytesIO(bytes(flac)), max_secs=1.5)) == 32_000


@pytest.mark.parametrize("format", ["s16", "s16p"])
@pytest.mark.parametrize("rate", [4_000, 48_000])
def test_a_giant_frame_is_resampled_in_pieces(rate: int, format: str):
    count, planes = rate * 30, 2 if format == "s16p" else 1
    samples = np.arange(2 * count, dtype=np.int16).reshape(planes, -1)
    frame = av.AudioFrame.from_ndarray(samples, format=format, layout="stereo")
    frame.sample_rate = rate
    pieces = list(audio_files._pieces(frame))
    assert all(piece.samples * 16_000 / rate <= audio_files.BLOCK_SAMPLES for piece in pieces) and len(pieces) > 1
    assert np.array_equal(np.concatenate([piece.to_ndarray() for piece in pieces], axis=1), samples)
    resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000)
    resampled = [part.samples for piece in (*pieces, None) for part in resampler.resample(piece)]
    assert abs(sum(resampled) - 30 * 16_000) <= 16


@pytest.mark.parametrize(
    ("container", "codec"),
    [("mp4", "aac"), ("matroska", "aac"), ("webm", "libopus"), ("ogg", "libopus"), ("mp3", "mp3"), ("adts", "aac")],
)
def test_containers_of_browsers_and_phones_are_decoded(container: str, codec: str):
    written = io.BytesIO()
    samples, _ = soundfile.read(io.BytesIO(wav(1.0, 48_000)), dtype="int16")
    with av.open(written, "w", format=container) as file:
        stream: Any = file.add_stream(codec, rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = 48_000
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=48_000, frame_size=stream.frame_size)
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            file.mux(stream.encode(piece))
        file.mux(stream.encode(None))
    pcm = np.frombuffer(decode(io.BytesIO(written.getvalue()), max_secs=10), dtype="<i2")
    assert 0.9 < len(pcm) / 16_000 < 1.2 and 500 < np.max(np.abs(pcm)) < 2000


def test_a_playlist_opens_no_other_file(tmp_path: Any):
    (tmp_path / "secret.wav").write_bytes(wav())
    for playlist in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{tmp_path}/secret.wav\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile '{tmp_path}/secret.wav'\n",
    ):
        with pytest.raises(Refusal, match="cannot be decoded"):
            decode(io.BytesIO(playlist.encode()), max_secs=10)
