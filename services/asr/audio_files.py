"""Decodes an uploaded file of any container to PCM16 mono at 16 kHz. For a thread, not for the event loop."""

from collections.abc import Iterator
from typing import Any, BinaryIO

import av
import av.error
import numpy as np
import soundfile
import soxr

from services.common.errors import Refusal

SAMPLE_RATE = 16_000
LOWEST_RATE, HIGHEST_RATE = 4_000, 192_000
"""Sample rates of files, in Hz. A header may claim any: at 1 Hz each sample would become 16,000."""

BLOCK_SAMPLES = 65_536
"""Most samples at a time, before resampling (of all channels together) and after it."""

UNKNOWN_FRAMES = 0x7FFF_FFFF_FFFF_FFFF
"""What libsndfile gives for the length of a file that does not tell it."""

GUESSED_BY_SOUNDFILE = ("MP3",)
GUESSED_BY_FFMPEG = ("mp3", "aac", "amr", "mpegts", "mpeg")
"""Formats without a length in their header: it is guessed from the first frames, and may be half as long again."""

CONTAINERS = "mov,mp4,m4a,3gp,matroska,webm,ogg,mp3,aac,wav,flac,amr,asf,aiff,caf,mpegts,mpeg,flv,avi,w64,au"
"""What FFmpeg may take a file for: no playlist, which would have it open other files and addresses."""

EXPECTED = "expected an audio file with speech, e.g. wav, flac, mp3, ogg, opus, m4a or webm"


def decode(file: BinaryIO, *, max_secs: float) -> bytes:
    """Decode the first audio track.

    Args:
        file: Seekable.
        max_secs: Longest audio; a file whose header says more is not decoded, and decoding stops there.

    Returns:
        PCM16 little-endian mono at 16 kHz, not empty.

    Raises:
        Refusal: It is empty, cannot be decoded or has an odd sample rate (`bad_audio`), or is too long (`too_long`).
    """
    file.seek(0)
    if not file.read(1):
        raise Refusal("bad_audio", f"the file is empty; {EXPECTED}", param="file")
    try:
        pcm = _bounded(_by_soundfile(file, max_secs), max_secs)
    except soundfile.LibsndfileError:
        try:
            pcm = _bounded(_by_ffmpeg(file, max_secs), max_secs)
        except (av.error.FFmpegError, ValueError, OSError) as error:
            raise Refusal("bad_audio", f"the file cannot be decoded as audio; {EXPECTED}", param="file") from error
    if not pcm:
        raise Refusal("bad_audio", f"the file has no sound in it: its length is zero; {EXPECTED}", param="file")
    return pcm


def _bounded(blocks: Iterator[np.ndarray], max_secs: float) -> bytes:
    pcm = bytearray()
    for block in blocks:
        pcm += block.astype("<i2").tobytes()
        _check_length(len(pcm) / (SAMPLE_RATE * 2), max_secs)
    return bytes(pcm)


def _check_rate(rate: int) -> None:
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        expected = f"expected {LOWEST_RATE} to {HIGHEST_RATE} Hz"
        raise Refusal("bad_audio", f"the file's sample rate is {rate} Hz; {expected}", param="file")


def _check_length(secs: float, max_secs: float) -> None:
    if secs > max_secs:
        raise Refusal("too_long", f"the audio is too long; expected at most {max_secs:g} s", param="file")


def _by_soundfile(file: BinaryIO, max_secs: float) -> Iterator[np.ndarray]:
    file.seek(0)
    with soundfile.SoundFile(file) as sound:
        _check_rate(sound.samplerate)
        if sound.frames != UNKNOWN_FRAMES and sound.format not in GUESSED_BY_SOUNDFILE:
            _check_length(sound.frames / sound.samplerate, max_secs)
        resampler = soxr.ResampleStream(sound.samplerate, SAMPLE_RATE, 1, dtype="float32")
        frames = max(1, min(BLOCK_SAMPLES // sound.channels, BLOCK_SAMPLES * sound.samplerate // SAMPLE_RATE))
        while len(block := sound.read(frames, dtype="float32", always_2d=True)):
            yield _to_int16(resampler.resample_chunk(block.mean(axis=1)))
        yield _to_int16(resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True))


def _by_ffmpeg(file: BinaryIO, max_secs: float) -> Iterator[np.ndarray]:
    file.seek(0)
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "none"}
    with av.open(file, mode="r", options=options, metadata_errors="ignore") as container:
        if not container.streams.audio:
            raise ValueError("no audio track")
        track = container.streams.audio[0]
        if track.rate:
            _check_rate(track.rate)
        if track.duration and track.time_base and container.format.name not in GUESSED_BY_FFMPEG:
            _check_length(float(track.duration * track.time_base), max_secs)
        resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        for frame in container.decode(track):
            # A header may have no rate, or another one.
            _check_rate(frame.sample_rate)
            for piece in _pieces(frame):
                for resampled in resampler.resample(piece):
                    yield resampled.to_ndarray().reshape(-1)
        for resampled in resampler.resample(None):
            yield resampled.to_ndarray().reshape(-1)


def _pieces(frame: av.AudioFrame) -> Iterator[av.AudioFrame]:
    """A frame in parts that become at most `BLOCK_SAMPLES` each: some codecs have frames of many seconds."""
    most = max(1, min(BLOCK_SAMPLES // len(frame.layout.channels), BLOCK_SAMPLES * frame.sample_rate // SAMPLE_RATE))
    if frame.samples <= most:
        yield frame
        return
    samples, width = frame.to_ndarray(), 1 if frame.format.is_planar else len(frame.layout.channels)
    for at in range(0, frame.samples, most):
        part: Any = np.ascontiguousarray(samples[:, at * width : (at + most) * width])
        piece = av.AudioFrame.from_ndarray(part, format=frame.format.name, layout=frame.layout.name)
        piece.sample_rate = frame.sample_rate
        yield piece


def _to_int16(samples: np.ndarray) -> np.ndarray:
    return np.clip(np.round(samples * 32768.0), -32768, 32767)
