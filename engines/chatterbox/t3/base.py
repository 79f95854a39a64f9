"""Base: Llama with rotary positions and classifier-free guidance."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F

from engines.chatterbox.t3.model import Attend, Head


@dataclass(frozen=True)
class Layer:
    """One block. Matrices are (out, in); what reads the same input lies in one."""

    before_attention: torch.Tensor
    qkv: torch.Tensor
    out: torch.Tensor
    before_mlp: torch.Tensor
    gate_up: torch.Tensor
    down: torch.Tensor


class BaseModel:
    """`T3Model` of the base variant: two rows a text, of which the second does not see its words."""

    variant: Literal["turbo", "base"] = "base"
    rows = 2
    extra = 1
    """Upstream feeds the start token twice: once after the text, once as the first speech token."""

    def __init__(self, t3: Any, device: torch.device, dtype: torch.dtype, positions: int):
        """Copy the weights of upstream's `t3`."""
        config, hp = t3.cfg, t3.hp
        self.layers, self.heads, self.head_dim = config.num_hidden_layers, config.num_attention_heads, config.head_dim
        self.vocabulary, self.start, self.stop = hp.speech_tokens_dict_size, hp.start_speech_token, hp.stop_speech_token
        self.prefix = 1 + t3.cond_enc.perceiver.pre_attention_query.shape[1] + 1
        self.most_text, self.text_vocabulary = t3.text_pos_emb.emb.num_embeddings, hp.text_tokens_dict_size
        self.text_ends, self.dtype = (hp.start_text_token, hp.stop_text_token), dtype
        self._epsilon = config.rms_norm_eps

        def own(*weights: torch.Tensor) -> torch.Tensor:
            return torch.cat([weight.detach() for weight in weights]).to(device, dtype, copy=True)

        self._text, self._text_positions = own(t3.text_emb.weight), own(t3.text_pos_emb.emb.weight)
        self._speech, self._speech_positions = own(t3.speech_emb.weight), own(t3.speech_pos_emb.emb.weight)
        self._layers = [self._layer(layer, own) for layer in t3.tfmr.layers]
        self._norm, self._head = own(t3.tfmr.norm.weight), Head(own(t3.speech_head.weight), None)
        places = torch.arange(positions, device=t3.device)[None]
        cos, sin = t3.tfmr.rotary_emb(torch.zeros(1, device=t3.device), places)
        self.rope: tuple[torch.Tensor, torch.Tensor] | None = (own(cos[0]), own(sin[0]))

    @staticmethod
    def _layer(layer: Any, own: Any) -> Layer:
        attention, mlp = layer.self_attn, layer.mlp
        return Layer(
            own(layer.input_layernorm.weight),
            own(attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight),
            own(attention.o_proj.weight),
            own(layer.post_attention_layernorm.weight),
            own(mlp.gate_proj.weight, mlp.up_proj.weight),
            own(mlp.down_proj.weight),
        )

    def embed_prefix(self, embeddings: torch.Tensor) -> torch.Tensor:
        return embeddings.to(self._text.dtype)

    def embed_text(self, tokens: torch.Tensor, lengths: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
        texts, length = tokens.shape
        places = torch.arange(length, device=tokens.device)
        positions = self._text_positions[places.clamp(max=self.most_text - 1)]
        wordless = positions.expand(texts, -1, -1)
        both = torch.stack((self._text[tokens] + positions, wordless), 1)
        start = self._speech[self.start] + self._speech_positions[0]
        ends = (places == lengths[:, None])[:, None, :, None]
        return torch.where(ends, start, both).view(2 * texts, length, -1)

    def embed_speech(self, tokens: torch.Tensor, counts: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        counts = counts.clamp(max=len(self._speech_positions) - 1)
        return (self._speech[tokens] + self._speech_positions[counts]).repeat_interleave(2, 0)

    def forward(self, x: torch.Tensor, attend: Attend) -> torch.Tensor:
        for number, layer in enumerate(self._layers):
            heard = attend(number, F.linear(self._normed(x, layer.before_attention), layer.qkv))
            x = x + F.linear(heard, layer.out)
            gate, up = F.linear(self._normed(x, layer.before_mlp), layer.gate_up).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, layer.down)
        return self._normed(x, self._norm)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        return self._head(x)

    def _normed(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x, weight.shape, weight, self._epsilon)
