"""The service itself: its engine, what it counts, and what it is doing. HTTP and WebSocket are in front of it."""

import asyncio
import time

from configs.settings import AsrServiceSettings, Settings
from engines.errors import EngineError
from engines.protocol import SpeechToText, Transcript, TranscriptionOptions
from engines.vad import SileroVad
from services.asr.metrics import Metrics
from services.common.pool import BoundedPool
from services.common.service import Service


class AsrService(Service):
    """One speech-to-text engine and everything that its requests share."""

    settings: AsrServiceSettings
    metrics: Metrics
    engine: SpeechToText | None
    aliases = ("whisper-1",)

    def __init__(self, settings: Settings):
        """
        Args:
            settings: The sections `asr` and `stt`.
        """
        self._pending = 0
        super().__init__(
            settings.asr,
            Metrics(),
            model=settings.stt.model,
            device=settings.stt.device,
            max_requests=settings.asr.max_uploads,
        )
        self.decoders = BoundedPool(
            "decode", threads=settings.asr.decode_threads, max_queue=settings.asr.max_decode_queue
        )
        self.vad: SileroVad | None = None

    @property
    def queue_size(self) -> int:
        """Requests that the engine has not answered yet, whether they wait or run."""
        return self._pending

    @property
    def has_room(self) -> bool:
        """Whether a partial would hold up nobody."""
        return self.engine is not None and self.engine.has_room

    def open(self, engine: SpeechToText, vad: SileroVad) -> None:
        """Take requests from now on."""
        self.engine, self.vad = engine, vad
        self.take_work()

    async def transcribe(self, pcm: bytes, options: TranscriptionOptions, *, way: str) -> Transcript:
        """Have an utterance transcribed and counted.

        Args:
            pcm: PCM16 little-endian mono at 16 kHz.
            options: What it asks for.
            way: How it came, `stream` or `file`.

        Raises:
            EngineError: As `SpeechToText.transcribe`.
        """
        assert self.engine is not None, "requests are taken only once the engine is loaded"
        began_at = time.perf_counter()
        outcome = "cancelled"
        self._pending += 1
        try:
            transcript = await self.engine.transcribe(pcm, options)
            outcome = "ok"
        except EngineError as error:
            outcome = self.outcome_of(error)
            raise
        except Exception:
            outcome = "failed"
            raise
        finally:
            self._pending -= 1
            if not options.partial:
                self.metrics.requests.labels(way, outcome).inc()
        self.metrics.transcribed(transcript, time.perf_counter() - began_at, partial=options.partial)
        return transcript

    async def close(self) -> None:
        """Give the models and the threads back."""
        self.decoders.close()
        await asyncio.gather(super().close(), *([self.vad.close()] if self.vad is not None else []))
