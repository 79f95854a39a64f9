"""Notices that a batch has finished without making the device wait for the host."""

from collections import deque

import torch

LAG = 1
"""Steps that the host is ahead: it learns of the end this many steps late, and the device never runs dry."""


class FinishWatch:
    """Copies the device's flag aside after every step and looks at an earlier copy."""

    def __init__(self, device: torch.device):
        """Make the places that the flag is copied to."""
        self._on_cuda = device.type == "cuda"
        self._waiting: deque[int] = deque()
        self._next = 0
        if self._on_cuda:
            self._seen = torch.zeros(LAG + 1, dtype=torch.bool, pin_memory=True)
            # A blocking event sleeps: the thread leaves its core to others while the device works.
            self._events = [torch.cuda.Event(blocking=True) for _ in range(LAG + 1)]

    def begin(self) -> None:
        """Forget the last batch."""
        self._waiting.clear()

    def is_finished(self, flag: torch.Tensor) -> bool:
        """Whether the batch had finished `LAG` steps ago; `flag` has shape (1,) and may still be computed."""
        if not self._on_cuda:
            return bool(flag)
        slot, self._next = self._next, (self._next + 1) % (LAG + 1)
        self._seen[slot : slot + 1].copy_(flag, non_blocking=True)
        self._events[slot].record()
        self._waiting.append(slot)
        if len(self._waiting) <= LAG:
            return False
        oldest = self._waiting.popleft()
        self._events[oldest].synchronize()
        return bool(self._seen[oldest])
