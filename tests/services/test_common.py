"""What the services share, by itself."""

import asyncio
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from engines.errors import EngineError
from engines.wire import ERRORS, CloseCode, code_of
from services.common.errors import MEANINGS, Refusal, refusal_of
from services.common.gpu import GpuHealth
from services.common.pool import BoundedPool
from services.common.websockets import short_reason


def all_engine_errors(kind: type[EngineError] = EngineError) -> list[type[EngineError]]:
    return [found for child in kind.__subclasses__() for found in (child, *all_engine_errors(child))]


@pytest.mark.parametrize("kind", all_engine_errors(), ids=lambda kind: kind.__name__)
def test_every_engine_error_has_a_code_a_status_and_a_way_back(kind: type[EngineError]):
    refusal = refusal_of(kind("why"))
    assert refusal.code == code_of(kind("")) and str(refusal) == "why"
    assert ERRORS[refusal.code] is kind
    assert 400 <= refusal.status < 600 and isinstance(refusal.close_code, CloseCode)


def test_every_code_on_the_wire_has_a_meaning():
    assert set(ERRORS) <= set(MEANINGS)


def test_a_reason_fits_into_a_close_frame():
    assert len(short_reason("é" * 200).encode()) <= 123
    assert short_reason("short") == "short"


async def test_a_pool_refuses_what_it_cannot_begin_soon():
    pool, go = BoundedPool("slow", threads=1, max_queue=1), threading.Event()
    calls = [asyncio.create_task(pool.run(go.wait)) for _ in range(2)]
    await asyncio.sleep(0.01)
    with pytest.raises(Refusal, match="2 requests already wait for slow"):
        await pool.run(go.wait)
    calls[1].cancel()
    go.set()
    assert await calls[0]
    assert await pool.run(lambda: threading.current_thread().name.startswith("slow"))
    pool.close()


class FakeNvml(SimpleNamespace):
    """NVIDIA's management library with two GPUs."""

    class NVMLError(Exception):
        """Its error."""

    asked: list[Any]

    def __init__(self, **more: Any):
        import os

        super().__init__(
            asked=[],
            nvmlInit=lambda: None,
            nvmlDeviceGetHandleByIndex=lambda index: self.asked.append(index) or index,
            nvmlDeviceGetHandleByUUID=lambda uuid: self.asked.append(uuid) or uuid,
            nvmlDeviceGetMemoryInfo=lambda _: SimpleNamespace(used=5_000, total=80_000),
            nvmlDeviceGetName=lambda _: b"A GPU",
            nvmlDeviceGetComputeRunningProcesses=lambda _: [SimpleNamespace(pid=os.getpid(), usedGpuMemory=3_000)],
            **more,
        )


@pytest.mark.parametrize(
    ("visible", "handle"), [(None, 1), ("4,6", 6), ("GPU-aaa,GPU-bbb", "GPU-bbb"), ("", 1), ("3", 1)]
)
def test_the_gpu_is_the_one_that_cuda_means(monkeypatch: pytest.MonkeyPatch, visible: str | None, handle: Any):
    nvml = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    health = GpuHealth("cuda:1")
    assert health.read() == {
        "id": 1,
        "name": "A GPU",
        "available": True,
        "memory_allocated": 3_000,
        "memory_reserved": 5_000,
        "memory_total": 80_000,
    }
    health.read()
    assert nvml.asked == [handle], "a state of the last second is good enough"


def test_without_a_gpu_or_its_driver_health_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert GpuHealth("cuda").read()["available"] is False
    nvml = FakeNvml()

    def fail() -> None:
        raise nvml.NVMLError("no driver")

    nvml.nvmlInit = fail
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    health = GpuHealth("cuda:3").read()
    assert health["available"] is False and health["id"] == 3 and health["memory_total"] is None
    assert GpuHealth("cpu").read()["id"] is None
