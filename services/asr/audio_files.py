"""Decodes an uploaded file of any container to PCM16 mono at 16 kHz. For a thread, not for the event loop."""

from collections.abc import Iterator
from typing import BinaryIO

import av
import av.error
import numpy as np
import soundfile
import soxr

from services.common.errors import Refusal

SAMPLE_RATE = 16_000
BLOCK_SAMPLES = 65_536
"""Samples of all channels together that are decoded at a time."""

CONTAINERS = "mov,mp4,m4a,3gp,matroska,webm,ogg,mp3,aac,wav,flac,amr,asf,aiff,caf,mpegts,mpeg,flv,avi,w64,au"
"""What FFmpeg may take a file for: no playlist, which would have it open other files and addresses."""

EXPECTED = "expected an audio file with speech, e.g. wav, flac, mp3, ogg, opus, m4a or webm"


def decode(file: BinaryIO, *, max_secs: float) -> bytes:
    """Decode the first audio track.

    Args:
        file: Seekable.
        max_secs: Longest audio; decoding stops there.

    Returns:
        PCM16 little-endian mono at 16 kHz, not empty.

    Raises:
        Refusal: It is empty, cannot be decoded (`bad_audio`), or is too long (`too_long`).
    """
    file.seek(0)
    if not file.read(1):
        raise Refusal("bad_audio", f"the file is empty; {EXPECTED}", param="file")
    try:
        pcm = _bounded(_by_soundfile(file), max_secs)
    except soundfile.LibsndfileError:
        try:
            pcm = _bounded(_by_ffmpeg(file), max_secs)
        except (av.error.FFmpegError, ValueError, OSError) as error:
            raise Refusal("bad_audio", f"the file cannot be decoded as audio; {EXPECTED}", param="file") from error
    if not pcm:
        raise Refusal("bad_audio", f"the file has no sound in it: its length is zero; {EXPECTED}", param="file")
    return pcm


def _bounded(blocks: Iterator[np.ndarray], max_secs: float) -> bytes:
    pcm = bytearray()
    for block in blocks:
        pcm += block.astype("<i2").tobytes()
        if len(pcm) > max_secs * SAMPLE_RATE * 2:
            raise Refusal("too_long", f"the audio is too long; expected at most {max_secs:g} s", param="file")
    return bytes(pcm)


def _by_soundfile(file: BinaryIO) -> Iterator[np.ndarray]:
    file.seek(0)
    with soundfile.SoundFile(file) as sound:
        resampler = soxr.ResampleStream(sound.samplerate, SAMPLE_RATE, 1, dtype="float32")
        frames = max(1, BLOCK_SAMPLES // sound.channels)
        while len(block := sound.read(frames, dtype="float32", always_2d=True)):
            yield _to_int16(resampler.resample_chunk(block.mean(axis=1)))
        yield _to_int16(resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True))


def _by_ffmpeg(file: BinaryIO) -> Iterator[np.ndarray]:
    file.seek(0)
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "none"}
    with av.open(file, mode="r", options=options, metadata_errors="ignore") as container:
        if not container.streams.audio:
            raise ValueError("no audio track")
        resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        for frame in container.decode(container.streams.audio[0]):
            for resampled in resampler.resample(frame):
                yield resampled.to_ndarray().reshape(-1)
        for resampled in resampler.resample(None):
            yield resampled.to_ndarray().reshape(-1)


def _to_int16(samples: np.ndarray) -> np.ndarray:
    return np.clip(np.round(samples * 32768.0), -32768, 32767)
