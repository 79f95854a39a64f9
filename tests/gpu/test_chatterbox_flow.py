"""S3Gen on a GPU: graphs, half precision and the vocoder's own kernel say what plain torch in float32 says."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from engines.chatterbox.s3gen.decoder import Job, S3GenDecoder
from engines.chatterbox.s3gen.fused import Leaky, Snake, fused_by_torch
from engines.graphs import Graphs
from scripts.random_chatterbox import build, random_conditionals, tiny_architecture
from tests.engines.chatterbox.s3gen_cases import SEED, decoder_of, lively, say, speak, speech_tokens

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
ENDS = [20, 33, 60]


@pytest.fixture(scope="module", params=["turbo", "base"])
def s3gen(request: pytest.FixtureRequest) -> Any:
    with tiny_architecture():
        return lively(build(request.param)[1])


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions in float32 as they are elsewhere, not in TF32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def eager(decoder: S3GenDecoder) -> S3GenDecoder:
    """Without graphs: everything runs when it is asked for."""
    decoder._flow._graphs = decoder._vocoder._graphs = Graphs(torch.device("cpu"), 1)
    return decoder


def spoken(decoder: S3GenDecoder, ends: list[int], seed: int = SEED) -> np.ndarray:
    prompt = decoder.voice(random_conditionals("turbo", ref_seconds=2.0)["gen"])
    return speak(decoder, prompt, speech_tokens(ends[-1]), ends, seed)


def mel_of(decoder: S3GenDecoder) -> torch.Tensor:
    spoken(decoder, [60])
    return decoder._flow.mel[100:220].cpu()


@pytest.mark.parametrize("attention", ["full", "chunked"])
@pytest.mark.parametrize("prepared", [False, True])
def test_graphs_give_what_single_kernels_give(s3gen: Any, attention: Any, prepared: bool) -> None:
    options: dict[str, Any] = {"device": "cuda", "dtype": torch.float32, "attention": attention}
    graphed = decoder_of(s3gen, **options)
    if prepared:
        graphed.prepare(min_tokens=64, max_tokens=128, max_frames=64)
    plain = eager(decoder_of(s3gen, **options))
    expected = spoken(plain, ENDS)
    assert len(expected) == 60 * 960 and expected.std() > 0.01
    for _ in range(2):
        assert np.abs(spoken(graphed, ENDS) - expected).max() < 1e-3


def test_in_float32_it_is_what_a_cpu_says(s3gen: Any) -> None:
    found = spoken(decoder_of(s3gen, device="cuda", dtype=torch.float32), ENDS)
    expected = spoken(decoder_of(s3gen, device="cpu"), ENDS)
    assert np.abs(found - expected).std() < 0.02 * expected.std()


def test_half_precision_changes_the_mel_little(s3gen: Any) -> None:
    exact, half = (mel_of(decoder_of(s3gen, device="cuda", dtype=dtype)) for dtype in (torch.float32, torch.float16))
    assert (half - exact).std() < 0.02 * exact.std()


def test_streams_in_a_batch_are_each_as_alone(s3gen: Any) -> None:
    decoder = decoder_of(s3gen, device="cuda", dtype=torch.float32)
    prompts = [
        decoder.voice(random_conditionals("turbo", ref_seconds=s, seed=i)["gen"]) for i, s in enumerate((1.0, 3.0))
    ]
    tokens = [speech_tokens(60, seed) for seed in range(2)]
    alone = [speak(decoder, *case, [25, 60], seed) for seed, case in enumerate(zip(prompts, tokens, strict=True))]
    streams = [decoder.open(prompt, seed) for seed, prompt in enumerate(prompts)]
    parts = []
    for end in (25, 60):
        jobs = [Job(stream, own[:end], end == 60) for stream, own in zip(streams, tokens, strict=True)]
        parts.append(decoder.launch(jobs).audio())
    for found, expected in zip(zip(*parts, strict=True), alone, strict=True):
        assert np.abs(np.concatenate(found) - expected).std() < 0.02 * expected.std()


@pytest.mark.parametrize("prepared", [False, True])
def test_prompts_of_mixed_lengths_in_graphs_are_each_what_single_kernels_give(s3gen: Any, prepared: bool) -> None:
    """Also the sizes that only shortened prompts need, captured before or when they come."""
    options: dict[str, Any] = {"device": "cuda", "dtype": torch.float32}
    graphed, plain = decoder_of(s3gen, **options), eager(decoder_of(s3gen, **options))
    if prepared:
        graphed.prepare(min_tokens=25)
    captured, lasts = len(graphed._graphs), (100, 60, 25, 25)
    for _ in range(2):
        found, expected = (mixed_prompts(decoder, lasts) for decoder in (graphed, plain))
        for one, other in zip(found, expected, strict=True):
            assert len(one) == 60 * 960 and other.std() > 0.01
            assert np.abs(one - other).max() < 1e-3
    assert not prepared or len(graphed._graphs) == captured


def mixed_prompts(decoder: S3GenDecoder, lasts: Sequence[int]) -> list[np.ndarray]:
    """One voice in one batch, each stream over so much of its prompt; the last streams by themselves, too."""
    prompt = decoder.voice(random_conditionals("turbo", ref_seconds=4.0)["gen"])
    streams = [decoder.open(prompt, SEED + number, prompt_tokens=last) for number, last in enumerate(lasts)]
    tokens = [speech_tokens(60, number) for number in range(len(lasts))]
    parts: list[list[np.ndarray]] = [[] for _ in lasts]
    for end, numbers in ((20, [0, 1, 2, 3]), (33, [2, 3]), (33, [0, 1]), (60, [3, 1, 2, 0])):
        jobs = [Job(streams[number], tokens[number][:end], end == 60) for number in numbers]
        for number, samples in zip(numbers, decoder.launch(jobs).audio(), strict=True):
            parts[number].append(samples)
    for stream in streams:
        decoder.close(stream)
    return [np.concatenate(own) for own in parts]


def test_a_launch_waits_for_nothing(s3gen: Any) -> None:
    decoder = decoder_of(s3gen, device="cuda")
    spoken(decoder, ENDS)
    stream = decoder.open(decoder.voice(random_conditionals("turbo", ref_seconds=2.0)["gen"]), SEED)
    say(decoder, stream, speech_tokens(20), False)
    torch.cuda.set_sync_debug_mode("error")
    try:
        run = decoder.launch([Job(stream, speech_tokens(33), False)])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    samples = run.audio()[0]
    assert run.ready() and len(samples) == 13 * 960


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_fused_kernel_does_what_torch_does(dtype: torch.dtype, layout: torch.memory_format) -> None:
    fused_triton = pytest.importorskip("engines.chatterbox.s3gen.fused_triton")
    x, plus, more = (
        torch.randn(3, 48, 1, 1201, device="cuda").to(dtype).contiguous(memory_format=layout) for _ in range(3)
    )
    bias, alpha = torch.randn(48, device="cuda").to(dtype), torch.rand(48, device="cuda").to(dtype) + 0.5
    lengths, snake = torch.tensor([1201, 1, 700], device="cuda"), Snake(alpha, 1 / alpha)
    cases: list[dict[str, Any]] = [
        {},
        {"bias": bias, "plus": (plus, more)},
        {"activation": snake},
        {"bias": bias, "plus": (plus,), "activation": snake, "keep": True},
        {"bias": bias, "plus": (plus, more), "activation": Leaky(0.1, 1 / 3)},
    ]
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    for case in cases:
        found, expected = fused_triton.fused_by_triton(x, lengths, **case), fused_by_torch(x, lengths, **case)
        for one, other in zip(found, expected, strict=True):
            assert one.stride() == x.stride()
            assert torch.allclose(one.float(), other.float(), atol=tolerance, rtol=tolerance)
