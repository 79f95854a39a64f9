"""Reads the weights of a Hugging Face Whisper folder: `model.safetensors`, whole or in shards with their index.

The tensors are given under CTranslate2's names, with queries, keys and values in one matrix, so that both kinds of
folder are put together by the same code.
"""

import json
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import safetensors
import torch

from engines.errors import WeightsError

WHOLE = "model.safetensors"
INDEX = "model.safetensors.index.json"

_FIXED = {
    "encoder/position_encodings/encodings": "encoder.embed_positions.weight",
    "decoder/position_encodings/encodings": "decoder.embed_positions.weight",
    "decoder/embeddings/weight": "decoder.embed_tokens.weight",
    "decoder/projection/weight": "proj_out.weight",
}
_PARTS = {
    "self_attention/linear_0": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attention/linear_1": ("self_attn.out_proj",),
    "self_attention/layer_norm": ("self_attn_layer_norm",),
    "attention/linear_0": ("encoder_attn.q_proj",),
    "attention/linear_1": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "attention/linear_2": ("encoder_attn.out_proj",),
    "attention/layer_norm": ("encoder_attn_layer_norm",),
    "ffn/linear_0": ("fc1",),
    "ffn/linear_1": ("fc2",),
    "ffn/layer_norm": ("final_layer_norm",),
}
_IN_LAYER = re.compile(r"(encoder|decoder)/layer_(\d+)/(.+)/(\w+)")


class SafetensorsWeights:
    """Tensors of one folder, read one at a time."""

    def __init__(self, folder: Path, config: dict[str, Any]):
        """Open the files; their data stays on disk until it is asked for.

        Args:
            folder: Holds `model.safetensors`, or its index and the shards.
            config: The folder's `config.json`.

        Raises:
            WeightsError: A file is missing or damaged.
        """
        self.path = folder / WHOLE if (folder / WHOLE).is_file() else folder / INDEX
        self._config = config
        self._files: dict[str, Any] = {}
        self._open = ExitStack()
        for name in self._file_names(folder):
            try:
                file = self._open.enter_context(safetensors.safe_open(folder / name, framework="pt", device="cpu"))
            except FileNotFoundError:
                raise WeightsError(f"{folder / name} is missing; {self.path.name} names it") from None
            except (OSError, safetensors.SafetensorError) as error:
                raise WeightsError(f"{folder / name} is damaged ({error}); expected safetensors") from error
            self._files |= dict.fromkeys(file.keys(), file)

    def tensor(self, name: str) -> torch.Tensor | None:
        """One tensor on the CPU, by CTranslate2's name; None if there is none."""
        parts = [self._one(part) for part in ctranslate2_parts(name)]
        shapes = [part.shape for part in parts if part is not None]
        if not shapes:
            return None
        # Keys have no bias in Whisper; CTranslate2 has zeros for it in the joined vector.
        return torch.cat([torch.zeros(shapes[0]) if part is None else part.float() for part in parts])

    def scalar(self, name: str) -> int | None:
        """One attribute by CTranslate2's name; None if there is none."""
        key = {
            "encoder/num_heads": "encoder_attention_heads",
            "decoder/num_heads": "decoder_attention_heads",
            "decoder/scale_embeddings": "scale_embedding",
        }.get(name)
        value = self._config.get(key) if key else None
        return None if value is None else int(value)

    def close(self) -> None:
        """Give the mappings of the files back."""
        self._files = {}
        self._open.close()

    def _file_names(self, folder: Path) -> list[str]:
        if self.path.name == WHOLE:
            return [WHOLE]
        try:
            return sorted(set(json.loads(self.path.read_text())["weight_map"].values()))
        except FileNotFoundError:
            raise WeightsError(f"{folder} has no weights; expected model.bin, {WHOLE} or {INDEX}") from None
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise WeightsError(f"{self.path} is damaged ({error!r}); expected JSON with weight_map") from error

    def _one(self, name: str) -> torch.Tensor | None:
        # Some writers leave the leading `model.` out.
        for known in (name, f"model.{name}"):
            if known in self._files:
                return self._files[known].get_tensor(known)
        return None


def ctranslate2_parts(name: str) -> list[str]:
    """Hugging Face's names of what CTranslate2 has under one name."""
    if name in _FIXED:
        return [_FIXED[name]]
    if found := _IN_LAYER.fullmatch(name):
        side, layer, part, attribute = found.groups()
        leaf = {"gamma": "weight", "beta": "bias"}.get(attribute, attribute)
        return [f"{side}.layers.{layer}.{module}.{leaf}" for module in _PARTS[part]]
    return [name.replace("/", ".").replace("gamma", "weight").replace("beta", "bias")]
