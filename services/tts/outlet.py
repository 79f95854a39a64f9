"""Gives the speech of an engine at the client's rate, in pieces that are small enough for one message."""

from collections.abc import Iterator

import numpy as np
import soxr

from engines.protocol import Mark, SpeechChunk
from services.common.audio import BYTES_PER_SAMPLE

PIECE_SECS = 1.0
"""Longest piece: resampling one, or writing it to a socket, holds nobody up."""


class Outlet:
    """Resamples one stream, and its marks with it."""

    def __init__(self, engine_rate: int, rate: int):
        """
        Args:
            engine_rate: Sample rate of what the engine gives, in Hz.
            rate: Sample rate of what the client gets, in Hz.
        """
        self._engine_rate, self._rate = engine_rate, rate
        self._resampler = None if rate == engine_rate else soxr.ResampleStream(engine_rate, rate, 1, dtype="int16")
        self._step = int(PIECE_SECS * engine_rate) * BYTES_PER_SAMPLE
        self._taken = 0
        self._marks: list[Mark] = []
        self.samples = 0
        """Samples given so far, at the client's rate."""

    def feed(self, chunk: SpeechChunk) -> Iterator[SpeechChunk]:
        """The chunk in pieces, each with the marks of the words that begin in it; their samples are the client's."""
        self._marks += [Mark(mark.text, self._at(mark.start), self._at(mark.end)) for mark in chunk.marks]
        for at in range(0, len(chunk.pcm), self._step):
            yield from self._give(self._resample(chunk.pcm[at : at + self._step]))

    def finish(self) -> Iterator[SpeechChunk]:
        """What was held back. Nothing may be fed after it."""
        total = self._at(self._taken)
        if self._resampler is None:
            rest = b""
        else:
            rest = self._resampler.resample_chunk(np.zeros(0, dtype=np.int16), last=True).astype("<i2").tobytes()
            wanted = max(0, total - self.samples) * BYTES_PER_SAMPLE
            rest = rest[:wanted].ljust(wanted, b"\0")
        if rest or self._marks:
            self._marks = [Mark(mark.text, min(mark.start, total), min(mark.end, total)) for mark in self._marks]
            yield SpeechChunk(rest, tuple(self._marks))
            self.samples += len(rest) // BYTES_PER_SAMPLE

    def _at(self, sample: int) -> int:
        return sample * self._rate // self._engine_rate

    def _resample(self, pcm: bytes) -> bytes:
        self._taken += len(pcm) // BYTES_PER_SAMPLE
        if self._resampler is None:
            return pcm
        return self._resampler.resample_chunk(np.frombuffer(pcm, dtype="<i2")).astype("<i2").tobytes()

    def _give(self, pcm: bytes) -> Iterator[SpeechChunk]:
        if not pcm:
            return
        end = self.samples + len(pcm) // BYTES_PER_SAMPLE
        begun = [mark for mark in self._marks if mark.start < end]
        self._marks = self._marks[len(begun) :]
        self.samples = end
        yield SpeechChunk(pcm, tuple(begun))
