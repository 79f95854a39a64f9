"""Upstream as people run it, on tiny random weights: one after another, as long as it was told, and left as it was."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.bench.tts_baseline import UpstreamSpeech, load_upstream, sentences
from agent.bench.tts_engines import weights
from agent.bench.tts_options import TtsOptions
from engines.errors import EngineError, EngineFailed

TOKEN_SAMPLES = 960
"""24 kHz, 25 tokens a second."""


@pytest.fixture(scope="module", params=["turbo", "base"])
def upstream(request: pytest.FixtureRequest) -> Iterator[Any]:
    import torch

    torch.set_num_threads(1)
    options = TtsOptions(name="chatterbox", random_weights="tiny", engine={"variant": request.param})
    with weights(options, lambda _: None) as made:
        assert (Path(made.engine["model"]) / "conds.pt").is_file()
        yield load_upstream(request.param, made.engine["model"], "cpu")
    assert not Path(made.engine["model"]).exists()


async def pieces(*texts: str) -> AsyncIterator[str]:
    for text in texts:
        yield text


async def samples(plain: UpstreamSpeech, *texts: str) -> list[int]:
    return [len(chunk.pcm) // 2 async for chunk in plain.synthesize(pieces(*texts))]


async def test_it_speaks_sentence_by_sentence_as_long_as_it_was_told(upstream: Any, capfd: pytest.CaptureFixture[str]):
    before = upstream.t3.hp.stop_speech_token
    plain = UpstreamSpeech(upstream, fixed_tokens=lambda sentence: 10 if sentence == "Yes." else 15)
    found = await samples(plain, "Ye", "s. Of", " course.")
    closing = 3 if type(upstream).__name__ == "ChatterboxTurboTTS" else 0  # Upstream adds silence.
    assert found == [(10 + closing) * TOKEN_SAMPLES, (15 + closing) * TOKEN_SAMPLES]
    assert upstream.t3.hp.stop_speech_token == before and "inference" not in vars(upstream.t3)
    shown = capfd.readouterr()
    assert "it/s" not in shown.err and shown.out == ""
    await plain.close()


async def test_requests_wait_for_each_other(upstream: Any):
    plain = UpstreamSpeech(upstream, fixed_tokens=lambda _: 8)
    running = most = 0
    generate = plain._generate

    def counted(sentence: str) -> bytes:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return generate(sentence)
        finally:
            running -= 1

    plain._generate = counted
    found = await asyncio.gather(*(samples(plain, "Hello there.") for _ in range(2)))
    assert most == 1 and all(len(chunks) == 1 for chunks in found)
    await plain.close()


async def test_the_watermark_is_upstreams_or_left_out(upstream: Any):
    marked, calls = upstream.watermarker.apply_watermark, []

    class Counting:
        def apply_watermark(self, wav: np.ndarray, **named: Any) -> np.ndarray:
            calls.append(named)
            return marked(wav, **named)

    upstream.watermarker = Counting()
    for watermark, expected in ((True, 1), (False, 1)):
        plain = UpstreamSpeech(upstream, fixed_tokens=lambda _: 8, watermark=watermark)
        await samples(plain, "Hello there.")
        assert len(calls) == expected
        await plain.close()


async def test_what_upstream_raises_is_an_error_of_the_engine(upstream: Any, monkeypatch: pytest.MonkeyPatch):
    def broken(_: str) -> None:
        raise ValueError("no voice")

    monkeypatch.setattr(upstream, "generate", broken)
    plain = UpstreamSpeech(upstream)
    with pytest.raises(EngineFailed, match="no voice"):
        await samples(plain, "Hello.")
    await plain.close()


async def test_sentences_come_when_the_next_one_begins():
    given: list[str] = []

    async def text() -> AsyncIterator[str]:
        for piece in ("It costs $4", ".50", ". Is", ' that fine? "Yes', '!" Good'):
            given.append(piece)
            yield piece

    found = [(sentence, len(given)) async for sentence in sentences(text())]
    assert found == [("It costs $4.50.", 3), ("Is that fine?", 4), ('"Yes!', 5), ("Good", 5)]


async def test_the_text_is_read_while_a_sentence_is_made():
    written: list[str] = []

    async def text() -> AsyncIterator[str]:
        for piece in ("One. ", "Two. ", "Three."):
            written.append(piece)
            yield piece

    plain = UpstreamSpeech(type("Model", (), {"sr": 24_000})())
    seen: list[int] = []

    def generate(sentence: str) -> bytes:
        seen.append(len(written))
        return bytes(2)

    plain._generate = generate
    async with aclosing(plain.synthesize(text())) as stream:  # pyright: ignore[reportArgumentType]
        assert len([chunk async for chunk in stream]) == 3
    assert seen[-1] == 3
    await plain.close()


def test_weights_that_are_not_there_are_named():
    with pytest.raises(EngineError, match=r"cannot be loaded.*gone"):
        load_upstream("turbo", "gone", "cpu")
