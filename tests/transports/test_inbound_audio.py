"""The caller's audio behind aiortc's receiver: its interface, its timer, and a real call on a path with losses."""

import asyncio
import contextlib
import fractions
import random
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from aiortc.jitterbuffer import JitterBuffer
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import RtpPacket, is_rtcp
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection

from scripts.impaired_wire import FRAME, OPUS_RATE, PACKET_SECS, encoded
from transports import inbound_audio as module
from transports.inbound_audio import (
    CODECS,
    JITTER_BUFFER,
    MAX_FRAMES,
    RATE,
    InboundAudio,
    WireMeter,
    inbound_audio,
    take_over_audio,
)
from transports.jitter import AudioPacket, WireCounts
from transports.opus import OpusError
from transports.reordering import WaitBounds
from transports.webrtc import Offer, Signalling

SAMPLES = 320
PACKETS = encoded((3000 * np.sin(np.arange(4 * RATE) / 10)).astype(np.int16))


def rtp(packet: AudioPacket, payload_type: int = 96) -> RtpPacket:
    wrapped = RtpPacket(payload_type, 0, packet.sequence, packet.timestamp, packet.ssrc, packet.payload)
    wrapped._data = packet.payload  # type: ignore[attr-defined]
    return wrapped


def pcmu(number: int) -> RtpPacket:
    return rtp(AudioPacket(1, number, number * 160, 0, f"pcmu {number}".encode()), payload_type=0)


def receiver() -> Any:
    codecs = {96: SimpleNamespace(name="opus"), 0: SimpleNamespace(name="PCMU")}
    return SimpleNamespace(**{CODECS: codecs, "track": SimpleNamespace(_queue=asyncio.Queue())})


class Ear:
    """An `InboundAudio` with a clock of its own, and what it put into the track's queue."""

    def __init__(self) -> None:
        self.now = 0.0
        self.receiver = receiver()
        self.audio = InboundAudio(self.receiver, WaitBounds(), clock=lambda: self.now)

    def hear(self, numbers: Iterator[int] | range | list[int]) -> list[Any]:
        for number in numbers:
            self.now = number * 0.02
            assert self.audio.add(rtp(PACKETS[number])) == (False, None)
        return self.frames()

    def frames(self) -> list[Any]:
        queue = self.receiver.track._queue
        return [queue.get_nowait() for _ in range(queue.qsize())]


async def test_frames_are_as_pipecat_wants_them_and_go_on_without_a_gap():
    frames = Ear().hear([*range(20), *range(21, 40)])
    assert [(frame.sample_rate, frame.layout.name, frame.format.name) for frame in frames] == [
        (RATE, "mono", "s16")
    ] * len(frames)
    assert sum(frame.samples for frame in frames) == 40 * SAMPLES
    assert [frame.pts for frame in frames] == list(np.cumsum([0] + [frame.samples for frame in frames[:-1]]))


async def test_the_end_of_speech_behind_a_loss_comes_without_another_packet():
    ear = Ear()
    frames = ear.hear([*range(10), 11])
    assert sum(frame.samples for frame in frames) == 10 * SAMPLES
    ear.now += 0.02
    async with asyncio.timeout(5):
        frames = [await ear.receiver.track._queue.get() for _ in range(2)]
    assert sum(frame.samples for frame in frames) == 2 * SAMPLES
    assert ear.audio._timer is None and ear.audio.counts.lost == 1


async def test_no_timer_runs_while_nothing_is_missing():
    ear = Ear()
    ear.hear(range(50))
    assert ear.audio._timer is None
    ear.hear([51])
    assert ear.audio._timer is not None
    timer = ear.audio._timer
    ear.hear([52, 53])
    assert ear.audio._timer is timer
    timer.cancel()


async def test_a_reader_who_does_not_come_costs_bounded_memory():
    ear = Ear()
    for turn in range(4):
        for number in range(195):
            packet = PACKETS[number]
            packet = AudioPacket(1, turn * 195 + number, (turn * 195 + number) * FRAME, packet.ticks, packet.payload)
            ear.audio.add(rtp(packet))
    assert ear.receiver.track._queue.qsize() == MAX_FRAMES


async def test_what_came_of_the_packets_is_told_since_one_last_asked():
    ear = Ear()
    transceiver = SimpleNamespace(receiver=SimpleNamespace(**{JITTER_BUFFER: ear.audio}))
    pc = SimpleNamespace(getTransceivers=lambda: [transceiver])
    connection = SimpleNamespace(pc=SimpleNamespace(getTransceivers=list))
    meter = WireMeter(connection)
    assert meter.news() is None
    connection.pc = pc
    ear.hear([*range(5), *range(6, 12)])
    counts, wait_secs = meter.news() or pytest.fail("nothing is counted")
    assert (counts.received, counts.lost, wait_secs) == (11, 1, WaitBounds().least_secs)
    ear.hear(range(12, 15))
    counts, _ = meter.news() or pytest.fail("nothing is counted")
    assert (counts.received, counts.lost) == (3, 0)
    setattr(transceiver.receiver, JITTER_BUFFER, Ear().audio)
    assert (meter.news() or pytest.fail("nothing is counted"))[0] == WireCounts()


async def test_other_codecs_go_aiortcs_own_way():
    ear = Ear()
    frames = [ear.audio.add(pcmu(n)) for n in range(3)]
    assert [frame and frame.data for _, frame in frames] == [None, b"pcmu 0", b"pcmu 1"]
    assert ear.frames() == [] and ear.audio.counts.received == 0


async def test_only_a_buffer_that_is_still_empty_is_replaced():
    connection = RTCPeerConnection()
    audio, video = connection.addTransceiver("audio"), connection.addTransceiver("video")
    for one in (audio, video):
        one.receiver._track = SimpleNamespace(_queue=asyncio.Queue())  # type: ignore[assignment]
    begun = getattr(audio.receiver, JITTER_BUFFER)
    begun.add(rtp(PACKETS[0]))
    take_over_audio(connection, WaitBounds())
    assert getattr(audio.receiver, JITTER_BUFFER) is begun and inbound_audio(connection) is None
    setattr(audio.receiver, JITTER_BUFFER, JitterBuffer(capacity=16, prefetch=4))
    take_over_audio(connection, WaitBounds())
    taken = inbound_audio(connection)
    take_over_audio(connection, WaitBounds())
    assert taken is not None and inbound_audio(connection) is taken
    assert isinstance(getattr(video.receiver, JITTER_BUFFER), JitterBuffer)
    await connection.close()


async def test_without_libopus_one_packet_is_held_back(monkeypatch: pytest.MonkeyPatch):
    def missing() -> None:
        raise OpusError("not linked")

    monkeypatch.setattr(module, "libopus", missing)
    connection = RTCPeerConnection()
    audio = connection.addTransceiver("audio")
    audio.receiver._track = SimpleNamespace(_queue=asyncio.Queue())  # type: ignore[assignment]
    take_over_audio(connection, WaitBounds())
    assert inbound_audio(connection) is None and getattr(audio.receiver, JITTER_BUFFER)._prefetch == 1
    await connection.close()


class Speaker(MediaStreamTrack):
    """Sends packets made beforehand as they would be spoken."""

    kind = "audio"

    def __init__(self, packets: list[AudioPacket]) -> None:
        super().__init__()
        self.left = list(enumerate(packets))

    async def recv(self) -> av.Packet:
        if not self.left:
            await asyncio.Event().wait()
        await asyncio.sleep(PACKET_SECS)
        number, packet = self.left.pop(0)
        data = av.Packet(packet.payload)
        data.pts, data.time_base = number * FRAME, fractions.Fraction(1, OPUS_RATE)
        return data


class BadPath:
    """Loses 5 % of a caller's packets, delays each by up to 60 ms; the first and the last ten come as they are."""

    def __init__(self, caller: RTCPeerConnection, packets: int) -> None:
        self.lost: list[int] = []
        self.last: int | None = None
        self._left, self._packets, self._chance = packets, packets, random.Random(5)
        transport = caller.getSenders()[0].transport
        self._send = transport._send_rtp
        self._tasks: set[asyncio.Task] = set()
        transport._send_rtp = self.send  # type: ignore[method-assign]

    async def send(self, data: bytes) -> None:
        if is_rtcp(data):
            return await self._send(data)
        self._left -= 1
        sequence = int.from_bytes(data[2:4], "big")
        if not self._left:
            self.last = sequence
        if not 10 <= self._left < self._packets - 10:
            return await self._send(data)
        if self._chance.random() < 0.05:
            return self.lost.append(sequence)
        task = asyncio.ensure_future(self._late(data, self._chance.uniform(0, 0.06)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return None

    async def _late(self, data: bytes, secs: float) -> None:
        await asyncio.sleep(secs)
        await self._send(data)


async def test_a_real_call_on_a_bad_path_hears_every_sample_and_is_late_with_none():
    caller, agent, heard = RTCPeerConnection(), [], []
    packets = PACKETS[:120]
    caller.addTrack(Speaker(packets))

    async def begin(connection: SmallWebRTCConnection, _: Any) -> None:
        agent.append(connection)

    async def listen() -> None:
        track = agent[0].audio_input_track()
        while True:
            # As Pipecat reads: a track that nobody has asked for two seconds is switched off.
            with contextlib.suppress(TimeoutError):
                heard.append(await asyncio.wait_for(track.recv(), 1))

    await caller.setLocalDescription(await caller.createOffer())
    answer = await Signalling().answer(Offer(sdp=caller.localDescription.sdp), begin)
    listening = asyncio.create_task(listen())
    path = BadPath(caller, len(packets))
    await caller.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
    await agent[0].connect()
    audio = inbound_audio(agent[0].pc)
    assert audio is not None
    buffer = audio._buffer
    async with asyncio.timeout(30):
        while path.last is None or buffer._next & 0xFFFF != (path.last + 1) & 0xFFFF:
            await asyncio.sleep(0.02)
    await asyncio.sleep(0)
    await caller.close()
    with pytest.raises(MediaStreamError):
        await listening
    await agent[0].disconnect()
    # aiortc's own buffer would still hold back fifteen packets here, and wait for more.
    assert sum(frame.samples for frame in heard) == (buffer._next - buffer._first) * SAMPLES
    assert len(path.lost) >= 3 and audio.counts.lost == len(path.lost) + audio.counts.late
    assert buffer._next - buffer._first == audio.counts.received + len(path.lost) and audio._timer is None
