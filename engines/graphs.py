"""CUDA graphs by key: a capture the first time, a replay afterwards.

Launching a kernel costs the CPU more than most kernels of a small batch cost the GPU; a replay launches
them all at once.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch

Key = tuple[Any, ...]
"""What is captured, and the sizes it was captured for."""

WARM_UPS = 2
"""Runs before a capture: libraries choose their kernels and make their workspaces in them."""


class Graphs:
    """Graphs that share one pool of memory, the least recently used forgotten beyond `limit`.

    What is captured must read and write tensors that stay in one place and leave nothing in what it allocates: the
    next graph uses the same memory. On a CPU everything simply runs.
    """

    def __init__(self, device: torch.device, limit: int):
        """Keep at most `limit` graphs on `device`."""
        self._device = device
        self._limit = limit
        self._graphs: OrderedDict[Key, torch.cuda.CUDAGraph] = OrderedDict()
        self._aside: torch.cuda.Stream | None = None
        self._pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None

    def __len__(self) -> int:
        return len(self._graphs)

    def run(self, key: Key, work: Callable[[], None]) -> None:
        """Do `work`, which is always the same for the same key.

        Before a capture it runs a few times more: doing it twice must be the same as doing it once.
        """
        if self._device.type != "cuda":
            work()
            return
        self.prepare(key, work)
        self._graphs.move_to_end(key)
        self._graphs[key].replay()

    def has(self, key: Key) -> bool:
        """Whether nothing is left to prepare for this key, which then is not the next to be forgotten."""
        if key in self._graphs:
            self._graphs.move_to_end(key)
            return True
        return self._device.type != "cuda"

    def prepare(self, key: Key, work: Callable[[], None]) -> None:
        """Capture `work` unless there is a graph of this key. It runs a few times on the way."""
        if self.has(key):
            return
        if len(self._graphs) >= self._limit:
            torch.cuda.synchronize(self._device)
        while len(self._graphs) >= self._limit:
            self._graphs.popitem(last=False)
        # One stream for every warm-up and capture: what is allocated on a stream is only used again on that stream.
        aside = self._aside = self._aside or torch.cuda.Stream(self._device)
        aside.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(aside):
            for _ in range(WARM_UPS):
                work()
        torch.cuda.current_stream(self._device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # Another engine's thread may use the device meanwhile; only this thread's calls matter to the capture.
        with torch.cuda.graph(graph, pool=self._pool, stream=aside, capture_error_mode="thread_local"):
            work()
        self._graphs[key] = graph

    def forget(self, *kinds: str) -> None:
        """Drop the graphs whose keys begin with one of `kinds`: the tensors they use have moved or go."""
        dropped = [key for key in self._graphs if key[0] in kinds]
        if dropped:
            torch.cuda.synchronize(self._device)
        for key in dropped:
            del self._graphs[key]
