"""What each slot is at, on the device: written when a text is admitted, moved on by every step."""

import numpy as np
import torch

from engines.chatterbox.t3.request import T3Request
from engines.chatterbox.t3.sampling import NEVER, Rules
from engines.chatterbox.t3.settings import setting

POSITION, COUNT, TOKEN, TOP_K, SEED = range(5)
TEMPERATURE, REST, MIN_P, PENALTY, CFG_WEIGHT = range(5)
SEEDS = 1 << 32


class States:
    """State of every slot; a step works on the first few."""

    def __init__(self, slots: int, vocabulary: int, start: int, keeps_start: bool, device: torch.device):
        """Make room.

        Args:
            slots: How many.
            vocabulary: Speech tokens.
            start: The start token; the repetition penalty counts it,
            keeps_start: for every token of the text, or else for the first only.
            device: Where.
        """
        self._start, self._keeps_start = start, keeps_start
        self.whole = torch.zeros(slots, 5, dtype=torch.int64, device=device)
        self.real = torch.ones(slots, 5, dtype=torch.float32, device=device)
        self.whole[:, TOP_K] = 1
        self.seen = torch.zeros(slots, vocabulary, dtype=torch.bool, device=device)
        self.active = torch.zeros(slots, dtype=torch.bool, device=device)

    def begin(self, slots: torch.Tensor, whole: torch.Tensor, real: torch.Tensor) -> None:
        """Set these slots (int64) to what `state_of` gave for their requests; one may be there several times."""
        self.whole.index_copy_(0, slots, whole)
        self.real.index_copy_(0, slots, real)
        self.seen.index_fill_(0, slots, False)
        self.seen[:, self._start].index_fill_(0, slots, True)

    def rules(self, count: int) -> Rules:
        """Of the first slots."""
        columns = (self.real[:count, column, None] for column in (TEMPERATURE, REST, MIN_P, PENALTY))
        return Rules(*columns, top_k=self.whole[:count, TOP_K, None])

    def cfg_weights(self, count: int) -> torch.Tensor:
        """Of the first slots, (count, 1)."""
        return self.real[:count, CFG_WEIGHT, None]

    def advance(self, tokens: torch.Tensor) -> None:
        """Take up the new tokens of the first slots, as far as they are active."""
        count = len(tokens)
        whole, seen, active = self.whole[:count], self.seen[:count], self.active[:count]
        if not self._keeps_start:
            seen[:, self._start] &= ~(active & (whole[:, COUNT] == 0))
        seen.scatter_(1, tokens[:, None], seen.gather(1, tokens[:, None]) | active[:, None])
        whole[:, TOKEN] = torch.where(active, tokens, whole[:, TOKEN])
        whole[:, POSITION] += active
        whole[:, COUNT] += active


def state_of(
    request: T3Request, variant: str, position: int, start: int, vocabulary: int
) -> tuple[list[int], list[float]]:
    """What a slot begins with: whole numbers and real ones, in the order of the columns.

    Args:
        request: One that was checked.
        variant: Whose defaults hold.
        position: Of its first speech token.
        start: That token.
        vocabulary: Number of speech tokens.
    """
    top_p, top_k = setting(request, variant, "top_p"), setting(request, variant, "top_k")
    whole = [position, 0, start, min(top_k or vocabulary, vocabulary), request.seed % SEEDS]
    others = (setting(request, variant, name) for name in ("min_p", "repetition_penalty", "cfg_weight"))
    rest = 1 - top_p if top_p < 1 else NEVER
    return whole, [setting(request, variant, "temperature"), rest, *others]


def send(target: torch.Tensor, values: np.ndarray) -> None:
    """Write to the device without waiting for it.

    Torch does not use page-locked memory again before the copy out of it is done.
    """
    source = torch.from_numpy(np.ascontiguousarray(values))
    if target.device.type == "cuda":
        source = source.pin_memory()
    target.copy_(source.view(target.shape), non_blocking=True)
