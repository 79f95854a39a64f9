"""A sentence over the end of its voice's prompt sounds as with a voice that has no more; how much of it when."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.chatterbox.assembly import Shape
from engines.chatterbox.engine import ChatterboxEngine, Hygiene
from engines.chatterbox.loading import Loaded, load_upstream
from engines.chatterbox.s3gen.decoder import Job, S3GenDecoder
from engines.chatterbox.schedule import Pace, prompt_tokens
from engines.protocol import SpeechOptions
from scripts.random_chatterbox import Modules, random_conditionals, tiny_architecture
from tests.engines.chatterbox.s3gen_cases import SEED, decoder_of, lively, say, speak, speech_tokens

PACE = Pace(calm=0.6, strained=0.9, min_prompt_tokens=75)
ENDS = [18, 33, 45]


@pytest.mark.parametrize(("busy", "tokens"), [(0.0, 250), (0.6, 250), (0.75, 163), (0.9, 75), (1.0, 75)])
def test_a_calm_vocoder_hears_all_of_the_prompt_and_a_strained_one_the_floor(busy: float, tokens: int) -> None:
    assert prompt_tokens(250, PACE, busy=busy) == tokens


def test_the_busier_the_shorter_and_never_below_the_floor_nor_above_the_whole() -> None:
    lengths = [prompt_tokens(200, PACE, busy=percent / 100) for percent in range(101)]
    assert lengths == sorted(lengths, reverse=True)
    assert (lengths[0], lengths[-1]) == (200, 75) and len(set(lengths)) > 20


@pytest.mark.parametrize("whole", [1, 60, 75])
def test_a_prompt_that_is_no_longer_than_the_floor_stays_whole(whole: int) -> None:
    assert prompt_tokens(whole, PACE, busy=1.0) == whole


def test_a_floor_of_ten_seconds_never_shortens() -> None:
    assert prompt_tokens(250, Pace(min_prompt_tokens=250), busy=1.0) == 250


@pytest.fixture(scope="module")
def s3gen(tiny_turbo: Modules) -> Any:
    return lively(tiny_turbo[1])


def gen_of(seconds: float, seed: int = 1, last: int | None = None) -> dict[str, Any]:
    """A voice, or one whose clip was cut to its last tokens."""
    gen = random_conditionals("turbo", ref_seconds=seconds, seed=seed)["gen"]
    if last is None:
        return gen
    return {**gen, "prompt_token": gen["prompt_token"][:, -last:], "prompt_feat": gen["prompt_feat"][:, -2 * last :]}


@pytest.mark.parametrize("attention", ["full", "chunked"])
def test_the_end_of_a_prompt_is_a_voice_that_was_cut_to_it(s3gen: Any, attention: Any) -> None:
    decoder, tokens = decoder_of(s3gen, attention=attention), speech_tokens(45)
    whole, cut = decoder.voice(gen_of(3.0)), decoder.voice(gen_of(3.0, last=20))
    short = whole.last(20)
    assert short.mel.data_ptr() == whole.mel[-40:].data_ptr()  # No copy: it costs no memory.
    expected = speak(decoder, cut, tokens, ENDS)
    assert np.array_equal(speak(decoder, short, tokens, ENDS), expected)
    assert np.abs(speak(decoder, whole, tokens, ENDS) - expected).max() > 1e-3


def test_mixed_prompt_lengths_of_one_voice_go_together_and_each_is_as_alone(s3gen: Any) -> None:
    decoder, ends = decoder_of(s3gen), [20, 45]
    whole = decoder.voice(gen_of(4.0))
    lasts = [None, 25, 60, 1]
    tokens = [speech_tokens(45, seed) for seed in range(len(lasts))]
    alone = [
        speak(decoder, decoder.voice(gen_of(4.0, last=last)), tokens[seed], ends, SEED + seed)
        for seed, last in enumerate(lasts)
    ]
    streams = [decoder.open(whole, SEED + seed, prompt_tokens=last) for seed, last in enumerate(lasts)]
    assert [len(stream.prompt.tokens) for stream in streams] == [100, 25, 60, 1]
    assert [stream.room for stream in streams] == [decoder.max_tokens] * 4
    parts = []
    for end in ends:
        jobs = [Job(stream, own[:end], end == 45) for stream, own in zip(streams, tokens, strict=True)]
        parts.append(decoder.launch(jobs[::-1]).audio()[::-1])
    for found, expected in zip(zip(*parts, strict=True), alone, strict=True):
        assert np.abs(np.concatenate(found) - expected).max() < 2e-5 < expected.std()


def test_a_row_that_had_the_whole_prompt_leaves_no_trace_in_a_shorter_one(s3gen: Any) -> None:
    decoder, tokens = decoder_of(s3gen, max_streams=1), speech_tokens(45)
    whole = decoder.voice(gen_of(4.0))
    expected = speak(decoder, decoder.voice(gen_of(4.0, last=30)), tokens, ENDS)
    speak(decoder, whole, tokens, ENDS)
    stream = decoder.open(whole, SEED, prompt_tokens=30)
    found = np.concatenate([say(decoder, stream, tokens[:end], end == 45) for end in ENDS])
    decoder.close(stream)
    assert np.array_equal(found, expected)


def test_what_no_prompt_can_be_is_refused_and_takes_no_place(s3gen: Any) -> None:
    decoder = decoder_of(s3gen, max_streams=1)
    voice = decoder.voice(gen_of(1.0))
    with pytest.raises(ValueError, match="0 tokens of a prompt were asked for, expected at least 1"):
        decoder.open(voice, SEED, prompt_tokens=0)
    assert decoder.open(voice, SEED, prompt_tokens=1000).prompt is voice


@pytest.fixture(scope="module")
def loaded(tiny_turbo_folder: Path) -> Loaded:
    with tiny_architecture():
        return load_upstream("turbo", tiny_turbo_folder)


@pytest.fixture
async def engine(loaded: Loaded, tmp_path: Path) -> AsyncIterator[ChatterboxEngine]:
    engine = ChatterboxEngine(
        loaded=loaded,
        slots=2,
        max_text_chars=60,
        min_prompt_secs=1.0,
        watermark=False,
        hygiene=Hygiene(trim_silence=False, end_detection=False, level_loudness=False),
        voices_dir=tmp_path,
        exact_tokens=lambda _: 40,
        shape=Shape(read=2, sound=4),
    )
    yield engine
    await engine.close()


@pytest.mark.parametrize(
    ("live", "busy", "prompts"), [(True, 0.5, [100, 100]), (True, 0.95, [25, 25]), (False, 0.95, [100, 100])]
)
async def test_live_sentences_take_less_of_the_prompt_while_the_vocoder_is_busy(
    engine: ChatterboxEngine, monkeypatch: pytest.MonkeyPatch, live: bool, busy: float, prompts: list[int]
) -> None:
    worker = engine._assembly.worker
    monkeypatch.setattr(worker._vocoder_busy, "share", lambda _: busy)
    decoder: S3GenDecoder = worker._sounding._decoder
    launch, seen = decoder.launch, {}

    def launching(jobs: Any) -> Any:
        for job in jobs:
            # Once and for all of a sentence's pieces.
            assert seen.setdefault(job.stream, job.stream.prompt) is job.stream.prompt
        return launch(jobs)

    monkeypatch.setattr(decoder, "launch", launching)

    async def text() -> AsyncIterator[str]:
        yield "One is said now. And one is said later."

    samples = 0
    async for chunk in engine.synthesize(text(), SpeechOptions(live=live)):
        samples += len(chunk.pcm) // 2
    assert samples == 2 * (40 + 3) * 960
    assert [len(prompt.tokens) for prompt in seen.values()] == prompts
