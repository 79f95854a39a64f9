"""Audio made in pieces, in batches that change, is the audio made at once."""

from typing import Any

import numpy as np
import pytest
import torch

from engines.chatterbox.s3gen.decoder import Job, S3GenDecoder
from engines.chatterbox.s3gen.stream import Prompt
from engines.chatterbox.s3gen.vocoder import CONTEXT
from engines.errors import EngineBusy, EngineRefused
from scripts.random_chatterbox import Modules, random_conditionals
from tests.engines.chatterbox.s3gen_cases import (
    SEED,
    decoder_of,
    lively,
    say,
    speak,
    speech_tokens,
    upstream_audio,
    upstream_mel,
)

SCHEDULES = ([45], [20, 40, 45], [13, 33, 44, 45], [15, 20, 24, 27, 33, 40, 45])
"""Up to which token each run knows."""


@pytest.fixture(scope="module")
def s3gen(tiny_turbo: Modules) -> Any:
    return lively(tiny_turbo[1])


@pytest.fixture(scope="module")
def full(s3gen: Any) -> S3GenDecoder:
    return decoder_of(s3gen)


@pytest.fixture(scope="module")
def chunked(s3gen: Any) -> S3GenDecoder:
    return decoder_of(s3gen, attention="chunked")


def voice(decoder: S3GenDecoder, seconds: float = 1.0, seed: int = 1) -> Prompt:
    return decoder.voice(random_conditionals("turbo", ref_seconds=seconds, seed=seed)["gen"])


def whole_of(decoder: S3GenDecoder, prompt: Prompt, tokens: list[int], ends: list[int]) -> np.ndarray:
    """One run over everything, with the chunks that the schedule would have made."""
    stream = decoder.open(prompt, SEED)
    for end in ends[:-1]:
        stream.take(tokens[:end], stream.window(end, False, context=CONTEXT, hold=CONTEXT), False)
    stream.spoken = 0
    samples = say(decoder, stream, tokens, True)
    decoder.close(stream)
    return samples


def test_one_run_is_upstream_from_tokens_to_samples(
    full: S3GenDecoder, s3gen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gen, tokens = random_conditionals("turbo", ref_seconds=2.0)["gen"], speech_tokens(40)
    expected = upstream_audio(s3gen, upstream_mel(s3gen, gen, tokens, monkeypatch), monkeypatch)
    found = speak(full, full.voice(gen), tokens, [40])
    assert expected.std() > 0.01 and found.std() > 0.01
    # Upstream adds up the phase in single precision, sample by sample.
    assert np.abs(found - expected.numpy()).max() < 2e-3


@pytest.mark.parametrize("ends", SCHEDULES, ids=str)
def test_in_chunked_attention_the_pieces_are_the_whole(chunked: S3GenDecoder, ends: list[int]) -> None:
    tokens, prompt = speech_tokens(45), voice(chunked)
    pieces = speak(chunked, prompt, tokens, ends)
    assert len(pieces) == 45 * 960
    assert np.abs(pieces - whole_of(chunked, prompt, tokens, ends)).max() < 1e-4 < pieces.std()


@pytest.mark.parametrize("ends", SCHEDULES, ids=str)
def test_in_full_attention_pieces_join_without_a_step(full: S3GenDecoder, ends: list[int]) -> None:
    pieces = speak(full, voice(full), speech_tokens(45), ends)
    assert len(pieces) == 45 * 960
    steps = np.abs(np.diff(pieces))
    seams = [960 * (end - 3) - 480 * CONTEXT for end in ends[:-1] if end > 10]
    near = np.zeros(len(steps), bool)
    for seam in seams:
        near[seam - 2 : seam + 242] = True
    assert steps[near].max(initial=0) <= steps[~near].max()


def test_a_hard_cut_has_the_step_that_the_overlap_takes_away(s3gen: Any) -> None:
    """At a seam the former run's held-back sample and this run's differ, or there would be nothing to fade."""
    cut, faded = decoder_of(s3gen, overlap=0), decoder_of(s3gen)
    one, other = (speak(d, voice(d), speech_tokens(40), [27, 40]) for d in (cut, faded))
    seam = 960 * 24 - 480 * CONTEXT
    differs = np.flatnonzero(one != other)
    assert differs.min() >= seam and differs.max() < seam + 240
    assert abs(one[seam] - other[seam]) > 1e-3 > abs(one[seam + 239] - other[seam + 239])


def test_what_was_spoken_does_not_change_and_the_rest_is_the_newest(full: S3GenDecoder) -> None:
    stream = full.open(voice(full), SEED)
    tokens = speech_tokens(45)
    say(full, stream, tokens[:30], False)
    spoken, prompt = stream.spoken, len(stream.prompt.tokens)
    assert spoken == 2 * 27 - CONTEXT
    tail = full._vocoder._tails.mel[stream.row].clone()
    assert torch.equal(tail, full._flow.mel[2 * prompt + spoken - CONTEXT : 2 * prompt + spoken])
    heard: list[torch.Tensor] = []
    decode = full._vocoder._hift.decode
    full._vocoder._hift.decode = lambda mel, *rest: heard.append(mel.clone()) or decode(mel, *rest)  # type: ignore
    try:
        say(full, stream, tokens, True)
    finally:
        full._vocoder._hift.decode = decode
    full.close(stream)
    assert torch.equal(heard[0][0, :CONTEXT], tail)
    rest = full._flow.mel[2 * prompt + spoken : 2 * prompt + 90]
    assert torch.equal(heard[0][0, CONTEXT : CONTEXT + len(rest)], rest)


@pytest.mark.parametrize("attention", ["full", "chunked"])
def test_streams_in_different_phases_are_each_as_alone(s3gen: Any, attention: Any) -> None:
    decoder = decoder_of(s3gen, attention=attention)
    schedules = {0: [15, 33, 45], 1: [25, 36], 2: [9, 10, 24, 38], 3: [2]}
    starts = {0: 0, 1: 1, 2: 0, 3: 2}
    prompts = {key: voice(decoder, 0.4 + key / 2, seed=key) for key in schedules}
    tokens = {key: speech_tokens(60, key) for key in schedules}
    streams = {key: decoder.open(prompts[key], SEED + key) for key in schedules}
    together: dict[int, list[np.ndarray]] = {key: [] for key in schedules}
    for turn in range(4):
        due = [key for key in schedules if 0 <= turn - starts[key] < len(schedules[key])]
        ends = {key: schedules[key][turn - starts[key]] for key in due}
        # Another order in each run: a stream's place in the batch must not matter.
        due.sort(key=lambda key: (key + turn) % 4)
        jobs = [Job(streams[key], tokens[key][: ends[key]], ends[key] == schedules[key][-1]) for key in due]
        for key, samples in zip(due, decoder.launch(jobs).audio(), strict=True):
            together[key].append(samples)
    for key, ends in schedules.items():
        decoder.close(streams[key])
        alone = speak(decoder, prompts[key], tokens[key], ends, SEED + key)
        assert len(alone) == 960 * ends[-1]
        assert np.abs(np.concatenate(together[key]) - alone).max() < 2e-5


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 120])
def test_any_length_is_spoken_to_the_last_sample(full: S3GenDecoder, count: int) -> None:
    samples = speak(full, voice(full), speech_tokens(count), [count])
    assert samples.dtype == np.float32 and len(samples) == 960 * count
    assert np.isfinite(samples).all() and np.abs(samples).max(initial=0) < 1


@pytest.mark.parametrize("ends", [[1, 2, 3, 4, 5], [3, 11, 11, 12], [0, 0, 14, 14]], ids=str)
def test_short_runs_say_nothing_until_there_is_something(full: S3GenDecoder, ends: list[int]) -> None:
    stream = full.open(voice(full), SEED)
    tokens = speech_tokens(ends[-1])
    parts = [say(full, stream, tokens[:end], False) for end in ends] + [say(full, stream, tokens, True)]
    full.close(stream)
    assert [len(part) for part in parts[:2]] == [0, 960 * (ends[1] - 3) - 480 * CONTEXT if ends[1] > 10 else 0]
    assert sum(map(len, parts)) == 960 * ends[-1]


def test_the_beginning_is_upstreams_fade(s3gen: Any) -> None:
    faded, plain = decoder_of(s3gen), decoder_of(s3gen, trim_fade=False)
    one, other = (speak(d, voice(d), speech_tokens(20), [12, 20]) for d in (faded, plain))
    assert (one[:480] == 0).all() and other[:480].std() > 1e-3
    assert np.allclose(one[:960], other[:960] * s3gen.trim_fade.numpy(), atol=1e-7)
    assert np.array_equal(one[960:], other[960:])


def test_a_place_is_used_again_without_a_trace(full: S3GenDecoder) -> None:
    prompt, tokens = voice(full), speech_tokens(30)
    first = speak(full, prompt, tokens, [18, 30])
    speak(full, voice(full, 2.0, seed=9), speech_tokens(30, 9), [20, 30], seed=1)
    assert np.array_equal(first, speak(full, prompt, tokens, [18, 30]))
    assert not np.array_equal(first, speak(full, prompt, tokens, [18, 30], seed=2))


def test_captures_disturb_nobody(full: S3GenDecoder) -> None:
    """A capture runs its work several times, on a batch that concerns nobody."""
    prompt, tokens = voice(full), speech_tokens(30)
    expected = speak(full, prompt, tokens, [22, 30])
    stream = full.open(prompt, SEED)
    parts = [say(full, stream, tokens[:22], False)]
    full._block.clear()
    with torch.no_grad():
        for _ in range(2):
            full._flow.run(2, 64)
            full._flow._advance(2, 64)
            full._vocoder.run(2, 48)
    parts.append(say(full, stream, tokens, True))
    full.close(stream)
    assert np.array_equal(np.concatenate(parts), expected)


def test_what_cannot_be_is_refused(full: S3GenDecoder) -> None:
    stream = full.open(voice(full), SEED)
    for tokens, message in ([6561], "6561 is no speech token"), ([0] * 121, "121 speech tokens"):
        with pytest.raises(EngineRefused, match=message):
            full.launch([Job(stream, tokens, False)])
    with pytest.raises(EngineRefused, match="two jobs"):
        full.launch([Job(stream, [1], False)] * 2)
    say(full, stream, [1, 2], False)
    with pytest.raises(EngineRefused, match="1 speech tokens were given after 2"):
        say(full, stream, [1], True)
    say(full, stream, [1, 2], True)
    with pytest.raises(EngineRefused, match="had its last run"):
        say(full, stream, [1, 2, 3], True)
    full.close(stream)
    full.close(stream)
    with pytest.raises(EngineRefused, match="closed"):
        say(full, stream, [1, 2], True)


def test_a_voice_that_is_none_is_refused(full: S3GenDecoder) -> None:
    gen = random_conditionals("turbo", ref_seconds=2.0)["gen"]
    with pytest.raises(EngineRefused, match="lacks embedding"):
        full.voice({**gen, "embedding": None})
    with pytest.raises(EngineRefused, match="150 tokens, expected 1 to 100"):
        full.voice(random_conditionals("turbo", ref_seconds=6.0)["gen"])
    with pytest.raises(EngineRefused, match="shapes"):
        full.voice({**gen, "prompt_feat": gen["prompt_feat"][:, :, :40]})
    assert full.voice(gen).nbytes == (100 + 1) * 80 * 4


def test_places_run_out_and_come_back(full: S3GenDecoder) -> None:
    prompt = voice(full)
    streams = [full.open(prompt, seed) for seed in range(8)]
    with pytest.raises(EngineBusy, match="All 8 streams"):
        full.open(prompt, 8)
    for stream in streams:
        full.close(stream)
    full.close(full.open(prompt, 8))


def test_buckets_hold_their_jobs_and_long_jobs_go_with_fewer(full: S3GenDecoder) -> None:
    stream = full.open(voice(full), SEED)
    nothing, short, long = (full.bucket(Job(stream, speech_tokens(count), False)) for count in (8, 30, 100))
    full.close(stream)
    assert nothing.tokens == nothing.frames == 0
    assert short.tokens >= 25 + 30 and short.frames >= 54
    assert full.largest(nothing) == full.largest(short) == 8 > full.largest(long) >= 1
    assert short.with_other(long) == long
