"""What is watched beside the answers: the event loop's lag, the GPU, memory, and what an engine counts of its work."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent.bench.figures import percentiles, rounded

TICK_SECS = 0.02
GPU_TICK_MS = 500
MIB = 2**20


class LoopLag:
    """How late the event loop of the measuring process is: what it adds to every instant that is measured."""

    def __init__(self) -> None:
        self.late_secs: list[float] = []
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin anew."""
        self.late_secs = []
        self._task = asyncio.get_running_loop().create_task(self._watch())

    def stop(self) -> dict[str, float | None]:
        """The percentiles in milliseconds."""
        if self._task:
            self._task.cancel()
        return percentiles(self.late_secs)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_at = loop.time() + TICK_SECS
            await asyncio.sleep(TICK_SECS)
            self.late_secs.append(max(0.0, loop.time() - due_at))


class GpuWatch:
    """Load, memory and power of one GPU, as the driver's own tool tells them twice a second."""

    def __init__(self, device: str):
        """
        Args:
            device: `cuda` or `cuda:N`; for any other nothing is watched.
        """
        self._tool = shutil.which("nvidia-smi") if device.startswith("cuda") else None
        self._gpu = _gpu_of(device)
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Begin; in a process of its own, so that nothing here waits for it."""
        if self._tool is None:
            return
        asked = "utilization.gpu,memory.used,power.draw"
        command = [self._tool, f"--id={self._gpu}", f"--query-gpu={asked}", "--format=csv,noheader,nounits"]
        with contextlib.suppress(OSError):
            self._process = subprocess.Popen(
                [*command, f"--loop-ms={GPU_TICK_MS}"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )

    def stop(self) -> dict[str, float] | None:
        """Mean and highest load (0 to 1), highest memory of all processes in MiB, mean power in W; None without GPU."""
        if self._process is None:
            return None
        self._process.terminate()
        told, _ = self._process.communicate()
        self._process = None
        return gpu_figures(told)


def gpu_figures(told: str) -> dict[str, float] | None:
    """The figures of lines `load in per cent, memory in MiB, power in W`; other lines are left out."""
    rows = [row for line in told.splitlines() if (row := _numbers(line))]
    if not rows:
        return None
    loads, memory, power = zip(*rows, strict=True)
    return {
        "utilization": rounded(sum(loads) / len(loads) / 100),
        "utilization_max": rounded(max(loads) / 100),
        "memory_used_mib": max(memory),
        "power_watts": rounded(sum(power) / len(power)),
    }


def _numbers(line: str) -> tuple[float, float, float] | None:
    parts = line.split(",")
    try:
        return float(parts[0]), float(parts[1]), float(parts[2])
    except (ValueError, IndexError):
        return None


def _gpu_of(device: str) -> str:
    """The driver counts all GPUs; CUDA only those of CUDA_VISIBLE_DEVICES, in its order."""
    index = device.partition(":")[2] or "0"
    visible = [part.strip() for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if part.strip()]
    return visible[int(index)] if int(index) < len(visible) else index


class Memory:
    """Memory of this process, and what torch holds on the GPU for it."""

    def start(self) -> None:
        """Peaks count from here."""
        if cuda := _torch_cuda():
            cuda.reset_peak_memory_stats()

    def stop(self) -> dict[str, float | None]:
        """In MiB: `host` now, and the peaks `torch_allocated` and `torch_reserved`, null without CUDA."""
        cuda = _torch_cuda()
        return {
            "host_mib": _host_mib(),
            "torch_allocated_mib": round(cuda.max_memory_allocated() / MIB, 1) if cuda else None,
            "torch_reserved_mib": round(cuda.max_memory_reserved() / MIB, 1) if cuda else None,
        }


def _torch_cuda() -> Any:
    """CUDA of torch, where something in this process uses it; never a reason to load torch."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized() else None


def _host_mib() -> float | None:
    status = Path("/proc/self/statm")
    if not status.is_file():
        return None
    return round(int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB, 1)


class Stages:
    """What an engine counts of its own work (`stats()`), from one instant to another; nothing where it does not."""

    def __init__(self, engine: object):
        counts: Callable[[], Mapping[str, Any]] | None = getattr(engine, "stats", None)
        self._stats = counts or dict
        self._before: Mapping[str, Any] = {}

    def start(self) -> None:
        """Count from here."""
        self._before = self._stats()

    def stop(self) -> dict[str, Any]:
        """What every count has grown by."""
        return differences(self._before, self._stats())


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What each number has grown by, those of inner mappings too. What is not a number is left out."""
    grown: dict[str, Any] = {}
    for name, value in after.items():
        earlier = before.get(name)
        if isinstance(value, Mapping):
            grown[str(name)] = differences(earlier if isinstance(earlier, Mapping) else {}, value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            grown[str(name)] = value - (earlier or 0)
    return grown
