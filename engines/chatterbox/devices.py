"""Where work runs: the device, its lanes (CUDA streams), and how long work took there."""

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch


@contextmanager
def at_work(device: torch.device) -> Iterator[None]:
    """Without gradients, and with streams, events and graphs on this device, whichever thread calls."""
    with torch.no_grad(), torch.cuda.device(device.index or 0) if device.type == "cuda" else nullcontext():
        yield


class Lane:
    """One order of work on a device. Work of two lanes runs side by side; on a CPU there is one order only."""

    def __init__(self, device: torch.device, *, urgent: bool = False):
        """
        Args:
            device: The device.
            urgent: Whether its work goes first where both want the same.
        """
        self.device = device
        self._stream = torch.cuda.Stream(device, priority=-1 if urgent else 0) if device.type == "cuda" else None

    def use(self) -> AbstractContextManager[object]:
        """What is done inside is put on this lane."""
        return torch.cuda.stream(self._stream) if self._stream is not None else nullcontext()


class Stopwatch:
    """Adds up how long work took on its lane, without waiting for it."""

    def __init__(self, device: torch.device):
        self._on_cuda = device.type == "cuda"
        self._running: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self._secs = 0.0
        # Those who ask for the seconds are on another thread than the work.
        self._lock = threading.Lock()

    @contextmanager
    def time(self) -> Iterator[None]:
        """Time what is put on the current lane inside."""
        if not self._on_cuda:
            began_at = time.perf_counter()
            yield
            self._secs += time.perf_counter() - began_at
            return
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        yield
        end.record()
        with self._lock:
            self._running.append((begin, end))
        if len(self._running) > 64:
            self._collect()

    @property
    def secs(self) -> float:
        """All that is over by now."""
        if self._on_cuda:
            self._collect()
        return self._secs

    def _collect(self) -> None:
        with self._lock:
            running = []
            for begin, end in self._running:
                if end.query():
                    self._secs += begin.elapsed_time(end) / 1000
                else:
                    running.append((begin, end))
            self._running = running
