"""A service itself, whatever its engine does: what it counts, what it is doing, and the GPU it is on."""

import asyncio
from typing import Any, Protocol

from configs.settings import ServiceSettings
from engines.errors import EngineClosed, EngineError
from engines.wire import code_of
from services.common.access import Access
from services.common.errors import Refusal
from services.common.gpu import GpuHealth
from services.common.metrics import ServiceMetrics
from services.common.pool import BoundedPool
from services.common.state import ServiceState, Status

GPU_ANSWER_SECS = 1.0


class Engine(Protocol):
    """What every engine tells of itself."""

    @property
    def name(self) -> str:
        """Engine and model, for people."""
        ...

    @property
    def problem(self) -> str | None:
        """Why it does no work now, in a sentence; None where it does."""
        ...

    async def close(self) -> None:
        """Give the model back."""
        ...


class Service:
    """One engine and everything that its requests share. HTTP and WebSocket are in front of it."""

    engine: Engine | None
    aliases: tuple[str, ...] = ()
    """Names under which OpenAI's clients ask for the model, whichever it is."""

    def __init__(
        self, settings: ServiceSettings, metrics: ServiceMetrics, *, model: str, device: str, max_requests: int
    ):
        """
        Args:
            settings: Where it listens, and its limits.
            metrics: What it counts.
            model: What is served, as `GET /v1/models` names it.
            device: Where the engine runs: `cpu`, `cuda` or `cuda:N`.
            max_requests: Requests over HTTP at once that have a body.
        """
        self.settings = settings
        self.metrics = metrics
        self.model = model
        self.state = ServiceState(max_connections=settings.max_connections, max_requests=max_requests)
        self.access = Access(settings)
        self.engine = None
        self._gpu = GpuHealth(device)
        self._gpu_thread = BoundedPool("gpu-health", threads=1, max_queue=16)
        metrics.follow(queue=lambda: self.queue_size, connections=lambda: self.state.connections)

    @property
    def queue_size(self) -> int:
        """Requests that wait for the engine."""
        raise NotImplementedError

    def take_work(self) -> None:
        """The engine is there: take requests from now on."""
        if self.state.status is Status.LOADING:
            self.state.status = Status.OK

    def outcome_of(self, error: EngineError) -> str:
        """The code of what the engine raised, for the metrics. An engine that has ended ends the service's work."""
        if isinstance(error, EngineClosed) and self.state.status is Status.OK:
            self.state.status = Status.FAILED
        return code_of(error)

    def check_model(self, asked: str | None) -> None:
        """Raises `Refusal` (`model_not_found`) unless a request asks for what is served, or for nothing."""
        if asked not in (None, self.model, *self.aliases):
            known = " or ".join((self.model, *self.aliases))
            raise Refusal("model_not_found", f"model {asked!r} is not served here; expected {known}", param="model")

    async def health(self) -> dict[str, Any]:
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
        """Give the engine and the threads back."""
        self._gpu_thread.close()
        if self.engine is not None:
            await self.engine.close()
