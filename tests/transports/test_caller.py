"""Real calls over loopback to a small agent made here, which answers with a tone."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from aiohttp import web
from aiortc import MediaStreamTrack, RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from transports.caller import (
    BadAudioFile,
    BadRecording,
    CallDropped,
    CallNotConnected,
    CallOptions,
    CallRefused,
    NoAnswer,
    normal_url,
    place_call,
)
from transports.caller_audio import FRAME_SAMPLES, RATE, read_speech, speech_bounds
from transports.caller_peer import ArrivalBuffer

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(60)]

DELAY_SECS = 0.5
LOUD = 300


class Voice(MediaStreamTrack):
    """Silence, and a tone from one exact moment to another."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.starts = self.ends = float("inf")
        self._origin = time.monotonic()
        self._sent = 0

    async def recv(self) -> av.AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        frame_at = self._origin + self._sent / RATE
        await asyncio.sleep(max(frame_at - time.monotonic(), 0))
        at = frame_at + np.arange(FRAME_SAMPLES) / RATE
        tone = 8000 * np.cos(2 * np.pi * 500 * at) * ((at >= self.starts) & (at < self.ends))
        frame = av.AudioFrame.from_ndarray(tone.astype(np.int16)[None, :], format="s16", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), self._sent
        self._sent += FRAME_SAMPLES
        return frame


class Agent:
    """Answers DELAY_SECS after the last loud sample that reached it; stops talking 100 ms into being talked over."""

    def __init__(self, answer_secs: float = 0.6, mute: bool = False, leaves_after_secs: float | None = None) -> None:
        self.answer_secs = answer_secs
        self.mute = mute
        self.leaves_after_secs = leaves_after_secs
        self.offers: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.received: list[str] = []
        self.tasks: set[asyncio.Task] = set()

    async def offer(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.offers.append(body)
        self.headers.append(dict(request.headers))
        self.voice = Voice()
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.pc.on("track", lambda track: self.start(self.listen(track)))
        self.pc.on("datachannel", self.on_channel)
        await self.pc.setRemoteDescription(RTCSessionDescription(**body))
        self.pc.addTrack(self.voice)
        receiver = self.pc.getReceivers()[0]
        self.arrivals = ArrivalBuffer()
        receiver._RTCRtpReceiver__jitter_buffer = self.arrivals  # type: ignore[attr-defined]
        await self.pc.setLocalDescription(await self.pc.createAnswer())
        local = self.pc.localDescription
        return web.json_response({"sdp": local.sdp, "type": local.type, "pc_id": "pc-1"})

    def start(self, work: Coroutine) -> None:
        self.tasks.add(asyncio.ensure_future(work))

    def on_channel(self, channel: RTCDataChannel) -> None:
        self.channel = channel
        channel.on("message", self.on_message)

    def on_message(self, message: str) -> None:
        self.received.append(message)
        if not message.startswith("ping"):
            self.say("bot-ready", version="2.2.0")
            self.say("server-message", type="call", call_id="call-7")

    def say(self, kind: str, /, **data: object) -> None:
        self.channel.send(json.dumps({"label": "rtvi-ai", "type": kind, "data": data}))

    async def listen(self, track: MediaStreamTrack) -> None:
        last_loud, loud_frames = float("inf"), 0
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(frame, av.AudioFrame)
            pcm = frame.to_ndarray()[0, ::2]
            arrival = self.arrivals.arrival_of(frame.pts)
            loud = np.flatnonzero(np.abs(pcm.astype(int)) > LOUD)
            loud_frames = loud_frames + 1 if len(loud) else 0
            if len(loud):
                # A frame's last sample is spoken just before it is sent.
                last_loud = arrival - (FRAME_SAMPLES - loud[-1]) / RATE
            if self.leaves_after_secs is not None and loud_frames:
                self.start(self.leave())
                return
            talking = self.voice.starts < time.monotonic() < self.voice.ends
            if talking and loud_frames > 5:
                self.stop_talking()
            if not self.mute and not talking and time.monotonic() - last_loud > DELAY_SECS - 0.1:
                self.start(self.answer(last_loud + DELAY_SECS))
                last_loud = float("inf")

    async def answer(self, at: float) -> None:
        self.voice.starts, self.voice.ends = at, at + self.answer_secs
        stages = {"vad_ms": 200, "turn_ms": 40, "stt_ms": 100, "llm_ms": 120, "tts_ms": 40}
        self.say("user-input", text="a tone", final=True, input_type="transcription")
        output = {"text": "Another tone.", "segment_id": int(at), "will_be_spoken": True, "output_type": "sentence"}
        self.say("bot-output", spoken_status="new", **output)
        await asyncio.sleep(at - time.monotonic())
        self.say("bot-started-speaking")
        measured = {"voice_to_voice_ms": 500, "stages": stages, "timeline": {"vad_ms": [0, 200], "tts_ms": None}}
        self.say("server-message", type="latency", turn=1, **measured)
        await asyncio.sleep(self.answer_secs)
        if self.voice.ends == at + self.answer_secs:
            self.say("bot-output", spoken_status="completed", **output)
            self.say("bot-stopped-speaking")

    def stop_talking(self) -> None:
        self.voice.ends = time.monotonic()
        self.say("bot-interrupted")
        self.say("bot-stopped-speaking")
        self.say("server-message", type="interrupted", heard="Another")

    async def leave(self) -> None:
        await asyncio.sleep(self.leaves_after_secs or 0)
        self.say("server-message", type="call-ending", reason="too_long", message="Good bye.")
        self.channel.send(json.dumps({"type": "signalling", "message": {"type": "peerLeft"}}))
        await asyncio.sleep(0.05)
        await self.pc.close()

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        if self.offers:
            await self.pc.close()


@asynccontextmanager
async def serve(handler: Callable) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/api/offer", handler)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def agent(**behaviour) -> AsyncIterator[tuple[Agent, str]]:
    """An agent and its URL; afterwards, nothing of the call may still run."""
    peer = Agent(**behaviour)
    threads = set(threading.enumerate())
    async with serve(peer.offer) as url:
        yield peer, url
        left = {task for task in asyncio.all_tasks() if "transports" in repr(task.get_coro())}
        assert not left
        await peer.close()
    await asyncio.sleep(0.1)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    # The agent's own aiortc encodes in the loop's default executor, whose threads stay until the loop ends.
    assert {t for t in set(threading.enumerate()) - threads if not t.name.startswith("asyncio_")} == set()


def tone_file(path: Path, *pattern: tuple[float, float]) -> Path:
    """A 16 kHz WAV of (silence, tone) pairs in seconds, and half a second of faint noise at the end."""
    parts = []
    for quiet, loud in pattern:
        parts += [np.zeros(int(16_000 * quiet)), 0.3 * np.sin(2 * np.pi * 300 * np.arange(int(16_000 * loud)) / 16_000)]
    parts.append(np.random.default_rng(1).normal(0, 0.0005, 8000))
    soundfile.write(path, np.concatenate(parts), 16_000)
    return path


@pytest.fixture
def question(tmp_path: Path) -> Path:
    return tone_file(tmp_path / "question.wav", (0.2, 0.8))


async def test_two_turns_measured_and_recorded(tmp_path: Path, question: Path) -> None:
    recording = tmp_path / "calls" / "call.wav"
    async with agent() as (peer, url):
        options = CallOptions(url + "/", [question, question], token="secret", record=recording, settle_secs=0.5)
        report = await place_call(options)
    call = report.as_dict()
    assert set(call) == {"call_id", "connected_ms", "turns", "recording"}, call
    assert call["call_id"] == "call-7" and call["recording"] == str(recording)
    assert report.connected_ms is not None and 0 < report.connected_ms < 5000
    assert peer.headers[0]["Authorization"] == "Bearer secret"
    ready = next(json.loads(message) for message in peer.received if not message.startswith("ping"))
    assert ready["type"] == "client-ready" and ready["data"]["version"] == "2.2.0"
    assert sum(message.startswith("ping") for message in peer.received) >= 3
    for turn in report.turns:
        print(turn)
        assert turn.as_dict() == {
            "wav": str(question),
            "heard": "a tone",
            "reply": "Another tone.",
            "voice_to_voice_ms": turn.voice_to_voice_ms,
            "stages": {"vad_ms": 200, "turn_ms": 40, "stt_ms": 100, "llm_ms": 120, "tts_ms": 40},
            "interrupted": False,
            "timeline": {"vad_ms": [0, 200], "tts_ms": None},
            "answer_secs": turn.answer_secs,
        }
        assert turn.voice_to_voice_ms == pytest.approx(625, abs=125)
        assert turn.answer_secs == pytest.approx(0.6, abs=0.06)
    assert_recorded(recording, [turn.voice_to_voice_ms or 0 for turn in report.turns])


def assert_recorded(recording: Path, voice_to_voice_ms: list[float]) -> None:
    """The silences between the channels' tones are the figures reported."""
    info = soundfile.info(recording)
    assert (info.samplerate, info.channels, info.subtype) == (RATE, 2, "PCM_16")
    pcm, _ = soundfile.read(recording, dtype="int16")
    sent, heard = stretches(pcm[:, 0]), stretches(pcm[:, 1])
    assert [end - start for start, end in sent] == pytest.approx([0.8, 0.8], abs=0.01)
    assert [end - start for start, end in heard] == pytest.approx([0.6, 0.6], abs=0.06)
    gaps = [(begin - end) * 1000 for (_, end), (begin, _) in zip(sent, heard, strict=True)]
    # A stall of the test machine shifts the recording by as much.
    assert gaps == pytest.approx(voice_to_voice_ms, abs=120)


def stretches(pcm: np.ndarray) -> list[tuple[float, float]]:
    """Where the channel is loud, in seconds; 300 ms of silence part two stretches."""
    loud = np.flatnonzero(np.abs(pcm.astype(int)) > LOUD) / RATE
    cuts = np.flatnonzero(np.diff(loud) > 0.3)
    return list(zip(loud[np.r_[0, cuts + 1]].tolist(), loud[np.r_[cuts, -1]].tolist(), strict=True))


async def test_talking_over_an_answer(question: Path) -> None:
    async with agent(answer_secs=4.0) as (_, url):
        report = await place_call(CallOptions(url, [question, question], barge_in_secs=1.0, settle_secs=0.4))
    first, second = report.turns
    print(first, second)
    assert first.interrupted and not second.interrupted
    assert (first.reply, second.reply) == ("Another", "Another tone.")
    # 1 s to the start of the file, 0.2 s of silence in it, 0.12 s until the agent stops.
    assert first.answer_secs == pytest.approx(1.4, abs=0.15)
    assert second.silence_after_barge_in_ms == pytest.approx(180, abs=120)
    assert second.voice_to_voice_ms == pytest.approx(625, abs=125)
    assert second.answer_secs == pytest.approx(4.0, abs=0.1)
    assert first.silence_after_barge_in_ms is None and not report.problems


async def test_an_answer_in_a_pause_is_not_the_one_measured(tmp_path: Path) -> None:
    halting = tone_file(tmp_path / "halting.wav", (0.1, 0.5), (0.9, 0.7))
    async with agent(answer_secs=1.5) as (_, url):
        report = await place_call(CallOptions(url, [halting], settle_secs=0.4))
    (turn,) = report.turns
    assert turn.cut_in and turn.as_dict()["cut_in"] is True
    assert turn.voice_to_voice_ms == pytest.approx(625, abs=125)
    assert turn.answer_secs == pytest.approx(1.5, abs=0.1)
    assert turn.heard == "a tone a tone" and turn.reply == "Another tone."


async def test_no_answer_carries_what_there_was(tmp_path: Path, question: Path) -> None:
    recording = tmp_path / "call.wav"
    async with agent(mute=True) as (_, url):
        with pytest.raises(NoAnswer) as caught:
            await place_call(CallOptions(url, [question], record=recording, answer_timeout_secs=0.8))
    assert str(question) in str(caught.value) and caught.value.waited_secs == 0.8
    assert caught.value.report is not None and caught.value.report.call_id == "call-7"
    assert caught.value.report.turns[0].voice_to_voice_ms is None
    pcm, _ = soundfile.read(recording, dtype="int16")
    assert len(stretches(pcm[:, 0])) == 1


async def test_the_server_hangs_up(question: Path) -> None:
    async with agent(leaves_after_secs=0.2) as (_, url):
        with pytest.raises(CallDropped, match="hung up after 0 of 1 answers: too_long") as caught:
            await place_call(CallOptions(url, [question]))
    assert caught.value.report is not None and caught.value.report.as_dict()["ending"] == "too_long"


async def test_a_cancelled_call_leaves_nothing(tmp_path: Path, question: Path) -> None:
    async with agent() as (peer, url):
        call = asyncio.create_task(place_call(CallOptions(url, [question], record=tmp_path / "call.wav")))
        while not peer.received:
            await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert soundfile.info(tmp_path / "call.wav").channels == 2


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({"error": {"code": "busy", "message": "All lines are taken."}}, "busy", "All lines are taken."),
        ({"detail": "No."}, None, "No."),
        ("<h1>Bad gateway</h1>", None, "Bad gateway"),
    ],
)
async def test_refused(question: Path, body: object, code: str | None, said: str) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=503, text=body if isinstance(body, str) else json.dumps(body))

    async with serve(refuse) as url:
        with pytest.raises(CallRefused, match="503") as caught:
            await place_call(CallOptions(url, [question]))
    assert (caught.value.status, caught.value.code) == (503, code) and said in str(caught.value)


async def test_not_connected(question: Path) -> None:
    async def nonsense(request: web.Request) -> web.Response:
        return web.Response(text="hello")

    async def media_goes_nowhere(request: web.Request) -> web.Response:
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        await peer.setRemoteDescription(RTCSessionDescription(**await request.json()))
        await peer.setLocalDescription(await peer.createAnswer())
        sdp = peer.localDescription.sdp
        await peer.close()
        return web.json_response({"sdp": sdp, "type": "answer", "pc_id": "x"})

    with pytest.raises(CallNotConnected, match=r"no server to call at http://127\.0\.0\.1:9"):
        await place_call(CallOptions("127.0.0.1:9", [question]))
    async with serve(nonsense) as url:
        with pytest.raises(CallNotConnected, match="did not answer with a WebRTC answer"):
            await place_call(CallOptions(url, [question]))
    async with serve(media_goes_nowhere) as url:
        with pytest.raises(CallNotConnected, match="within 1 s"):
            await place_call(CallOptions(url, [question], connect_timeout_secs=1.0))


async def test_a_bad_file_is_refused_before_anything_is_dialled(tmp_path: Path, question: Path) -> None:
    (tmp_path / "text.wav").write_text("not audio")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16_000)
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    async with agent() as (peer, url):
        for name, reason in [
            ("missing.wav", "No such file"),
            ("text.wav", "cannot be read as audio"),
            ("empty.wav", "no samples"),
            ("silent.wav", "no speech"),
        ]:
            with pytest.raises(BadAudioFile, match=reason) as caught:
                await place_call(CallOptions(url, [question, tmp_path / name]))
            assert caught.value.path == tmp_path / name and "Expected an audio file" in str(caught.value)
        with pytest.raises(BadRecording, match="cannot be written"):
            await place_call(CallOptions(url, [question], record=tmp_path))
        assert peer.offers == []


async def test_urls() -> None:
    assert normal_url("localhost:7860/") == "http://localhost:7860"
    assert normal_url(" https://agent.example/voice// ") == "https://agent.example/voice"


async def test_the_made_question_is_what_the_tests_say(question: Path) -> None:
    first, last = speech_bounds(read_speech(question).pcm, RATE)
    assert (first / RATE, last / RATE) == (pytest.approx(0.2, abs=0.01), pytest.approx(1.0, abs=0.01))
