"""Turbo: GPT-2 with learned positions."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F

from engines.chatterbox.t3.model import Attend, Head


@dataclass(frozen=True)
class Affine:
    """A matrix (in, out), as GPT-2 keeps it, and what is added."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        flat = torch.addmm(self.bias, x.reshape(-1, x.shape[-1]), self.weight)
        return flat.view(*x.shape[:-1], -1)


@dataclass(frozen=True)
class Norm:
    """A layer norm."""

    weight: torch.Tensor
    bias: torch.Tensor
    epsilon: float

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.epsilon)


@dataclass(frozen=True)
class Layer:
    """One block."""

    before_attention: Norm
    qkv: Affine
    out: Affine
    before_mlp: Norm
    up: Affine
    down: Affine


class TurboModel:
    """`T3Model` of the turbo variant: one row a text."""

    variant: Literal["turbo", "base"] = "turbo"
    rows = 1
    extra = 0
    text_ends: tuple[int, ...] = ()
    rope: tuple[torch.Tensor, torch.Tensor] | None = None

    def __init__(self, t3: Any, device: torch.device, dtype: torch.dtype, positions: int):
        """Copy the weights of upstream's `t3`."""
        config, hp = t3.cfg, t3.hp
        self.layers, self.heads, self.head_dim = config.n_layer, config.n_head, config.n_embd // config.n_head
        self.vocabulary, self.start, self.stop = hp.speech_tokens_dict_size, hp.start_speech_token, hp.stop_speech_token
        self.prefix = hp.speech_cond_prompt_len + 1
        self.most_text, self.text_vocabulary, self.dtype = config.n_positions, hp.text_tokens_dict_size, dtype

        def own(weight: torch.Tensor) -> torch.Tensor:
            return weight.detach().to(device, dtype, copy=True).contiguous()

        def affine(module: Any) -> Affine:
            return Affine(own(module.weight), own(module.bias))

        def norm(module: Any) -> Norm:
            return Norm(own(module.weight), own(module.bias), module.eps)

        self._text, self._speech = own(t3.text_emb.weight), own(t3.speech_emb.weight)
        self._positions = own(t3.tfmr.wpe.weight[:positions])
        self._layers = [
            Layer(
                norm(block.ln_1),
                affine(block.attn.c_attn),
                affine(block.attn.c_proj),
                norm(block.ln_2),
                affine(block.mlp.c_fc),
                affine(block.mlp.c_proj),
            )
            for block in t3.tfmr.h
        ]
        self._norm = norm(t3.tfmr.ln_f)
        self._head = Head(own(t3.speech_head.weight), own(t3.speech_head.bias))

    def embed_prefix(self, embeddings: torch.Tensor) -> torch.Tensor:
        return embeddings.to(self._positions.dtype) + self._positions[: embeddings.shape[1]]

    def embed_text(self, tokens: torch.Tensor, lengths: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
        positions = starts[:, None] + torch.arange(tokens.shape[1], device=tokens.device)
        return self._text[tokens] + self._positions[positions.clamp(max=len(self._positions) - 1)]

    def embed_speech(self, tokens: torch.Tensor, counts: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        return self._speech[tokens] + self._positions[positions]

    def forward(self, x: torch.Tensor, attend: Attend) -> torch.Tensor:
        for number, layer in enumerate(self._layers):
            x = x + layer.out(attend(number, layer.qkv(layer.before_attention(x))))
            x = x + layer.down(F.gelu(layer.up(layer.before_mlp(x)), approximate="tanh"))
        return self._norm(x)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        return self._head(x)
