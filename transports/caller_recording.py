"""The recording of a call: left what was sent, right what was heard, on one clock.

The file is written while the call goes on, a second at a time and three seconds behind, from a thread of its own: at
most a few seconds of audio are in memory. It stops growing after ten minutes.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
import soundfile

from transports.caller_audio import RATE

SENT, HEARD = 0, 1
MAX_SECS = 600.0


class Tape:
    """Places pieces of two channels on one clock and hands out what is finished.

    Args:
        origin: The time of the first sample, in seconds on the clock of `place`.
        max_secs: Longest recording; what lies beyond is left out and `truncated` says so.
    """

    def __init__(self, origin: float, max_secs: float = MAX_SECS) -> None:
        self.truncated = False
        self._origin = origin
        self._limit = round(max_secs * RATE)
        self._taken = 0
        self._window = np.zeros((0, 2), np.int16)

    def place(self, channel: int, at: float, pcm: np.ndarray) -> None:
        """Put int16 samples of shape (samples,) where they were spoken or heard, unless that was already taken."""
        start = round((at - self._origin) * RATE)
        end = start + len(pcm)
        if end > self._limit:
            self.truncated = True
        low, high = max(start, self._taken), min(end, self._limit)
        if low >= high:
            return
        self._grow(high - self._taken)
        self._window[low - self._taken : high - self._taken, channel] = pcm[low - start : high - start]

    def take(self, until: float | None = None) -> np.ndarray:
        """Rows of shape (samples, 2), int16, from where the last call ended up to a time, or all that there is."""
        rows = len(self._window)
        if until is not None:
            rows = min(max(round((until - self._origin) * RATE), self._taken), self._limit) - self._taken
            self._grow(rows)
        taken, self._window = self._window[:rows], self._window[rows:].copy()
        self._taken += rows
        return taken

    def _grow(self, rows: int) -> None:
        missing = rows - len(self._window)
        if missing > 0:
            self._window = np.concatenate((self._window, np.zeros((missing, 2), np.int16)))


class Recorder:
    """Writes a tape to a stereo 16-bit WAV file at 48 kHz while it is being filled.

    All file work runs in the given executor, one piece at a time.
    """

    _LAG_SECS = 3.0

    def __init__(self, tape: Tape, clock: Callable[[], float], executor: Executor) -> None:
        self._tape = tape
        self._clock = clock
        self._executor = executor
        self._file: soundfile.SoundFile | None = None
        self._writing: asyncio.Task[None] | None = None

    async def start(self, path: Path) -> None:
        """Open the file and start writing.

        Raises:
            OSError: The file cannot be written.
            soundfile.SoundFileError: libsndfile cannot write it.
        """
        file: soundfile.SoundFile = await self._in_thread(_open, path)
        self._file = file
        self._writing = asyncio.create_task(self._write_on(file))

    async def stop(self) -> None:
        """Write what is left and close the file. Safe to call when it was never started."""
        if self._file is None or self._writing is None:
            return
        self._writing.cancel()
        done, _ = await asyncio.wait([self._writing])
        await self._in_thread(_finish, self._file, self._tape.take())
        self._file = None
        for task in done:
            if not task.cancelled() and (error := task.exception()):
                raise error

    async def _write_on(self, file: soundfile.SoundFile) -> None:
        while True:
            await asyncio.sleep(1.0)
            # A piece that was taken must reach the file, or all after it would move forward in time.
            await asyncio.shield(self._in_thread(file.write, self._tape.take(self._clock() - self._LAG_SECS)))

    def _in_thread(self, function: Callable, *args: object) -> asyncio.Future:
        return asyncio.get_running_loop().run_in_executor(self._executor, function, *args)


def _open(path: Path) -> soundfile.SoundFile:
    path.parent.mkdir(parents=True, exist_ok=True)
    return soundfile.SoundFile(path, "w", samplerate=RATE, channels=2, subtype="PCM_16", format="WAV")


def _finish(file: soundfile.SoundFile, rows: np.ndarray) -> None:
    try:
        file.write(rows)
    finally:
        file.close()
