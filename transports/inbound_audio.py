"""The caller's audio, from RTP packets to samples, in place of aiortc's jitter buffer and decoder thread."""

import asyncio
import fractions
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from aiortc import RTCPeerConnection
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtp import RtpPacket
from av import AudioFrame
from loguru import logger

from transports.jitter import CLOCK_RATE, AudioJitterBuffer, AudioPacket, Fill, Play, Restart, Step, WireCounts
from transports.opus import OpusDecoder, OpusError, carries_correction, libopus, packet_ticks
from transports.reordering import WaitBounds

RATE = 16_000
"""What recognisers hear; Opus decodes to it directly, which spares a resampler."""

JITTER_BUFFER = "_RTCRtpReceiver__jitter_buffer"
CODECS = "_RTCRtpReceiver__codecs"

FRAME_TICKS = CLOCK_RATE // 50
CONCEAL_TICKS = CLOCK_RATE // 10
"""What Opus makes up beyond 100 ms is no longer speech, so the rest of a longer hole is silence."""

SEAM_SAMPLES = RATE // 200
MAX_FRAMES = 500
"""Frames that may wait for a reader who does not come: ten seconds."""


class Sound:
    """Steps of the jitter buffer to PCM16 at `RATE`, as long as the steps say."""

    def __init__(self, counts: WireCounts) -> None:
        self._counts = counts
        self._decoder = OpusDecoder(RATE)
        self._fading: np.ndarray | None = None

    def render(self, steps: list[Step]) -> list[bytes]:
        """The sound of these steps, in pieces of at most a packet."""
        pieces: list[bytes] = []
        for step in steps:
            match step:
                case Play():
                    pieces += self._play(step.packet)
                case Fill():
                    pieces += self._fill(step)
                case Restart():
                    self._restart()
        return pieces

    def _play(self, packet: AudioPacket) -> list[bytes]:
        if not packet.ticks:
            return []
        try:
            return [self._joined(self._decoder.decode(packet.payload))]
        except OpusError as error:
            logger.debug(f"a packet of the caller's audio is concealed: {error}")
            return self._concealed(packet.ticks)

    def _fill(self, hole: Fill) -> list[bytes]:
        if not hole.lost or not carries_correction(hole.before.payload):
            return self._concealed(hole.ticks)
        copied = min(hole.ticks, hole.before.ticks)
        pieces = self._concealed(hole.ticks - copied)
        self._counts.recovered += 1
        return [*pieces, self._joined(self._decoder.recover(hole.before.payload, copied))]

    def _concealed(self, ticks: int) -> list[bytes]:
        made_up = min(ticks, CONCEAL_TICKS)
        lengths = [FRAME_TICKS] * (made_up // FRAME_TICKS) + ([made_up % FRAME_TICKS] if made_up % FRAME_TICKS else [])
        pieces = [self._joined(self._decoder.conceal(length)) for length in lengths]
        if ticks > made_up:
            self._fading = _samples(self._decoder.conceal(SEAM_SAMPLES * CLOCK_RATE // RATE))
            silence = bytes((ticks - made_up) * RATE // CLOCK_RATE * 2)
            whole = FRAME_TICKS * RATE // CLOCK_RATE * 2
            pieces += [self._joined(silence[at : at + whole]) for at in range(0, len(silence), whole)]
            self._fading = np.zeros(SEAM_SAMPLES, np.int16)
        return pieces

    def _restart(self) -> None:
        if self._fading is None:
            self._fading = _samples(self._decoder.conceal(SEAM_SAMPLES * CLOCK_RATE // RATE))
        self._decoder.reset()

    def _joined(self, pcm: bytes) -> bytes:
        """What comes next, faded into from what would have gone on, so that no seam clicks."""
        if self._fading is None:
            return pcm
        samples = _samples(pcm).astype(np.float32)
        fading, self._fading = self._fading[: len(samples)], None
        rise = np.linspace(0, 1, len(fading) + 2, dtype=np.float32)[1:-1]
        samples[: len(fading)] += (fading - samples[: len(fading)]) * (1 - rise)
        return samples.round().astype(np.int16).tobytes()


class InboundAudio:
    """Has the interface of aiortc's jitter buffer, and puts the track's frames into its queue by itself.

    aiortc takes one frame a packet from a jitter buffer and decodes it in a thread, which cannot conceal what is
    missing and costs the event loop more than decoding does. Opus is decoded here, in some 40 µs a packet. Other
    codecs, which a caller who offered them may send, go aiortc's own way.

    Args:
        receiver: The `RTCRtpReceiver` whose packets come.
        bounds: Of the wait for a missing packet.
        clock: Monotonic time in seconds.
    """

    def __init__(self, receiver: Any, bounds: WaitBounds, clock: Callable[[], float] = time.monotonic) -> None:
        self._codecs = getattr(receiver, CODECS)
        self._queue: asyncio.Queue[AudioFrame | None] = receiver.track._queue
        self._others = JitterBuffer(capacity=16, prefetch=1)
        self._buffer = AudioJitterBuffer(bounds)
        self._sound = Sound(self._buffer.counts)
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self._samples = 0

    @property
    def counts(self) -> WireCounts:
        """What came of the packets so far; it goes on counting."""
        return self._buffer.counts

    @property
    def wait_secs(self) -> float:
        """How long a packet that is missing now would be waited for."""
        return self._buffer.window.wait_secs(self._clock())

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """aiortc's interface: whether to ask for a key frame, and the next frame for its own decoder."""
        codec = self._codecs.get(packet.payload_type)
        if codec is None or codec.name.lower() != "opus":
            return self._others.add(packet)
        payload: bytes = packet._data  # type: ignore[attr-defined]
        arrived = AudioPacket(packet.ssrc, packet.sequence_number, packet.timestamp, packet_ticks(payload), payload)
        self._emit(self._buffer.add(arrived, self._clock()))
        return False, None

    def _give_up_missing(self) -> None:
        self._timer = None
        self._emit(self._buffer.poll(self._clock()))

    def _emit(self, steps: list[Step]) -> None:
        for pcm in self._sound.render(steps):
            if self._queue.qsize() >= MAX_FRAMES:
                self._queue.get_nowait()
            self._queue.put_nowait(self._frame(pcm))
        deadline = self._buffer.deadline(self._clock())
        # A timer only runs while a packet is missing; one that rings early costs less than setting it anew each time.
        if deadline is not None and self._timer is None:
            self._timer = self._loop.call_later(max(deadline - self._clock(), 0.001), self._give_up_missing)

    def _frame(self, pcm: bytes) -> AudioFrame:
        frame = AudioFrame(format="s16", layout="mono", samples=len(pcm) // 2)
        frame.planes[0].update(pcm)
        frame.sample_rate, frame.time_base, frame.pts = RATE, fractions.Fraction(1, RATE), self._samples
        self._samples += len(pcm) // 2
        return frame


def take_over_audio(connection: RTCPeerConnection, bounds: WaitBounds) -> None:
    """Put an `InboundAudio` in front of every audio track of a connection on which nothing has arrived yet.

    aiortc's own buffer adds 80 ms, and 200 ms more for the rest of the call after one lost packet. It has no setting
    for this, so a private attribute is replaced, as Pipecat does for screen video.
    """
    for transceiver in connection.getTransceivers():
        receiver = transceiver.receiver
        buffer = getattr(receiver, JITTER_BUFFER, None)
        if transceiver.kind != "audio" or not isinstance(buffer, JitterBuffer) or buffer._origin is not None:
            continue
        if receiver.track is None:
            continue
        setattr(receiver, JITTER_BUFFER, _buffer_for(receiver, bounds, buffer.capacity))


def inbound_audio(connection: RTCPeerConnection) -> InboundAudio | None:
    """The one that serves a connection's first audio track."""
    for transceiver in connection.getTransceivers():
        buffer = getattr(transceiver.receiver, JITTER_BUFFER, None)
        if isinstance(buffer, InboundAudio):
            return buffer
    return None


class WireMeter:
    """What came of a caller's packets since one last asked.

    Args:
        connection: Anything whose `pc` is the caller's peer connection now; a restarted caller gets another one.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._audio: InboundAudio | None = None
        self._told = WireCounts()

    def news(self) -> tuple[WireCounts, float] | None:
        """The counts since the last call, and the wait for a missing packet now; `None` where nothing is counted."""
        audio = inbound_audio(self._connection.pc)
        if audio is None:
            return None
        if audio is not self._audio:
            self._audio, self._told = audio, WireCounts()
        earlier, self._told = self._told, replace(audio.counts)
        return self._told.since(earlier), audio.wait_secs


def _buffer_for(receiver: Any, bounds: WaitBounds, capacity: int) -> InboundAudio | JitterBuffer:
    try:
        libopus()
    except OpusError as error:
        logger.warning(f"lost packets of the caller's audio are not concealed: {error}")
        return JitterBuffer(capacity=capacity, prefetch=1)
    return InboundAudio(receiver, bounds)


def _samples(pcm: bytes) -> np.ndarray:
    return np.frombuffer(pcm, np.int16)
