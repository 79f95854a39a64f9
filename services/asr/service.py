"""The service itself: its engine, what it counts, and what it is doing. HTTP and WebSocket are in front of it."""

import asyncio
import time

from configs.settings import Settings
from engines.errors import EngineClosed, EngineError
from engines.protocol import SpeechToText, Transcript, TranscriptionOptions
from engines.vad import SileroVad
from engines.wire import code_of
from services.asr.metrics import Metrics
from services.common.access import Access
from services.common.errors import Refusal
from services.common.gpu import GpuHealth
from services.common.pool import BoundedPool
from services.common.state import ServiceState, Status

GPU_ANSWER_SECS = 1.0


class AsrService:
    """One speech-to-text engine and everything that its requests share."""

    def __init__(self, settings: Settings):
        """
        Args:
            settings: The sections `asr` and `stt`.
        """
        self.settings = settings.asr
        self.model = settings.stt.model
        self.state = ServiceState(max_connections=settings.asr.max_connections, max_requests=settings.asr.max_uploads)
        self.metrics = Metrics()
        self.access = Access(settings.asr)
        self.decoders = BoundedPool(
            "decode", threads=settings.asr.decode_threads, max_queue=settings.asr.max_decode_queue
        )
        self.engine: SpeechToText | None = None
        self.vad: SileroVad | None = None
        self._gpu = GpuHealth(settings.stt.device)
        self._gpu_thread = BoundedPool("gpu-health", threads=1, max_queue=16)
        self._pending = 0
        self.metrics.queue.set_function(lambda: self.queue_size)
        self.metrics.connections.set_function(lambda: self.state.connections)

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
        if self.state.status is Status.LOADING:
            self.state.status = Status.OK

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
            outcome = code_of(error)
            if isinstance(error, EngineClosed) and self.state.status is Status.OK:
                self.state.status = Status.FAILED
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

    async def health(self) -> dict[str, object]:
        """What `GET /health` answers. The GPU is asked on a thread of its own.

        A problem of the engine is not kept: requests go on, and the one that succeeds shows that it is over.
        """
        gpu = await self._read_gpu()
        problem = self.engine.problem if self.engine else None
        status = Status.FAILED if problem is not None and self.state.status is Status.OK else self.state.status
        return {
            "status": status.value,
            "problem": problem,
            "model": self.model,
            "engine": self.engine.name if self.engine else None,
            "gpu": gpu,
            "active_connections": self.state.connections,
            "max_connections": self.settings.max_connections,
            "queue_size": self.queue_size,
        }

    async def _read_gpu(self) -> dict[str, object]:
        try:
            async with asyncio.timeout(GPU_ANSWER_SECS):
                return await self._gpu_thread.run(self._gpu.read)
        except (Refusal, TimeoutError):
            # Many ask at once, or the driver hangs: the service is alive all the same.
            return self._gpu.last

    async def close(self) -> None:
        """Give the models and the threads back."""
        self.decoders.close()
        self._gpu_thread.close()
        await asyncio.gather(*(model.close() for model in (self.engine, self.vad) if model is not None))
