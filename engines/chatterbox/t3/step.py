"""One decoding step under way."""

from collections.abc import Sequence

import numpy as np
import torch


class Step:
    """The new token of every slot that took part."""

    def __init__(self, tokens: torch.Tensor, slots: Sequence[int]):
        """Fetch `tokens`, those of the first slots, on the device's current stream."""
        self._slots = list(slots)
        self._done: torch.cuda.Event | None = None
        if tokens.device.type == "cuda":
            self._tokens = torch.empty(tokens.shape, dtype=tokens.dtype, pin_memory=True)
            self._tokens.copy_(tokens, non_blocking=True)
            self._done = torch.cuda.Event()
            self._done.record(torch.cuda.current_stream(tokens.device))
        else:
            self._tokens = tokens.clone()

    def ready(self) -> bool:
        """Whether `tokens` would not wait."""
        return self._done is None or self._done.query()

    def tokens(self) -> np.ndarray:
        """The new token of each slot, int64, in the order in which the slots were given. Waits for the device."""
        if self._done is not None:
            self._done.synchronize()
        return self._tokens.numpy()[self._slots]
