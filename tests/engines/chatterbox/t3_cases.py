"""Requests to T3, what upstream says to them, and a host that decodes many at once."""

import copy
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F

import engines.chatterbox.upstream  # noqa: F401
from engines.chatterbox.t3.decoder import T3Decoder
from engines.chatterbox.t3.request import T3Request
from engines.chatterbox.t3.settings import setting
from engines.chatterbox.t3.step import Step
from scripts.random_chatterbox import random_conditionals

POSITIONS = {"turbo": 512, "base": 192}
LENGTHS = (5, 23, 1, 40, 17, 9)
VARIED: dict[str, list[dict[str, Any]]] = {
    "turbo": [
        {},
        {"temperature": 1.0, "top_k": 50, "top_p": 0.9, "repetition_penalty": 1.0},
        {"temperature": 0.6, "top_p": 1.0, "repetition_penalty": 2.0},
        {"top_k": 1},
        {"top_k": 0, "top_p": 0.8, "repetition_penalty": 1.1},
        {"top_k": 0, "top_p": 1.0, "temperature": 1.3},
    ],
    "base": [
        {},
        {"cfg_weight": 0.3, "temperature": 1.0, "repetition_penalty": 1.0, "min_p": 0.0, "top_p": 0.9},
        {"temperature": 0.6, "repetition_penalty": 2.0, "min_p": 0.1, "top_p": 0.95},
        {"cfg_weight": 0.8, "min_p": 1.0},
        {"top_p": 0.8},
        {"cfg_weight": 1.5, "min_p": 0.0},
    ],
}


def attentive(t3: Any) -> Any:
    """A copy whose words weigh in: in a fresh one the next token depends on little but the last."""
    t3 = copy.deepcopy(t3)
    for name, weight in t3.tfmr.named_parameters():
        if weight.ndim == 2 and ("attn" in name or "mlp" in name):
            weight.data *= 20 if t3.is_gpt else 8
    return t3


def text(variant: str, tokens: int, seed: int = 0) -> torch.Tensor:
    """Random text tokens, (tokens,); base has two more: start and stop."""
    drawn = torch.randint(3, 250, (tokens,), generator=torch.Generator().manual_seed(seed))
    return drawn if variant == "turbo" else F.pad(F.pad(drawn, (1, 0), value=255), (0, 1), value=0)


def voice(variant: str, seed: int = 1) -> Any:
    """Upstream's `T3Cond`, a new one every time: upstream writes into it."""
    from chatterbox.models.t3.modules.cond_enc import T3Cond

    return T3Cond(**random_conditionals(variant, seed=seed)["t3"])


def requests(decoder: T3Decoder, max_tokens: int = 20) -> list[T3Request]:
    """Different lengths, voices, seeds and sampling."""
    voices = [decoder.condition(voice(decoder.variant, seed)) for seed in (1, 2)]
    return [
        T3Request(
            text(decoder.variant, LENGTHS[number], number), voices[number % 2], max_tokens, 100 + number, **settings
        )
        for number, settings in enumerate(VARIED[decoder.variant])
    ]


def upstream_tokens(t3: Any, request: T3Request, cond: Any, tokens: int) -> list[int]:
    """The first tokens that upstream's own loop draws after `torch.manual_seed(request.seed)`."""
    variant = "turbo" if t3.is_gpt else "base"
    names = ("temperature", "top_p", "repetition_penalty", *(("top_k",) if t3.is_gpt else ("min_p", "cfg_weight")))
    settings = {name: setting(request, variant, name) for name in names}
    torch.manual_seed(request.seed)
    if t3.is_gpt:
        return t3.inference_turbo(cond, request.text_tokens[None].to(t3.device), max_gen_len=tokens - 1, **settings)[
            0
        ].tolist()
    both = request.text_tokens.expand(2, -1).to(t3.device)
    return t3.inference(t3_cond=cond, text_tokens=both, max_new_tokens=tokens, **settings)[0].tolist()


@dataclass
class Host:
    """Decodes requests that come at random times, pauses some now and then, and reads every step one step late."""

    decoder: T3Decoder
    seed: int = 0
    cancel: dict[int, int] = field(default_factory=dict)
    """Requests that are given up after so many tokens."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._in: dict[int, int] = {}
        self._under_way: list[tuple[Step, list[int]]] = []

    def decode(self, asked: Sequence[T3Request]) -> list[list[int]]:
        """The tokens of each."""
        self._asked, self._found = asked, [[] for _ in asked]
        waiting = list(range(len(asked)))
        while waiting or self._in:
            waiting = self._admit(waiting)
            self._launch()
            while len(self._under_way) > (1 if self._in else 0):
                self._read()
        return self._found

    def _admit(self, waiting: list[int]) -> list[int]:
        count = min(self._random.randint(0 if self._in else 1, 3), len(waiting), self.decoder.free_slots)
        slots = self.decoder.admit([self._asked[number] for number in waiting[:count]])
        self._in |= dict(zip(slots, waiting[:count], strict=True))
        return waiting[count:]

    def _launch(self) -> None:
        slots = [slot for slot in self._in if self._random.random() < 0.8] or list(self._in)
        self._random.shuffle(slots)
        step = self.decoder.launch(slots)
        self._under_way.append((step, [self._in[slot] for slot in slots]))

    def _read(self) -> None:
        step, numbers = self._under_way.pop(0)
        for number, token in zip(numbers, step.tokens().tolist(), strict=True):
            if number not in self._in.values():
                continue
            self._found[number].append(token)
            if len(self._found[number]) == self.cancel.get(number, self._asked[number].max_tokens):
                slot = next(slot for slot, one in self._in.items() if one == number)
                self.decoder.release(slot)
                del self._in[slot]
