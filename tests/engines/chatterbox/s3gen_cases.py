"""S3Gen with weights in which everything matters, and upstream's results with noise that is known."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from chatterbox.models.s3gen import flow_matching, hifigan
from torch.nn.utils.parametrize import is_parametrized

from engines.chatterbox import noise
from engines.chatterbox.s3gen.decoder import Job, S3GenDecoder
from engines.chatterbox.s3gen.flow import FLOW_SALT, MELS
from engines.chatterbox.s3gen.source import NOISE_SALT, PHASE_SALT
from engines.chatterbox.s3gen.stream import Prompt, Stream

SEED = 3_000_000_007
"""Has all 32 bits."""


@torch.no_grad()
def lively(s3gen: Any) -> Any:
    """A copy whose every weight is felt: upstream begins with biases, alphas and norms at rest, and whispers."""
    s3gen = copy.deepcopy(s3gen)
    random = torch.Generator().manual_seed(11)

    def draw(like: torch.Tensor, scale: float, around: float = 0.0) -> torch.Tensor:
        return torch.randn(like.shape, generator=random) * scale + around

    for module in (*s3gen.flow.modules(), *s3gen.mel2wav.modules()):
        if isinstance(module, torch.nn.LayerNorm):
            module.weight.copy_(draw(module.weight, 0.2, 1.0))
        if isinstance(module, torch.nn.Conv1d | torch.nn.ConvTranspose1d):
            # Through the weight norm's parametrization.
            drawn = draw(module.weight, (0.7 / _fan_in(module)) ** 0.5)
            module.weight = drawn if is_parametrized(module) else torch.nn.Parameter(drawn)
            if module.bias is not None:
                module.bias.copy_(draw(module.bias, 0.1))
        if isinstance(module, hifigan.Snake):
            module.alpha.copy_(draw(module.alpha, 0.2, 1.0).abs())
    vocoder = s3gen.mel2wav
    vocoder.conv_post.bias[:9] = -2.0
    vocoder.f0_predictor.classifier.weight.mul_(300.0)
    vocoder.f0_predictor.classifier.bias.fill_(60.0)
    return s3gen


def _fan_in(module: Any) -> float:
    stride = module.stride[0] if isinstance(module, torch.nn.ConvTranspose1d) else 1
    return module.in_channels * module.kernel_size[0] / stride


def speech_tokens(count: int, seed: int = 0) -> list[int]:
    """Random speech."""
    return np.random.default_rng(seed).integers(0, 6561, count).tolist()


def decoder_of(s3gen: Any, **options: Any) -> S3GenDecoder:
    """A small one."""
    small = {"max_tokens": 120, "max_prompt": 100, "max_batch": 8, "max_streams": 8}
    return S3GenDecoder(s3gen, **{**small, **options})


def flow_noise(frames: int, seed: int = SEED) -> torch.Tensor:
    """What the flow starts from, (1, mels, frames)."""
    places = torch.arange(frames * MELS)
    return noise.normal(torch.tensor(seed), places, salt=FLOW_SALT).view(1, frames, MELS).transpose(1, 2)


class KnownNoise:
    """Stands in for torch in an upstream module: what is drawn like a tensor comes from `draw`."""

    def __init__(self, draw: Any):
        """`draw` makes a tensor of the shape of its argument."""
        self.randn_like = draw

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


def upstream_mel(s3gen: Any, gen: dict[str, Any], tokens: list[int], monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """Upstream's mel (frames, mels) from the noise of `SEED`."""
    monkeypatch.setattr(flow_matching, "torch", KnownNoise(lambda like: flow_noise(like.shape[2])))
    mel, _ = s3gen.flow.inference(
        token=torch.tensor([tokens]),
        token_len=torch.tensor([len(tokens)]),
        finalize=True,
        n_timesteps=2 if s3gen.meanflow else 10,
        meanflow=s3gen.meanflow,
        **gen,
    )
    return mel[0].T.clone()


def upstream_audio(s3gen: Any, mel: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """Upstream's samples of a mel (frames, mels), trimmed at the start, with the phases and noise of `SEED`."""
    weights = s3gen.mel2wav.m_source.l_linear.weight.detach()[0]

    def draw(like: torch.Tensor) -> torch.Tensor:
        drawn = noise.normal(torch.tensor(SEED), torch.arange(like.shape[2]), salt=NOISE_SALT)
        # Shared between the harmonics so that their weighted sum is the one that ours draws.
        return (weights / weights.norm())[:, None] * drawn

    class Phases:
        def __init__(self, **_: Any):
            pass

        def sample(self, sample_shape: tuple[int, ...]) -> torch.Tensor:
            turns = noise.uniform(torch.tensor(SEED), torch.arange(1, sample_shape[1] + 1), salt=PHASE_SALT) - 0.5
            return (2 * torch.pi * turns)[None, :, None].clone()

    monkeypatch.setattr(
        hifigan, "torch", KnownNoise(lambda like: draw(like) if like.dim() == 3 else torch.randn_like(like))
    )
    monkeypatch.setattr(hifigan, "Uniform", Phases)
    samples, _ = s3gen.mel2wav.inference(speech_feat=mel.T[None])
    samples = samples.clone()
    samples[:, : len(s3gen.trim_fade)] *= s3gen.trim_fade
    return samples[0]


def speak(decoder: S3GenDecoder, prompt: Prompt, tokens: list[int], ends: list[int], seed: int = SEED) -> np.ndarray:
    """All samples of a stream whose tokens come up to each of `ends` in turn, the last being the end."""
    stream = decoder.open(prompt, seed)
    parts = [say(decoder, stream, tokens[:end], end == ends[-1]) for end in ends]
    decoder.close(stream)
    return np.concatenate(parts)


def say(decoder: S3GenDecoder, stream: Stream, tokens: list[int], final: bool) -> np.ndarray:
    """One run of one stream."""
    return decoder.launch([Job(stream, tokens, final)]).audio()[0]
