"""Takes the audio of a client in, in whatever pieces it comes, and gives it at the engine's rate."""

import numpy as np
import soxr

from services.common.errors import Refusal

ENGINE_RATE = 16_000


class Intake:
    """Checks and resamples the PCM of one stream."""

    def __init__(self, sample_rate: int):
        """
        Args:
            sample_rate: Of what comes, one of `services.common.audio.SAMPLE_RATES`.
        """
        self._resampler = (
            None if sample_rate == ENGINE_RATE else soxr.ResampleStream(sample_rate, ENGINE_RATE, 1, dtype="int16")
        )

    def feed(self, pcm: bytes) -> bytes:
        """Give PCM16 at 16 kHz for PCM16 at the client's rate; the resampler holds a few milliseconds back.

        Raises:
            Refusal: There is half a sample in it (`odd_audio`).
        """
        if len(pcm) % 2:
            raise Refusal("odd_audio", f"a message of {len(pcm)} bytes ends in half a sample; expected 16-bit samples")
        if self._resampler is None:
            return pcm
        return self._resampler.resample_chunk(np.frombuffer(pcm, dtype="<i2")).astype("<i2").tobytes()

    def finish(self) -> bytes:
        """What the resampler held back. Nothing may be fed after it."""
        if self._resampler is None:
            return b""
        return self._resampler.resample_chunk(np.zeros(0, dtype=np.int16), last=True).astype("<i2").tobytes()
