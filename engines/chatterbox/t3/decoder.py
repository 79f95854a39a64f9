"""Many texts become speech tokens together: continuous batching of T3 on a static cache.

Example:
    voice = decoder.condition(cond, exaggeration=0.5)
    slots = decoder.admit([T3Request(text_tokens=ids, conditioning=voice, seed=7)])
    step = decoder.launch(slots)             # returns at once
    following = decoder.launch(slots)        # before the first one's tokens are read: they stay on the device
    tokens = step.tokens()                   # waits
    decoder.release(slots[0])
"""

from bisect import insort
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

import torch

from engines.chatterbox.t3.cache import KeyValueCache
from engines.chatterbox.t3.conditioning import Voices
from engines.chatterbox.t3.model import load_model
from engines.chatterbox.t3.prefill import Prefill
from engines.chatterbox.t3.request import Conditioning, T3Request
from engines.chatterbox.t3.settings import DEFAULTS, check_request, needs_sort
from engines.chatterbox.t3.states import States
from engines.chatterbox.t3.step import Step
from engines.chatterbox.t3.stepping import Stepping
from engines.errors import EngineBusy
from engines.graphs import Graphs

MAX_GRAPHS = 512
PREPARED_TEXTS = (16, 32, 64, 128, 256)
"""Tokens of texts whose reading is captured unless others are named."""


@dataclass
class _Slot:
    """What the host knows of a slot in use."""

    positions: int
    sort: bool
    generator: torch.Generator | None


class T3Decoder:
    """The token model with room for `slots` texts at a time. For one thread; all work is put on its current stream.

    The caller judges what ends a text: the stop token (`stop_token`), its length. A step that was launched for a slot
    after its end gives a token that means nothing.

    Attributes:
        variant: `turbo` or `base`.
        stop_token: Comes after the last token of speech.
        slots: Most texts at a time.
        max_positions: Room of each: conditioning, text, speech tokens.
        bytes_per_slot: Memory of each in the cache.
        reserved_bytes: Memory of the whole cache.
    """

    def __init__(
        self,
        t3: Any,
        *,
        slots: int,
        max_positions: int,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        noise: Literal["generator", "counter"] | None = None,
        max_prefill_batch: int = 4,
        attention: Literal["sdpa", "triton"] | None = None,
    ):
        """Take over the weights and reserve the cache.

        Args:
            t3: Upstream's loaded `T3`, on any device; it is left as it is.
            slots: Most texts at a time.
            max_positions: Room of a slot: conditioning, text, speech tokens. Rounded up to a multiple of 64.
            device: Where to decode; where `t3` is, unless given.
            dtype: Of weights and cache; bfloat16 on a GPU, else float32, unless given.
            noise: `generator` draws as upstream does after `torch.manual_seed(seed)`, on the host's time; `counter`
                draws inside the step by seed and place. Unless given, `counter` on a GPU, else `generator`.
            max_prefill_batch: Most texts that are read together.
            attention: `triton`, a kernel of our own, needs a GPU and is what it uses unless told otherwise.
        """
        self._device = device = torch.device(device or t3.device)
        on_gpu = device.type == "cuda"
        dtype = dtype or (torch.bfloat16 if on_gpu else torch.float32)
        self.slots, self.max_positions = slots, -(-max_positions // 64) * 64
        self._model = model = load_model(t3, device, dtype, self.max_positions)
        self.variant, self.stop_token = model.variant, model.stop
        like, rows = torch.empty(0, device=device, dtype=dtype), slots * model.rows
        cache = KeyValueCache(model.layers, rows, model.heads, self.max_positions, model.head_dim, like)
        self.reserved_bytes, self.bytes_per_slot = cache.data.nbytes, cache.data.nbytes // slots
        states = States(slots, model.vocabulary, model.start, model.variant == "base", device)
        graphs = Graphs(device, MAX_GRAPHS)
        self._voices = Voices(t3, model, device)
        self._prefill = Prefill(model, cache, states, graphs, max_prefill_batch)
        generated = (noise or ("counter" if on_gpu else "generator")) == "generator"
        triton = (attention or ("triton" if on_gpu and find_spec("triton") else "sdpa")) == "triton"
        self._stepping = Stepping(model, cache, states, graphs, generated=generated, triton=triton)
        self._usually_sorts = DEFAULTS[self.variant]["top_p"] < 1
        self._free = list(range(slots))
        self._used: dict[int, _Slot] = {}

    def condition(self, cond: Any, exaggeration: float | None = None) -> Conditioning:
        """Read a voice (upstream's `T3Cond`, which is left as it is).

        Args:
            cond: Speaker embedding and speech tokens of the reference.
            exaggeration: In place of the one in `cond`; the turbo model has none.
        """
        with self._on_device():
            return self._voices.read(cond, exaggeration)

    def check(self, request: T3Request) -> None:
        """Raise `EngineRefused` if `admit` would not take this request, whatever else is going on."""
        check_request(request, self._model, self.max_positions)

    @property
    def free_slots(self) -> int:
        """How many requests `admit` takes now."""
        return len(self._free)

    @torch.no_grad()
    def admit(self, requests: Sequence[T3Request]) -> list[int]:
        """Read the texts of new requests, without waiting. Returns their slots; their next step gives the first token.

        Raises:
            EngineRefused: A request is not one that can be decoded; none of them was admitted.
            EngineBusy: There are not so many free slots; none of them was admitted.
        """
        for request in requests:
            self.check(request)
        if len(requests) > len(self._free):
            raise EngineBusy(f"{len(requests)} texts were given, {len(self._free)} of {self.slots} slots are free")
        # Nothing is taken from the free ones before all has been read: if that fails, nothing is lost.
        slots = self._free[: len(requests)]
        together = self._prefill.max_batch
        with self._on_device():
            for first in range(0, len(slots), together):
                self._prefill.read(slots[first : first + together], requests[first : first + together])
        self._used |= {slot: self._slot(request) for slot, request in zip(slots, requests, strict=True)}
        self._free = self._free[len(requests) :]
        return slots

    @torch.no_grad()
    def launch(self, slots: Sequence[int]) -> Step:
        """Decode one more token in each of these slots, and return at once. Other slots stay as they are."""
        if not slots or len(set(slots)) < len(slots) or not self._used.keys() >= set(slots):
            raise ValueError(f"slots {list(slots)} were given; expected different ones of {sorted(self._used)}")
        used = [self._used[slot] for slot in slots]
        with self._on_device():
            for number, slot in zip(slots, used, strict=True):
                slot.positions += 1
                if slot.generator is not None:
                    self._stepping.draw(number, slot.generator)
            positions = max(slot.positions for slot in used)
            # Where sorting is usual nothing else is captured: a step without it says the same.
            sort = self._usually_sorts or any(slot.sort for slot in used)
            return Step(self._stepping.launch(slots, positions, sort), slots)

    def release(self, slot: int) -> None:
        """Free a slot, also while a step of it is under way. Nothing may be launched for it any more."""
        del self._used[slot]
        insort(self._free, slot)

    @torch.no_grad()
    def prepare(self, *, slots: Sequence[int] | None = None, text_tokens: Sequence[int] = PREPARED_TEXTS) -> None:
        """Capture what would otherwise be captured at its first use, also of requests that are sampled in other ways
        than usual. Nothing may be in a slot.

        Args:
            slots: How many slots may be in use at a time; any number, unless given.
            text_tokens: Lengths of texts.
        """
        if self._used:
            raise ValueError(f"slots {sorted(self._used)} are in use; prepare before anything is admitted")
        with self._on_device():
            self._prefill.prepare([tokens for tokens in text_tokens if tokens < self.max_positions])
            for sort in {True, self._usually_sorts}:
                self._stepping.prepare(slots or range(1, self.slots + 1), sort)

    def _on_device(self) -> AbstractContextManager[Any]:
        """Captures and kernels go to the thread's current device."""
        return torch.cuda.device(self._device) if self._device.type == "cuda" else nullcontext()

    def _slot(self, request: T3Request) -> _Slot:
        generator = torch.Generator(self._device).manual_seed(request.seed) if self._stepping.draws else None
        positions = request.conditioning.positions + len(request.text_tokens) + self._model.extra
        return _Slot(positions, needs_sort(request, self.variant), generator)
