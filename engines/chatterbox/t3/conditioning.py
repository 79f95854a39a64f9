"""Reads a voice once for all the texts that it will speak."""

import copy
from types import SimpleNamespace
from typing import Any

import torch

from engines.chatterbox.t3.attention import ReadPrefix
from engines.chatterbox.t3.model import T3Model
from engines.chatterbox.t3.request import Conditioning

UNMOVED = 0.5
"""Upstream's own exaggeration."""


class Voices:
    """Makes `Conditioning` of upstream's `T3Cond`, with upstream's own encoder in float32."""

    def __init__(self, t3: Any, model: T3Model, device: torch.device):
        """Copy what it takes of upstream's `t3`."""
        from chatterbox.models.t3 import T3

        self._model, self._device = model, device
        names = ("cond_enc", "speech_emb", "speech_pos_emb")
        parts = {name: getattr(t3, name) for name in names}
        own = {name: part and copy.deepcopy(part).to(device, torch.float32).eval() for name, part in parts.items()}
        self._upstream, self._encode = SimpleNamespace(is_gpt=t3.is_gpt, **own), T3.prepare_conditioning

    @torch.no_grad()
    def read(self, cond: Any, exaggeration: float | None) -> Conditioning:
        """As `T3Decoder.condition`."""
        embeddings = self._encode(self._upstream, self._own(cond, exaggeration))  # pyright: ignore[reportArgumentType]
        attend = ReadPrefix(self._model.heads, self._model.rope, embeddings.shape[1])
        self._model.forward(self._model.embed_prefix(embeddings), attend)
        return Conditioning(torch.stack(attend.kept))

    def _own(self, cond: Any, exaggeration: float | None) -> Any:
        """A copy that upstream may write its embedding into."""
        from chatterbox.models.t3.modules.cond_enc import T3Cond

        emotion = cond.emotion_adv if exaggeration is None else exaggeration
        emotion = UNMOVED if emotion is None else emotion
        return T3Cond(
            speaker_emb=cond.speaker_emb.to(self._device, torch.float32),
            cond_prompt_speech_tokens=cond.cond_prompt_speech_tokens.to(self._device),
            emotion_adv=torch.as_tensor(emotion, dtype=torch.float32, device=self._device).view(1, 1, 1),
        )
