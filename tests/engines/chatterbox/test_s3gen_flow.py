"""The flow is upstream's, for ragged rows of several voices at once."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from engines.chatterbox.s3gen.decoder import Job, S3GenDecoder
from scripts.random_chatterbox import random_conditionals
from tests.engines.chatterbox.s3gen_cases import SEED, decoder_of, lively, say, speech_tokens, upstream_mel

WAITING = {"_local_scalar_dense", "nonzero", "item", "is_nonzero", "lift_fresh"}
"""Operations after which the host has to wait for a GPU, or copies to it."""


@pytest.fixture(scope="module", params=["turbo", "base"])
def s3gen(request: pytest.FixtureRequest) -> Any:
    return lively(request.getfixturevalue(f"tiny_{request.param}")[1])


@pytest.fixture(scope="module")
def decoder(s3gen: Any) -> S3GenDecoder:
    return decoder_of(s3gen)


def voice(seconds: float, seed: int) -> dict[str, Any]:
    return random_conditionals("turbo", ref_seconds=seconds, seed=seed)["gen"]


def mel_of(decoder: S3GenDecoder, size: int, row: int, prompt: int, tokens: int) -> torch.Tensor:
    """Frames of a row of the last run without the prompt; rows were padded to `size` tokens."""
    start = 2 * (row * size + prompt)
    return decoder._flow.mel[start : start + 2 * tokens].clone()


def size_of(decoder: S3GenDecoder, tokens: int) -> int:
    return decoder._plan.bucket(tokens, 1).tokens


def test_the_mel_is_upstreams(decoder: S3GenDecoder, s3gen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gen, tokens = voice(1.0, 1), speech_tokens(31)
    expected = upstream_mel(s3gen, gen, tokens, monkeypatch)
    stream = decoder.open(decoder.voice(gen), SEED)
    say(decoder, stream, tokens, True)
    decoder.close(stream)
    assert expected.std() > 0.5
    assert (mel_of(decoder, 0, 0, 25, 31) - expected).abs().max() < 2e-5


def test_ragged_rows_of_several_voices_are_each_as_alone(decoder: S3GenDecoder) -> None:
    cases = [(1.2, 10, 1), (0.4, 33, 2), (0.8, 2, 3)]
    prompts = [decoder.voice(voice(seconds, seed)) for seconds, _, seed in cases]
    alone = []
    for prompt, (_, count, seed) in zip(prompts, cases, strict=True):
        stream = decoder.open(prompt, SEED + seed)
        say(decoder, stream, speech_tokens(count, seed), True)
        decoder.close(stream)
        alone.append(mel_of(decoder, 0, 0, len(prompt.tokens), count))
    streams = [decoder.open(prompt, SEED + seed) for prompt, (_, _, seed) in zip(prompts, cases, strict=True)]
    jobs = [Job(s, speech_tokens(count, seed), True) for s, (_, count, seed) in zip(streams, cases, strict=True)]
    decoder.launch(jobs)
    size = size_of(decoder, 43)
    for row, (prompt, expected) in enumerate(zip(prompts, alone, strict=True)):
        found = mel_of(decoder, size, row, len(prompt.tokens), cases[row][1])
        assert (found - expected).abs().max() < 1e-5
        decoder.close(streams[row])


def test_the_last_run_of_a_stream_makes_the_offline_mel(
    decoder: S3GenDecoder, s3gen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gen, tokens = voice(1.0, 4), speech_tokens(30)
    expected = upstream_mel(s3gen, gen, tokens, monkeypatch)
    stream = decoder.open(decoder.voice(gen), SEED)
    for end in (15, 30):
        say(decoder, stream, tokens[:end], end == 30)
    decoder.close(stream)
    assert (mel_of(decoder, 0, 0, 25, 30) - expected).abs().max() < 2e-5


def test_lookahead_is_only_looked_at(decoder: S3GenDecoder) -> None:
    """Frames of a run that goes on are those that upstream makes of all its tokens and then cuts."""
    prompt = decoder.voice(voice(1.0, 5))
    tokens = speech_tokens(30)
    mels = []
    for last in ((1, 2, 3), (4, 5, 6)):
        stream = decoder.open(prompt, SEED)
        say(decoder, stream, [*tokens[:27], *last], False)
        decoder.close(stream)
        frames = mel_of(decoder, 0, 0, 25, 30)
        assert (frames[54:].abs() < 10).all()
        mels.append(frames[:54])
    assert (mels[0] - mels[1]).abs().max() > 1e-3


class Operations(TorchDispatchMode):
    """Writes down what is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_nothing_in_a_run_would_wait_for_a_gpu(decoder: S3GenDecoder) -> None:
    stream = decoder.open(decoder.voice(voice(1.0, 6)), SEED)
    say(decoder, stream, speech_tokens(20), False)
    decoder.close(stream)
    with Operations() as seen, torch.no_grad():
        decoder._flow.run(1, 64)
        decoder._vocoder.run(1, 48)
    assert len(seen.names) > 30
    assert not seen.names & WAITING
