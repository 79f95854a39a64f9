"""Reads the texts of new requests, several at once, padded to a few lengths."""

from collections.abc import Sequence

import numpy as np
import torch

from engines.chatterbox.t3.attention import ReadTexts
from engines.chatterbox.t3.cache import KeyValueCache
from engines.chatterbox.t3.model import T3Model
from engines.chatterbox.t3.request import T3Request
from engines.chatterbox.t3.states import TOP_K, States, send, state_of
from engines.graphs import Graphs

SHORTEST = 16
PREFIX_STEP = 64
"""Voices whose lengths fall into one such step are read with the same graphs."""


class Prefill:
    """Brings texts into the cache and their slots to their beginning."""

    def __init__(self, model: T3Model, cache: KeyValueCache, states: States, graphs: Graphs, max_batch: int):
        """Read at most `max_batch` texts together."""
        self._model, self._cache, self._states, self._graphs = model, cache, states, graphs
        self.max_batch = max_batch
        device = cache.data.device
        self._tokens = torch.zeros(max_batch * cache.positions, dtype=torch.int64, device=device)
        self._slots, self._lengths, self._starts = torch.zeros(3, max_batch, dtype=torch.int64, device=device)
        self._whole = torch.zeros(max_batch, states.whole.shape[1], dtype=torch.int64, device=device)
        self._whole[:, TOP_K] = 1  # What is captured before the first request runs on these.
        self._real = torch.ones(max_batch, states.real.shape[1], dtype=torch.float32, device=device)

    def read(self, slots: Sequence[int], requests: Sequence[T3Request]) -> None:
        """Read these texts, at most `max_batch`, into these slots."""
        for slot, request in zip(slots, requests, strict=True):
            self._cache.begin(slot * self._model.rows, self._model.rows, request.conditioning.keys_values)
        batch = self._batch(len(requests))
        # The last one stands for the rest: writing the same twice does no harm.
        slots = [*slots, *[slots[-1]] * (batch - len(slots))]
        requests = [*requests, *[requests[-1]] * (batch - len(requests))]
        length = self.length(max(len(request.text_tokens) for request in requests))
        self._send(slots, requests, length)
        self._run(batch, length, max(request.conditioning.positions for request in requests))

    def prepare(self, text_tokens: Sequence[int]) -> None:
        """Capture the reading of texts of these lengths after a usual voice."""
        for length in sorted({self.length(count) for count in text_tokens}):
            for batch in sorted({self._batch(count) for count in range(1, self.max_batch + 1)}):
                self._run(batch, length, self._model.prefix)

    def length(self, text_tokens: int) -> int:
        """The padded length of a text, with what is read with it."""
        needed = text_tokens + self._model.extra
        return min(max(SHORTEST, 1 << (needed - 1).bit_length()), self._cache.positions)

    def _batch(self, count: int) -> int:
        return min(1 << (count - 1).bit_length(), self.max_batch)

    def _send(self, slots: Sequence[int], requests: Sequence[T3Request], length: int) -> None:
        model, batch = self._model, len(requests)
        tokens = np.zeros((batch, length), np.int64)
        for row, request in zip(tokens, requests, strict=True):
            row[: len(request.text_tokens)] = request.text_tokens.numpy()
        lengths = np.array([len(request.text_tokens) for request in requests])
        starts = np.array([request.conditioning.positions for request in requests])
        firsts = starts + lengths + model.extra
        states = [
            state_of(request, model.variant, int(first), model.start, model.vocabulary)
            for request, first in zip(requests, firsts, strict=True)
        ]
        send(self._tokens[: batch * length], tokens)
        send(self._slots[:batch], np.array(slots))
        send(self._lengths[:batch], lengths)
        send(self._starts[:batch], starts)
        send(self._whole[:batch], np.array([whole for whole, _ in states], np.int64))
        send(self._real[:batch], np.array([real for _, real in states], np.float32))

    def _run(self, batch: int, length: int, prefix: int) -> None:
        prefix = -(-prefix // PREFIX_STEP) * PREFIX_STEP
        room = min(prefix + length, self._cache.positions)
        self._graphs.run(("read", batch, length, room), lambda: self._work(batch, length, room))

    def _work(self, batch: int, length: int, room: int) -> None:
        model = self._model
        slots, starts = self._slots[:batch], self._starts[:batch]
        self._states.begin(slots, self._whole[:batch], self._real[:batch])
        tokens = self._tokens[: batch * length].view(batch, length)
        x = model.embed_text(tokens, self._lengths[:batch], starts)
        numbers = torch.arange(model.rows, device=slots.device)
        rows = (slots[:, None] * model.rows + numbers).flatten()
        positions = starts.repeat_interleave(model.rows)[:, None] + torch.arange(length, device=slots.device)
        model.forward(x, ReadTexts(self._cache, model.rope, rows, positions, room))
