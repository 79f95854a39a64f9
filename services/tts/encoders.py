"""Speech as a file that is written while it is made. For a thread, not for the event loop."""

import struct
from collections.abc import Callable
from typing import Any, Protocol

import av
import numpy as np

UNKNOWN = 0xFFFF_FFFF
"""What a WAV header says of a length that is not known yet."""


class Encoder(Protocol):
    """Makes the bytes of one file."""

    def encode(self, pcm: bytes) -> bytes:
        """More of the file, for more PCM16 mono; it may hold some back."""
        ...

    def finish(self) -> bytes:
        """The end of the file."""
        ...


class RawPcm:
    """PCM as it is."""

    def __init__(self, _: int):
        pass

    def encode(self, pcm: bytes) -> bytes:
        """See `Encoder.encode`."""
        return pcm

    def finish(self) -> bytes:
        """See `Encoder.finish`."""
        return b""


class Wav:
    """PCM behind a header that does not know the length."""

    def __init__(self, sample_rate: int):
        format_ = struct.pack("<HHIIHH", 1, 1, sample_rate, sample_rate * 2, 2, 16)
        header = b"RIFF" + struct.pack("<I", UNKNOWN) + b"WAVEfmt " + struct.pack("<I", len(format_)) + format_
        self._header = header + b"data" + struct.pack("<I", UNKNOWN)

    def encode(self, pcm: bytes) -> bytes:
        """See `Encoder.encode`."""
        header, self._header = self._header, b""
        return header + pcm

    def finish(self) -> bytes:
        """See `Encoder.finish`."""
        return self.encode(b"")


class Compressed:
    """A codec in a container, by FFmpeg."""

    def __init__(self, sample_rate: int, *, container: str, codec: str, bit_rate: int | None = None, **options: str):
        """
        Args:
            sample_rate: In Hz.
            container: FFmpeg's name of it.
            codec: FFmpeg's name of it.
            bit_rate: In bits a second; None is the codec's own.
            options: Of the container.
        """
        self._written = _Written()
        self._file = av.open(self._written, "w", format=container, options={"flush_packets": "1", **options})
        self._stream: Any = self._file.add_stream(codec, rate=sample_rate, layout="mono")
        if bit_rate:
            self._stream.bit_rate = bit_rate
        self._rate = sample_rate
        self._at = 0

    def encode(self, pcm: bytes) -> bytes:
        """See `Encoder.encode`."""
        samples: Any = np.frombuffer(pcm, dtype="<i2").reshape(1, -1)
        if samples.size:
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate, frame.pts = self._rate, self._at
            self._at += samples.size
            self._file.mux(self._stream.encode(frame))
        return self._written.take()

    def finish(self) -> bytes:
        """See `Encoder.finish`."""
        self._file.mux(self._stream.encode(None))
        self._file.close()
        return self._written.take()


class _Written:
    """A file that can only be written on."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def write(self, data: bytes) -> int:
        """As files do."""
        self._bytes += data
        return len(data)

    def take(self) -> bytes:
        """What was written since."""
        taken = bytes(self._bytes)
        self._bytes.clear()
        return taken


def _mp3(rate: int) -> Encoder:
    # The header with the length would be written last, at the beginning.
    return Compressed(rate, container="mp3", codec="libmp3lame", bit_rate=64_000, write_xing="0")


def _opus(rate: int) -> Encoder:
    # Without it a page is written once a second.
    return Compressed(rate, container="ogg", codec="libopus", bit_rate=32_000, page_duration="100000")


def _aac(rate: int) -> Encoder:
    return Compressed(rate, container="adts", codec="aac", bit_rate=64_000)


def _flac(rate: int) -> Encoder:
    return Compressed(rate, container="flac", codec="flac")


FORMATS: dict[str, tuple[Callable[[int], Encoder], str]] = {
    "mp3": (_mp3, "audio/mpeg"),
    "opus": (_opus, "audio/ogg"),
    "aac": (_aac, "audio/aac"),
    "flac": (_flac, "audio/flac"),
    "wav": (Wav, "audio/wav"),
    "pcm": (RawPcm, "audio/pcm"),
}
"""Each format's encoder, by its sample rate in Hz, and media type."""
