"""Where there is speech: Silero's model, from the file that faster-whisper carries, hearing a stream as it comes."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from engines.errors import WeightsError
from engines.owner import ModelOwner

SAMPLE_RATE = 16_000
WINDOW = 512
"""Samples that the model hears at a time: 32 ms."""

WINDOW_SECS = WINDOW / SAMPLE_RATE
CONTEXT = 64
"""Samples before the window that it hears again."""

STATE = (1, 1, 128)


class VadStream:
    """What the model remembers of one stream: its state, the last samples, and those that do not fill a window yet."""

    def __init__(self) -> None:
        self.hidden = np.zeros(STATE, dtype=np.float32)
        self.cell = np.zeros(STATE, dtype=np.float32)
        self.context = np.zeros(CONTEXT, dtype=np.float32)
        self.waiting = np.zeros(0, dtype=np.float32)


class SileroVad:
    """One Silero session for all streams of a process."""

    def __init__(self, *, max_queue: int = 256):
        """Load the model (2 MB); takes some ten milliseconds.

        Args:
            max_queue: Calls that may wait or run; one more is refused with `EngineBusy`.

        Raises:
            WeightsError: The file is missing or cannot be loaded.
        """
        self._session = _load(vad_file())
        self._owner = ModelOwner("vad", max_queue=max_queue)

    async def hear(self, stream: VadStream, pcm: bytes) -> list[float]:
        """The probability of speech, 0 to 1, in each window that `pcm` completes.

        Args:
            stream: Whose audio it is. Calls for one stream must not overlap.
            pcm: Signed 16-bit little-endian mono samples at 16 kHz, of any length.

        Raises:
            EngineError: As `ModelOwner.run`.
        """
        stream.waiting = np.concatenate([stream.waiting, np.frombuffer(pcm, dtype="<i2").astype(np.float32) / 32768.0])
        if len(stream.waiting) < WINDOW:
            return []
        count = len(stream.waiting) // WINDOW * WINDOW
        samples, before = stream.waiting[:count], (stream.context, stream.hidden, stream.cell)
        heard, after = await self._owner.run(lambda: self._hear(samples, *before))
        # Only now: a call that is cancelled leaves the stream as it was, and the next hears its samples again.
        stream.context, stream.hidden, stream.cell = after
        stream.waiting = stream.waiting[count:]
        return heard

    async def close(self) -> None:
        """Give the thread back."""
        await self._owner.close()

    def _hear(
        self, samples: np.ndarray, context: np.ndarray, hidden: np.ndarray, cell: np.ndarray
    ) -> tuple[list[float], tuple[np.ndarray, np.ndarray, np.ndarray]]:
        windows = samples.reshape(-1, WINDOW)
        contexts = np.vstack([context, windows[:-1, -CONTEXT:]])
        heard, hidden, cell = self._session.run(None, {"input": np.hstack([contexts, windows]), "h": hidden, "c": cell})
        return [float(probability) for probability in np.ravel(heard)], (windows[-1, -CONTEXT:], hidden, cell)


def vad_file() -> Path:
    """The model's file. faster-whisper is found, not imported: importing it loads CTranslate2.

    Raises:
        WeightsError: It is not there.
    """
    found = importlib.util.find_spec("faster_whisper")
    path = Path(found.origin).parent / "assets" / "silero_vad_v6.onnx" if found and found.origin else None
    if path is None or not path.is_file():
        raise WeightsError(f"Silero VAD: no file {path or 'of faster-whisper'}; install faster-whisper again")
    return path


def _load(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise WeightsError(f"Silero VAD: {path.name} cannot be loaded: {error}") from error
