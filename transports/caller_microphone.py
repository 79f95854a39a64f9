"""The caller's microphone: files and silence, sent frame by frame as they would be spoken."""

import asyncio
import fractions
import time
from collections.abc import Callable

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from transports.caller_audio import FRAME_SAMPLES, FRAME_SECS, RATE, SpeechFile

clock = time.monotonic
"""The one clock of a call, in seconds."""

_TIME_BASE = fractions.Fraction(1, RATE)
_SILENCE = np.zeros(FRAME_SAMPLES, np.int16)


class Speaking:
    """One file on its way out.

    A frame leaves when its last sample would have left a microphone, so a sample was spoken as long before the frame
    was sent as it lies before the frame's end.
    """

    def __init__(self, file: SpeechFile) -> None:
        self.file = file
        self.started: float | None = None
        self.first: float | None = None
        self.last: float | None = None
        self._position = 0

    def next_frame(self) -> np.ndarray:
        """The next 960 samples, padded with silence."""
        frame = self.file.pcm[self._position : self._position + FRAME_SAMPLES]
        return frame if len(frame) == FRAME_SAMPLES else np.concatenate((frame, _SILENCE[len(frame) :]))

    def sent(self, at: float) -> None:
        """The frame last taken was sent."""
        frame_start = at - FRAME_SECS
        if self.started is None:
            self.started = frame_start
        for name, sample in (("first", self.file.first), ("last", self.file.last)):
            if self._position <= sample < self._position + FRAME_SAMPLES:
                setattr(self, name, frame_start + (sample - self._position) / RATE)
        self._position += FRAME_SAMPLES


class Microphone(MediaStreamTrack):
    """Sends a 20 ms frame of 48 kHz mono every 20 ms by the monotonic clock: a file, or silence.

    A frame that comes late does not move the ones after it. Frames are encoded here, not by aiortc, which would do it
    in the loop's default executor: the moment of sending is then known, and no thread is started.

    Args:
        on_frame: Told the time of the first sample of each frame, by the unhurried clock, and its samples.
        background: Heard under everything, over and over; int16, shape (samples,).
    """

    kind = "audio"

    def __init__(self, on_frame: Callable[[float, np.ndarray], None], background: np.ndarray | None = None) -> None:
        super().__init__()
        self._background = background
        self.worst_lateness_secs = 0.0
        self._on_frame = on_frame
        self._speaking: Speaking | None = None
        self._origin: float | None = None
        self._frames = 0
        self._encoder = _opus_encoder()

    def speak(self, file: SpeechFile) -> Speaking:
        """Start a file with the next frame, in place of what is left of the one before."""
        self._speaking = Speaking(file)
        return self._speaking

    async def recv(self) -> av.Packet:
        """The next frame, when it is due."""
        if self.readyState != "live":
            raise MediaStreamError
        if self._origin is None:
            self._origin = clock()
        frame_start = self._origin + self._frames * FRAME_SECS
        due = frame_start + FRAME_SECS
        await asyncio.sleep(max(due - clock(), 0.0))
        speaking = self._speaking
        pcm = self._over_background(speaking.next_frame() if speaking else _SILENCE)
        packet = self._encode(pcm)
        now = clock()
        self.worst_lateness_secs = max(self.worst_lateness_secs, now - due)
        if speaking:
            speaking.sent(now)
        self._on_frame(frame_start, pcm)
        self._frames += 1
        return packet

    def _over_background(self, pcm: np.ndarray) -> np.ndarray:
        if self._background is None:
            return pcm
        start = self._frames * FRAME_SAMPLES
        under = self._background.take(range(start, start + FRAME_SAMPLES), mode="wrap")
        return np.clip(pcm.astype(np.int32) + under, -32768, 32767).astype(np.int16)

    def _encode(self, pcm: np.ndarray) -> av.Packet:
        frame = av.AudioFrame.from_ndarray(pcm[None, :], format="s16", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = RATE, _TIME_BASE, self._frames * FRAME_SAMPLES
        data = b"".join(bytes(packet) for packet in self._encoder.encode(frame))
        packet = av.Packet(data)
        packet.pts, packet.time_base = self._frames * FRAME_SAMPLES, _TIME_BASE
        return packet


def _opus_encoder() -> av.AudioCodecContext:
    encoder = av.CodecContext.create("libopus", "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = RATE, "mono", "s16", 32_000
    encoder.options = {"application": "voip"}
    return encoder
