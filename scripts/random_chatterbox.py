#!/usr/bin/env python
"""Writes a Chatterbox checkpoint with random weights in the exact shape of the real one, for measuring without it.

Time and memory depend on shapes, not on values. Upstream's `from_local` loads the folder unchanged; a tiny one only
inside `tiny_architecture()`, since upstream's shapes are fixed in its code.

scripts/random_chatterbox.py FOLDER [--variant turbo] [--size full] [--dtype float16] [--stub-missing]
"""

import argparse
import contextlib
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parent.parent))

import engines.chatterbox.upstream  # noqa: F401 - makes Chatterbox importable.

VARIANTS = ("turbo", "base")
WEIGHT_FILES = {"turbo": ("t3_turbo_v1", "s3gen_meanflow"), "base": ("t3_cfg", "s3gen")}
PROMPT_TOKENS = {"turbo": 375, "base": 150}
"""Speech tokens of the reference clip before T3's text."""
TOKEN_RATE, MEL_RATE, MEL_BINS = 25, 50, 80
SPEECH_TOKENS = 6561
TINY_WIDTH = 64
TINY_LLAMA = {
    "hidden_size": TINY_WIDTH,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 16,
}
TINY_GPT2 = {"n_embd": TINY_WIDTH, "hidden_size": TINY_WIDTH, "n_layer": 3, "n_head": 4}
TINY_TOKENIZER = {"n_audio_state": 128, "n_audio_head": 2, "n_audio_layer": 1}

Modules = tuple[Any, Any, Any]
"""T3, S3Gen and voice encoder of upstream."""


def build(
    variant: str, seed: int = 0, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> Modules:
    """T3, S3Gen and voice encoder as upstream's loader leaves them, with random weights that behave.

    T3's logits have peaks, the mel is of order 1, the voice has a pitch of about 120 Hz and nothing clips.

    Args:
        variant: `turbo` or `base`.
        seed: The same seed gives the same weights.
        device: Where they go.
        dtype: Of T3 and S3Gen; the voice encoder stays in float32.
    """
    t3, s3gen, voice_encoder = _modules(variant, seed, dtype)
    if variant == "turbo":
        del t3.tfmr.wte
    return t3.to(device), s3gen.to(device), voice_encoder.to(device)


def random_conditionals(variant: str, ref_seconds: float = 10.0, seed: int = 1) -> dict[str, dict[str, Any]]:
    """What upstream's `prepare_conditionals` makes of a reference clip, as `Conditionals.save` writes it.

    Args:
        variant: `turbo` or `base`.
        ref_seconds: Length of the clip that S3Gen hears; upstream cuts at 10.
        seed: The same seed gives the same voice.

    Returns:
        `t3`, the arguments of `T3Cond`, and `gen`, S3Gen's reference.
    """
    random = torch.Generator().manual_seed(seed)
    tokens = int(ref_seconds * TOKEN_RATE)
    speaker = torch.nn.functional.normalize(torch.rand(1, 256, generator=random), dim=-1)
    t3 = {
        "speaker_emb": speaker,
        "clap_emb": None,
        "cond_prompt_speech_tokens": torch.randint(0, SPEECH_TOKENS, (1, PROMPT_TOKENS[variant]), generator=random),
        "cond_prompt_speech_emb": None,
        "emotion_adv": 0.5 * torch.ones(1, 1, 1),
    }
    gen = {
        "prompt_token": torch.randint(0, SPEECH_TOKENS, (1, tokens), generator=random),
        "prompt_token_len": torch.tensor([tokens]),
        "prompt_feat": torch.randn(1, tokens * MEL_RATE // TOKEN_RATE, MEL_BINS, generator=random) * 2 - 5,
        "prompt_feat_len": None,
        "embedding": torch.randn(1, 192, generator=random),
    }
    return {"t3": t3, "gen": gen}


def write_checkpoint(
    folder: Path, variant: str, *, seed: int = 0, dtype: torch.dtype = torch.float16, ref_seconds: float = 10.0
) -> Path:
    """Write what upstream's `from_local` reads: weights, tokenizer and the built-in voice.

    Args:
        folder: Is made where it is missing.
        variant: `turbo` or `base`.
        seed: The same seed gives the same weights.
        dtype: Of T3 and S3Gen in the files; upstream's loader makes float32 of it.
        ref_seconds: Length of the built-in voice's reference clip.

    Returns:
        The folder.
    """
    from scripts.random_tokenizers import write_base_tokenizer, write_turbo_tokenizer

    folder.mkdir(parents=True, exist_ok=True)
    for name, module in zip((*WEIGHT_FILES[variant], "ve"), _modules(variant, seed, dtype), strict=True):
        weights = {key: value.contiguous() for key, value in module.state_dict().items()}
        save_file(weights, folder / f"{name}.safetensors")
    torch.save(random_conditionals(variant, ref_seconds), folder / "conds.pt")
    if variant == "base":
        write_base_tokenizer(folder / "tokenizer.json")
    else:
        write_turbo_tokenizer(folder)
    return folder


@contextlib.contextmanager
def tiny_architecture() -> Iterator[None]:
    """Within it upstream's own constructors make models that are narrow and shallow; vocabularies stay whole."""
    import s3tokenizer.model_v2
    from chatterbox.models.s3gen import s3gen
    from chatterbox.models.t3.llama_configs import LLAMA_CONFIGS
    from chatterbox.models.t3.modules import cond_enc

    speech_tokenizer = inspect.signature(s3tokenizer.model_v2.S3TokenizerV2).parameters["config"].default
    decoder = {"channels": [64], "n_blocks": 1, "num_mid_blocks": 2, "num_heads": 4, "attention_head_dim": 16}
    with contextlib.ExitStack() as patches:

        def narrow(module: Any, name: str, **arguments: Any) -> None:
            patches.enter_context(_replaced(module, name, _with(getattr(module, name), **arguments)))

        narrow(cond_enc, "Perceiver", pre_attention_query_size=TINY_WIDTH, embedding_dim=TINY_WIDTH)
        narrow(s3gen, "ConditionalDecoder", **decoder)
        narrow(s3gen, "HiFTGenerator", base_channels=64)
        narrow(s3gen, "ConvRNNF0Predictor", cond_channels=32)
        patches.enter_context(_replaced(s3gen, "UpsampleConformerEncoder", _tiny(s3gen.UpsampleConformerEncoder)))
        for name, value in TINY_TOKENIZER.items():
            patches.enter_context(_replaced(speech_tokenizer, name, value))
        for name, shape in (("Llama_520M", TINY_LLAMA), ("GPT2_medium", TINY_GPT2)):
            patches.enter_context(_changed(LLAMA_CONFIGS, name, {**LLAMA_CONFIGS[name], **shape}))
        yield


def _modules(variant: str, seed: int, dtype: torch.dtype) -> Modules:
    """The modules as they are in a checkpoint: turbo's T3 still with GPT-2's word embedding, which nothing reads."""
    from chatterbox.models.s3gen import S3Gen
    from chatterbox.models.t3 import T3
    from chatterbox.models.voice_encoder import VoiceEncoder

    if variant not in VARIANTS:
        raise ValueError(f"variant {variant!r} is not one of {', '.join(VARIANTS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        t3 = T3(_turbo_config()) if variant == "turbo" else T3()
        s3gen = S3Gen(meanflow=variant == "turbo")
        voice_encoder = VoiceEncoder()
        _tame(t3, s3gen)
    return t3.to(dtype=dtype).eval(), s3gen.to(dtype=dtype).eval(), voice_encoder.eval()


def _turbo_config() -> Any:
    """As upstream's `ChatterboxTurboTTS.from_local` sets it."""
    from chatterbox.models.t3.modules.t3_config import T3Config

    config: Any = T3Config(text_tokens_dict_size=50276)
    config.llama_config_name = "GPT2_medium"
    config.speech_tokens_dict_size = 6563
    config.input_pos_emb = None
    config.speech_cond_prompt_len = 375
    config.use_perceiver_resampler = False
    config.emotion_adv = False
    return config


@torch.no_grad()
def _tame(t3: Any, s3gen: Any) -> None:
    t3.speech_head.weight.mul_(6.0)
    for module in s3gen.flow.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=module.in_features**-0.5)
        if isinstance(module, torch.nn.Linear | torch.nn.LayerNorm) and module.bias is not None:
            torch.nn.init.normal_(module.bias, std=0.1)
    vocoder = s3gen.mel2wav
    vocoder.f0_predictor.classifier.bias.fill_(120.0)
    vocoder.conv_post.bias.zero_()
    log_magnitudes = vocoder.istft_params["n_fft"] // 2 + 1
    vocoder.conv_post.bias[:log_magnitudes] = 0.5


def _tiny(encoder: Callable[..., Any]) -> Callable[..., Any]:
    def make(*arguments: Any, **options: Any) -> Any:
        made = encoder(*arguments, **{**options, "num_blocks": 2, "linear_units": 128})
        made.up_encoders = torch.nn.ModuleList(list(made.up_encoders)[:1])
        return made

    return make


def _with(make: Callable[..., Any], **arguments: Any) -> Callable[..., Any]:
    return lambda *given, **options: make(*given, **{**options, **arguments})


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextlib.contextmanager
def _changed(mapping: dict[str, Any], key: str, value: Any) -> Iterator[None]:
    before = mapping[key]
    mapping[key] = value
    try:
        yield
    finally:
        mapping[key] = before


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="Write a Chatterbox checkpoint with random weights.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--variant", choices=VARIANTS, default="turbo")
    parser.add_argument("--size", choices=("full", "tiny"), default="full")
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float16")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ref-seconds", type=float, default=10.0, help="length of the built-in voice's clip")
    parser.add_argument("--stub-missing", action="store_true", help="stand in for optional packages that are missing")
    options = parser.parse_args()
    if options.stub_missing:
        from scripts.stub_optional import stub_optional

        print("stubbed:", ", ".join(stub_optional()) or "nothing")
    with tiny_architecture() if options.size == "tiny" else contextlib.nullcontext():
        write_checkpoint(
            options.folder,
            options.variant,
            seed=options.seed,
            dtype=getattr(torch, options.dtype),
            ref_seconds=options.ref_seconds,
        )
    for path in sorted(options.folder.iterdir()):
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
