"""The decoding step: what is launched for a number of slots, as one graph."""

from collections.abc import Sequence

import numpy as np
import torch

from engines.chatterbox.t3 import attention
from engines.chatterbox.t3.cache import KeyValueCache
from engines.chatterbox.t3.model import Attend, T3Model
from engines.chatterbox.t3.sampling import choose, counted_noise, guided, warped
from engines.chatterbox.t3.states import COUNT, POSITION, SEED, TOKEN, States, send
from engines.graphs import Graphs

COUNTS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 80, 100, 128)
"""Slots that a step works on; beyond the last in steps of 32."""

ROOM_STEP = 256
"""Plain attention looks at whole multiples of so many positions."""


class Stepping:
    """Decodes one token in some of the slots; the rest stay as they are."""

    def __init__(
        self, model: T3Model, cache: KeyValueCache, states: States, graphs: Graphs, *, generated: bool, triton: bool
    ):
        """Put the parts together.

        Args:
            model: The layers.
            cache: Of all slots.
            states: Of all slots.
            graphs: Where steps are captured.
            generated: Whether the random numbers come from `draw`.
            triton: Whether to use the kernels of `attention_triton`.
        """
        self._model, self._cache, self._states, self._graphs = model, cache, states, graphs
        self._triton = triton
        self._slots = len(states.active)
        self._noise = torch.ones_like(states.seen, dtype=torch.float32) if generated else None

    @property
    def draws(self) -> bool:
        """Whether `draw` has to be called for each slot before a step."""
        return self._noise is not None

    def draw(self, slot: int, generator: torch.Generator) -> None:
        """Draw a slot's random numbers for its next token, as `torch.multinomial` would."""
        assert self._noise is not None
        self._noise[slot].exponential_(generator=generator)

    def launch(self, slots: Sequence[int], positions: int, sort: bool) -> torch.Tensor:
        """Decode one token in each of `slots`, whose longest takes up `positions` with it.

        Args:
            slots: Different ones.
            positions: Of the longest.
            sort: Whether one of them needs the vocabulary sorted.

        Returns:
            The last tokens of the first slots, all of `slots` among them; the next step overwrites them.
        """
        count, room = self._count_for(max(slots) + 1), self._room_for(positions)
        self._prepare(count, room, sort)
        active = np.zeros(self._slots, np.bool_)
        active[slots] = True
        send(self._states.active, active)
        self._graphs.run(("step", count, room, sort), lambda: self._work(count, room, sort))
        return self._states.whole[:count, TOKEN]

    def prepare(self, slots: Sequence[int], sort: bool) -> None:
        """Capture the steps for so many slots and all lengths."""
        rooms = {self._room_for(positions) for positions in range(1, self._cache.positions + 1)}
        for count in sorted({self._count_for(count) for count in slots}, reverse=True):
            for room in sorted(rooms, reverse=True):
                self._prepare(count, room, sort)

    def _prepare(self, count: int, room: int, sort: bool) -> None:
        key = ("step", count, room, sort)
        if not self._graphs.has(key):
            # A capture runs the step a few times: without active slots it changes nothing that counts.
            self._states.active.zero_()
            self._graphs.prepare(key, lambda: self._work(count, room, sort))

    def _work(self, count: int, room: int, sort: bool) -> None:
        model, states = self._model, self._states
        whole = states.whole[:count]
        positions = whole[:, POSITION].clamp(max=self._cache.positions - 1)
        x = model.embed_speech(whole[:, TOKEN], whole[:, COUNT], positions)
        logits = model.logits(model.forward(x, self._attend(positions.repeat_interleave(model.rows), room)))
        if model.rows == 2:
            logits = guided(logits, states.cfg_weights(count))
        scores = warped(logits, states.seen[:count], states.rules(count), variant=model.variant, sort=sort)
        states.advance(choose(scores, self._noise_of(whole), model.stop))

    def _attend(self, positions: torch.Tensor, room: int) -> Attend:
        if not self._triton:
            return attention.ReadSpeech(self._cache, self._model.rope, positions, room)
        from engines.chatterbox.t3.attention_triton import ReadSpeech

        active = self._states.active[: len(positions) // self._model.rows].repeat_interleave(self._model.rows)
        return ReadSpeech(self._cache, self._model.rope, positions, active)

    def _noise_of(self, whole: torch.Tensor) -> torch.Tensor:
        if self._noise is not None:
            return self._noise[: len(whole)]
        return counted_noise(whole[:, SEED], whole[:, COUNT], self._model.vocabulary)

    def _count_for(self, slots: int) -> int:
        bucket = next((count for count in COUNTS if count >= slots), -(-slots // 32) * 32)
        return min(bucket, self._slots)

    def _room_for(self, positions: int) -> int:
        # The kernels look at each row only as far as it goes.
        room = self._cache.positions if self._triton else -(-positions // ROOM_STEP) * ROOM_STEP
        return min(room, self._cache.positions)
