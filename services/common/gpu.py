"""What `GET /health` says of the GPU, asked of NVIDIA's management library: no CUDA context is made for it."""

import os
import re
import time
from typing import Any

FRESH_SECS = 1.0


class GpuHealth:
    """The memory of the GPU that a service uses. For one thread at a time."""

    def __init__(self, device: str):
        """
        Args:
            device: `cpu`, `cuda` or `cuda:N`, as the engine was told.
        """
        self._index = int(device.partition(":")[2] or 0) if device.startswith("cuda") else None
        self._asked_at = -FRESH_SECS
        self.last: dict[str, Any] = nothing()

    def read(self) -> dict[str, Any]:
        """The state of the GPU, at most a second old.

        Returns:
            `id`, `name`, `available`; in bytes `memory_allocated` (of this process; null where the driver does not
            tell, as in most containers), `memory_reserved` (of all processes) and `memory_total`. Nulls without a GPU.
        """
        if self._index is not None and time.monotonic() - self._asked_at >= FRESH_SECS:
            self.last = _ask(self._index)
            self._asked_at = time.monotonic()
        return self.last


def nothing() -> dict[str, Any]:
    """The state where there is no GPU."""
    keys = ("id", "name", "memory_allocated", "memory_reserved", "memory_total")
    return {**dict.fromkeys(keys), "available": False}


def _ask(index: int) -> dict[str, Any]:
    try:
        import pynvml  # pyright: ignore[reportMissingImports]
    except ImportError:
        return nothing()
    try:
        pynvml.nvmlInit()
        handle = _handle(pynvml, index)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        name = pynvml.nvmlDeviceGetName(handle)
        running = {
            process.pid: process.usedGpuMemory for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
        }
    except pynvml.NVMLError:
        return {**nothing(), "id": index}
    return {
        "id": index,
        "name": name.decode() if isinstance(name, bytes) else name,
        "available": True,
        "memory_allocated": running.get(os.getpid()),
        "memory_reserved": memory.used,
        "memory_total": memory.total,
    }


def _handle(nvml: Any, index: int) -> Any:
    """The management library counts all GPUs; CUDA only those of CUDA_VISIBLE_DEVICES, in its order."""
    visible = [part.strip() for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if part.strip()]
    chosen = visible[index] if index < len(visible) else str(index)
    if re.fullmatch(r"\d+", chosen):
        return nvml.nvmlDeviceGetHandleByIndex(int(chosen))
    return nvml.nvmlDeviceGetHandleByUUID(chosen)
