"""The last gate before the wire: holds the agent's sound in mid-word, lets it go on where it stopped, or drops it."""

import asyncio
from collections import deque

import numpy as np
from pipecat.audio.filters.base_audio_filter import BaseAudioFilter
from pipecat.frames.frames import FilterControlFrame

KEPT_SECS = 2.0
"""Of what was played, for telling an echo."""

MOST_HELD_SECS = 8.0
"""Longest hold of one packet."""

SILENT_SECS = 0.06
"""Sound that stopped so long ago is over: there is nothing to fade."""


class Mouth(BaseAudioFilter):
    """Pipecat's filter of a transport's outgoing audio (PCM16 mono), which may be held.

    Pipecat's audio task waits in `filter` while the mouth is held, so everything behind stays in its order, the words
    that are told as they are played among it. All methods belong to the event loop.
    """

    def __init__(self) -> None:
        self.sample_rate = 0
        self._free = asyncio.Event()
        self._free.set()
        self._silenced = False
        self._answer = 0
        self._faded: bytes | None = None
        self._played: deque[bytes] = deque()
        self._played_bytes = 0
        self._last_at = float("-inf")

    @property
    def is_held(self) -> bool:
        """Whether nothing is let through for now."""
        return not self._free.is_set()

    def hold(self) -> None:
        """Let nothing through, from the next packet on, which is faded out."""
        self._free.clear()

    def release(self) -> None:
        """Go on where it stopped; after `silence` there is nothing to go on with."""
        if not self._silenced:
            self._free.set()

    def silence(self) -> None:
        """The answer is interrupted: it waits here until `open`, and is dropped then.

        It is not let through, not even as silence: the words behind it would be taken for played.
        """
        self._silenced = True
        self._faded = None
        self._free.clear()

    def open(self) -> None:
        """What comes from here on belongs to another answer."""
        if self._silenced:
            self._silenced = False
            self._answer += 1
            self._free.set()

    def played(self) -> np.ndarray:
        """The last sound that was let through, int16, up to `KEPT_SECS`."""
        return np.frombuffer(b"".join(self._played), dtype="<i2")

    async def start(self, sample_rate: int) -> None:
        """The transport's rate is known."""
        self.sample_rate = sample_rate

    async def stop(self) -> None:
        """The call ends: nobody may wait here."""
        self._silenced = True
        self.open()

    async def process_frame(self, frame: FilterControlFrame) -> None:
        """There is nothing to control."""

    async def filter(self, audio: bytes) -> bytes:
        """The packet as it is to be played: at once, later, faded at the edges of a hold, or not at all (empty)."""
        answer = self._answer
        is_playing = asyncio.get_running_loop().time() - self._last_at < SILENT_SECS
        if self.is_held and not self._silenced and self._faded is None and is_playing:
            # A cut in mid-wave clicks. The packet is faded out, and said again from its beginning.
            self._faded = audio
            return self._let_through(_ramp(audio, rising=False))
        try:
            async with asyncio.timeout(MOST_HELD_SECS):
                await self._free.wait()
        except TimeoutError:
            # Whoever held it has forgotten it; the call must not stay mute.
            if not self._silenced:
                self._free.set()
        if answer != self._answer or self._silenced:
            return b""
        faded, self._faded = self._faded, None
        return self._let_through(audio if faded is None else _ramp(faded, rising=True) + audio)

    def _let_through(self, audio: bytes) -> bytes:
        self._last_at = asyncio.get_running_loop().time()
        self._played.append(audio)
        self._played_bytes += len(audio)
        while self._played_bytes > KEPT_SECS * self.sample_rate * 2 and len(self._played) > 1:
            self._played_bytes -= len(self._played.popleft())
        return audio


def _ramp(audio: bytes, *, rising: bool) -> bytes:
    samples = np.frombuffer(audio, dtype="<i2").astype(np.float32)
    ramp = np.linspace(0, 1, len(samples), dtype=np.float32)
    return (samples * (ramp if rising else ramp[::-1])).astype("<i2").tobytes()
