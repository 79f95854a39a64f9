"""What a run tells the device: one block of int32, uploaded at once.

The columns of every job come first, the largest batch's worth of them, then the tokens of the batch.
"""

from enum import IntEnum

import torch

from engines.chatterbox.s3gen.stream import FRAMES_PER_TOKEN, Stream, Window


class Column(IntEnum):
    """Where a job's numbers stand."""

    ROW = 0
    """In the pooled tensors."""
    SEED = 1
    PROMPT = 2
    """Tokens of the prompt."""
    TOKENS = 3
    """Tokens with the prompt."""
    FRAMES = 4
    """Mel frames with the prompt that are made."""
    FIRST = 5
    SPOKEN = 6
    UNTIL = 7
    END = 8
    """As in `Window`."""
    START = 9
    """Where the first own mel frame stands in the flow's memory."""


COLUMNS = len(Column)


class Block:
    """The uploaded block, in one place on the device."""

    def __init__(self, max_batch: int, most_tokens: int, spare_row: int, device: torch.device):
        """For batches of at most `max_batch` jobs and `most_tokens` tokens altogether; `spare_row` is nobody's."""
        self._max_batch = max_batch
        self._spare = _job(spare_row, 0, 1, 1, 2, 0, 0, 2, 2, 0)
        self._ints = torch.zeros(max_batch * COLUMNS + most_tokens, dtype=torch.int32, device=device)
        self._pinned = device.type == "cuda"
        self.clear()

    def clear(self) -> None:
        """Fill every place of the batch with a job that concerns nobody."""
        self._ints.zero_()
        spare = torch.tensor(self._spare, dtype=torch.int32).repeat(self._max_batch)
        self._ints[: len(spare)].copy_(spare)

    def upload(self, jobs: list[tuple[Stream, Window]], rows: int, size: int) -> None:
        """Tell the device about the jobs, padded to `rows` jobs of `size` tokens. Waits for nothing."""
        count = self._max_batch * COLUMNS
        host = torch.empty(count + rows * size, dtype=torch.int32, pin_memory=self._pinned)
        numbers = host.numpy()
        table = [_describe(stream, window, place * size) for place, (stream, window) in enumerate(jobs)]
        numbers[: rows * COLUMNS].reshape(rows, COLUMNS)[:] = table + [self._spare] * (rows - len(jobs))
        tokens = numbers[count:].reshape(rows, size)
        tokens[len(jobs) :, 0] = 0  # The spare job's token; what else is not written is padding, which nobody reads.
        for place, (stream, window) in enumerate(jobs):
            length = len(stream.prompt.tokens) + window.tokens
            tokens[place, :length] = stream.ids[:length]
        self._ints[: len(host)].copy_(host, non_blocking=True)

    def columns(self, rows: int) -> torch.Tensor:
        """(rows, columns), int64."""
        return self._ints[: rows * COLUMNS].view(rows, COLUMNS).long()

    def tokens(self, rows: int, size: int) -> torch.Tensor:
        """(rows, size), int32 with chunks above the ids; in the padding anything."""
        start = self._max_batch * COLUMNS
        return self._ints[start : start + rows * size].view(rows, size)


def _describe(stream: Stream, window: Window, before: int) -> list[int]:
    prompt = len(stream.prompt.tokens)
    return _job(
        stream.row,
        stream.seed,
        prompt,
        prompt + window.tokens,
        FRAMES_PER_TOKEN * (prompt + window.usable),
        window.first,
        window.spoken,
        window.until,
        window.end,
        FRAMES_PER_TOKEN * (before + prompt),
    )


def _job(row: int, seed: int, *rest: int) -> list[int]:
    # A seed has 32 bits without a sign.
    return [row, seed - (1 << 32) if seed >= 1 << 31 else seed, *rest]
