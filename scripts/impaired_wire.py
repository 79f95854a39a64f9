"""An audio path that loses and delays packets, in virtual time: speech to packets, to arrivals, to samples.

What is heard through aiortc's own jitter buffer and through the agent's can be compared on the same arrivals.
"""

import fractions
import math
import random
from dataclasses import dataclass

import av
import numpy as np
import soxr
from aiortc.codecs.opus import OpusDecoder as AiortcDecoder
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtp import RtpPacket

from transports.inbound_audio import RATE, Sound
from transports.jitter import AudioJitterBuffer, AudioPacket, Fill, Play, WireCounts
from transports.opus import packet_ticks
from transports.reordering import WaitBounds

OPUS_RATE = 48_000
FRAME = 960
PACKET_SECS = FRAME / OPUS_RATE


@dataclass(frozen=True)
class Arrival:
    """A packet, the time at which it was sent, and the time at which it comes, in seconds."""

    at: float
    sent_at: float
    packet: AudioPacket


@dataclass
class Heard:
    """What came out: PCM16 at 16 kHz, mono, and for each packet that was played how long it was held."""

    pcm: np.ndarray
    held_ms: list[float]
    concealed_secs: float = 0.0
    counts: WireCounts | None = None


def encoded(pcm: np.ndarray, *, correction: bool = True, expected_loss: int = 5) -> list[AudioPacket]:
    """Packets of 20 ms as a browser's: 32 kbit/s, mono, for speech.

    Args:
        pcm: int16 samples at 16 kHz.
        correction: Whether each packet carries a coarse copy of the one before.
        expected_loss: What the sender has been told of losses, in percent: libopus spends as much on the copies.
    """
    encoder = av.CodecContext.create("libopus", "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = OPUS_RATE, "mono", "s16", 32_000
    encoder.options = {"application": "voip", "fec": str(int(correction)), "packet_loss": str(expected_loss)}
    wide = soxr.resample(pcm.astype(np.float32) / 32768, RATE, OPUS_RATE)
    wide = np.pad((np.clip(wide, -1, 1) * 32767).astype(np.int16), (0, -len(wide) % FRAME))
    payloads: list[bytes] = []
    for at in range(0, len(wide), FRAME):
        frame = av.AudioFrame.from_ndarray(wide[None, at : at + FRAME], format="s16", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = OPUS_RATE, fractions.Fraction(1, OPUS_RATE), at
        payloads += [bytes(packet) for packet in encoder.encode(frame)]
    return [
        AudioPacket(7, (65_000 + n) & 0xFFFF, (2**32 - 50_000 + n * FRAME) & 0xFFFFFFFF, packet_ticks(payload), payload)
        for n, payload in enumerate(payloads)
    ]


def arrivals(
    packets: list[AudioPacket], *, loss: float = 0.0, jitter_secs: float = 0.0, ordered: bool = False, seed: int = 0
) -> list[Arrival]:
    """Each packet is lost with a probability of `loss` and delayed by itself, evenly up to `jitter_secs`.

    So packets overtake each other, unless `ordered`: then one that is delayed delays those behind it. The first three
    and the last three come, that all receivers hear the same length.
    """
    chance, found, latest = random.Random(seed), [], 0.0
    for number, packet in enumerate(packets):
        sent_at = number * PACKET_SECS
        at, dies = sent_at + chance.uniform(0, jitter_secs), chance.random() < loss
        if number < 3 or number >= len(packets) - 3:
            at, dies = max(sent_at, latest), False
        latest = max(latest, at) if ordered or number < 3 else latest
        if not dies:
            found.append(Arrival(max(at, latest) if ordered else at, sent_at, packet))
    return sorted(found, key=lambda arrival: arrival.at)


def heard_by_agent(path: list[Arrival], bounds: WaitBounds | None = None) -> Heard:
    """Through the agent's buffer and decoder."""
    buffer = AudioJitterBuffer(bounds or WaitBounds())
    sound, pieces, held, concealed = Sound(buffer.counts), [], [], 0
    came = {arrival.packet.sequence: arrival.at for arrival in path}

    def take(steps: list, now: float) -> None:
        nonlocal concealed
        pieces.extend(sound.render(steps))
        held.extend((now - came[step.packet.sequence]) * 1000 for step in steps if isinstance(step, Play))
        concealed += sum(step.ticks for step in steps if isinstance(step, Fill))

    for arrival, following in zip(path, [*path[1:], None], strict=True):
        take(buffer.add(arrival.packet, arrival.at), arrival.at)
        now, end = arrival.at, following.at if following else math.inf
        while (deadline := buffer.deadline(now)) is not None and deadline < end:
            now = max(now, deadline)
            take(buffer.poll(now), now)
    pcm = np.frombuffer(b"".join(pieces), np.int16)
    return Heard(pcm, held, concealed / OPUS_RATE, buffer.counts)


def heard_by_aiortc(path: list[Arrival], prefetch: int) -> Heard:
    """Through aiortc's buffer, its decoder, and Pipecat's resampler. Its own default is `prefetch=4`."""
    buffer, decoder = JitterBuffer(capacity=16, prefetch=prefetch), AiortcDecoder()
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    came = {arrival.packet.timestamp: arrival.at for arrival in path}
    pieces, held = [], []
    for arrival in path:
        packet = RtpPacket(96, 0, arrival.packet.sequence, arrival.packet.timestamp, 7, arrival.packet.payload)
        packet._data = arrival.packet.payload  # type: ignore[attr-defined]
        _, frame = buffer.add(packet)
        if frame is None:
            continue
        held.append((arrival.at - came[frame.timestamp]) * 1000)
        for decoded in decoder.decode(frame):
            decoded.pts = None
            pieces += [out.to_ndarray()[0] for out in resampler.resample(decoded)]  # type: ignore[arg-type]
    return Heard(np.concatenate(pieces) if pieces else np.zeros(0, np.int16), held)
