"""The whole engine on tiny random weights: text in, sound and words out, whoever else speaks."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.chatterbox.assembly import Shape
from engines.chatterbox.engine import ChatterboxEngine, Hygiene
from engines.chatterbox.finish import SentenceSound
from engines.chatterbox.loading import Loaded, load_upstream
from engines.errors import EngineBusy, EngineClosed, EngineError, EngineFailed, EngineRefused
from engines.protocol import Mark, SpeechOptions
from engines.speech import EndWatch
from engines.text import spoken_length
from scripts.random_chatterbox import tiny_architecture

TOKENS = 20
PLAIN = Hygiene(trim_silence=False, end_detection=False, level_loudness=False)


@pytest.fixture(scope="module")
def loaded(tiny_turbo_folder: Path) -> Loaded:
    with tiny_architecture():
        return load_upstream("turbo", tiny_turbo_folder)


@pytest.fixture(scope="module")
def loaded_base(tiny_base_folder: Path) -> Loaded:
    with tiny_architecture():
        return load_upstream("base", tiny_base_folder)


def make(loaded: Loaded, tmp_path: Path, **changes: Any) -> ChatterboxEngine:
    arguments: dict[str, Any] = {
        "variant": loaded.variant,
        "slots": 3,
        "max_queue": 2,
        "max_text_chars": 60,
        "watermark": False,
        "hygiene": PLAIN,
        "voices_dir": tmp_path / "voices",
        "exact_tokens": lambda _: TOKENS,
        "shape": Shape(read=2, sound=4),
    }
    return ChatterboxEngine(loaded=loaded, **{**arguments, **changes})


@pytest.fixture
async def engine(loaded: Loaded, tmp_path: Path) -> AsyncIterator[ChatterboxEngine]:
    engine = make(loaded, tmp_path)
    yield engine
    await engine.close()


async def pieces(*texts: str) -> AsyncIterator[str]:
    for text in texts:
        yield text


async def say(engine: ChatterboxEngine, *texts: str, **options: Any) -> tuple[np.ndarray, list[Mark]]:
    pcm, marks = bytearray(), []
    async for chunk in engine.synthesize(pieces(*texts), SpeechOptions(**options)):
        pcm += chunk.pcm
        marks += chunk.marks
    return np.frombuffer(bytes(pcm), "<i2"), marks


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


def decoding(engine: ChatterboxEngine) -> Any:
    return engine._assembly.worker._decoding


async def test_every_token_is_heard_and_every_word_is_placed(engine: ChatterboxEngine):
    text = "I paid $5 for it. Was it too much?"
    audio, marks = await say(engine, *[f"{word} " for word in text.split()], seed=1)
    assert len(audio) == 2 * (TOKENS + 3) * 960  # Two sentences, each with upstream's closing silence.
    assert np.abs(audio).max() > 0
    assert [mark.text for mark in marks] == text.split()
    assert marks[0].start == 0 and marks[-1].end == len(audio)
    assert all(before.end <= after.start for before, after in pairwise(marks))
    assert next(mark for mark in marks if mark.text == "Was").start == len(audio) // 2


async def test_a_file_sounds_the_same_alone_and_in_company(engine: ChatterboxEngine):
    alone, _ = await say(engine, "How are you today?", seed=7, live=False)
    company = [say(engine, f"Number {number} speaks for a while.", seed=number) for number in range(3)]
    (again, _), *_ = await asyncio.gather(say(engine, "How are you today?", seed=7, live=False), *company)
    assert len(again) == len(alone)
    assert np.abs(alone.astype(int) - again).max() <= 2
    other, _ = await say(engine, "How are you today?", seed=8, live=False)
    assert np.abs(alone.astype(int) - other).max() > 20


async def test_more_speak_than_there_are_slots_and_one_too_many_is_refused(engine: ChatterboxEngine):
    streams = [say(engine, "One after the other, please.") for _ in range(5)]
    results = await asyncio.gather(*streams, say(engine, "And me?"), return_exceptions=True)
    refused = [result for result in results if isinstance(result, BaseException)]
    assert len(refused) == 1 and isinstance(refused[0], EngineBusy)
    assert all(len(result[0]) == (TOKENS + 3) * 960 for result in results if not isinstance(result, BaseException))
    await until(lambda: engine._assembly.worker.open_streams == 0)
    assert decoding(engine).free == 3


async def test_a_closed_stream_frees_its_place_and_makes_nothing_more(loaded: Loaded, tmp_path: Path):
    engine = make(loaded, tmp_path, exact_tokens=lambda _: 100)
    try:
        stream = engine.synthesize(pieces("This will take a very long time to say."))
        await anext(aiter(stream))
        await stream.aclose()  # pyright: ignore[reportAttributeAccessIssue]
        await until(lambda: decoding(engine).free == 3 and engine._assembly.worker.open_streams == 0)
        steps = engine.stats()["steps"]
        await asyncio.sleep(0.2)
        assert engine.stats()["steps"] == steps
    finally:
        await engine.close()


async def test_sound_comes_before_the_text_has_ended(engine: ChatterboxEngine):
    heard = asyncio.Event()

    async def text() -> AsyncIterator[str]:
        yield "This comes first. "
        async with asyncio.timeout(20):
            await heard.wait()
        yield "And this later."

    total = 0
    async for chunk in engine.synthesize(text()):
        total += len(chunk.pcm) // 2
        heard.set()
    assert total == 2 * (TOKENS + 3) * 960


async def test_an_empty_piece_speaks_what_has_come(engine: ChatterboxEngine):
    heard = asyncio.Event()

    async def text() -> AsyncIterator[str]:
        yield "Without an end"
        yield ""
        async with asyncio.timeout(20):
            await heard.wait()

    async for _ in engine.synthesize(text()):
        heard.set()
    assert heard.is_set()


@pytest.mark.parametrize("text", ["", "   ", "🙂", "***"])
async def test_nothing_to_say_is_silence_and_no_error(engine: ChatterboxEngine, text: str):
    audio, _ = await say(engine, text)
    assert len(audio) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"voice": "nobody"}, "no voice 'nobody'.*default"),
        ({"temperature": 9.0}, "temperature 9.0 .*expected 0.05 to 2"),
    ],
)
async def test_what_it_does_not_have_is_refused(engine: ChatterboxEngine, options: dict[str, Any], message: str):
    with pytest.raises(EngineRefused, match=message):
        await say(engine, "Hello there.", **options)
    audio, _ = await say(engine, "Hello there.")
    assert len(audio)


async def test_an_error_of_the_text_reaches_the_caller_and_frees_the_place(engine: ChatterboxEngine):
    async def text() -> AsyncIterator[str]:
        yield "So far so good. "
        raise ZeroDivisionError("the brain failed")

    with pytest.raises(ZeroDivisionError):
        async for _ in engine.synthesize(text()):
            pass
    await until(lambda: engine._assembly.worker.open_streams == 0)


async def test_a_model_that_fails_loses_one_request_and_the_engine_goes_on(engine: ChatterboxEngine, monkeypatch: Any):
    decoder = engine._assembly.worker._decoding._decoder
    admit, failed = decoder.admit, []

    def failing(requests: Any) -> Any:
        if not failed:
            failed.append(True)
            raise RuntimeError("CUDA out of memory")
        return admit(requests)

    monkeypatch.setattr(decoder, "admit", failing)
    with pytest.raises(EngineFailed, match="CUDA out of memory"):
        await say(engine, "I am the one.")
    audio, _ = await say(engine, "And I am well.")
    assert len(audio) == (TOKENS + 3) * 960 and engine.problem is None


async def test_a_failing_batch_fails_only_the_guilty(engine: ChatterboxEngine, monkeypatch: Any):
    sounding = engine._assembly.worker._sounding._decoder
    launch, guilty = sounding.launch, []

    def failing(jobs: Any) -> Any:
        guilty.append(jobs[0].stream) if not guilty else None
        if any(job.stream is guilty[0] for job in jobs):
            raise RuntimeError("this one")
        return launch(jobs)

    monkeypatch.setattr(sounding, "launch", failing)
    results = await asyncio.gather(*(say(engine, f"Speaker {n} here.") for n in range(3)), return_exceptions=True)
    assert sum(isinstance(result, EngineFailed) for result in results) == 1
    assert sum(not isinstance(result, BaseException) for result in results) == 2


async def test_the_models_own_end_and_the_bound_end_a_sentence(loaded_base: Loaded, tmp_path: Path):
    """Random weights hardly ever end a sentence: the bound does."""
    engine = make(loaded_base, tmp_path, exact_tokens=None, hygiene=Hygiene(trim_silence=False, end_detection=False))
    try:
        audio, marks = await say(engine, "Oh well.", exaggeration=0.8, cfg_weight=0.3)
        most = EndWatch(spoken_length("Oh well.")).bound
        assert most is not None and 0 < len(audio) <= most * 960
        assert [mark.text for mark in marks] == ["Oh", "well."]
    finally:
        await engine.close()


async def test_the_watermark_goes_into_every_stream_and_is_never_lost_silently(
    loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    engine, bare = make(loaded, tmp_path, watermark=True), make(loaded, tmp_path, watermark=False)
    try:
        marked, _ = await say(engine, "It is marked.", seed=5, live=False)
        plain, _ = await say(bare, "It is marked.", seed=5, live=False)
        assert len(marked) == len(plain)
        assert 0 < np.abs(marked.astype(int) - plain).mean() < np.abs(plain.astype(int)).mean()

        def broken(*_: Any) -> Any:
            raise RuntimeError("the net is broken")

        monkeypatch.setattr(engine._assembly.worker._finisher._watermarker, "apply", broken)
        with pytest.raises(EngineFailed):
            await say(engine, "Nobody hears me.")
    finally:
        await engine.close()
        await bare.close()


async def test_after_it_is_closed_it_says_so(loaded: Loaded, tmp_path: Path):
    engine = make(loaded, tmp_path, exact_tokens=lambda _: 100)
    running = asyncio.create_task(say(engine, "I am cut off in the middle of it."))
    await until(lambda: engine.stats()["steps"] > 3)
    await engine.close()
    with pytest.raises(EngineClosed):
        await running
    with pytest.raises(EngineError):
        await say(engine, "Too late.")
    assert engine.problem is not None


async def test_a_full_device_at_a_batch_of_sound_costs_nobody_anything_where_fewer_fit(
    engine: ChatterboxEngine, monkeypatch: pytest.MonkeyPatch
):
    """Those of the batch are tried one by one; the sound of none may be lost over the next one's."""
    vocoder = engine._assembly.worker._sounding._decoder
    prepare, full = vocoder._prepare, []

    def failing(rows: int, tokens: int, frames: int) -> None:
        if rows > 1:
            full.append(rows)
            raise RuntimeError("CUDA out of memory")
        prepare(rows, tokens, frames)

    monkeypatch.setattr(vocoder, "_prepare", failing)
    results = await asyncio.gather(*(say(engine, f"Speaker {number} here.", live=False) for number in range(3)))
    assert [len(audio) for audio, _ in results] == [(TOKENS + 3) * 960] * 3
    assert full and len(vocoder._free) == vocoder.max_streams


async def test_what_fails_for_a_new_sentence_costs_the_others_no_token(
    loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    engine = make(loaded, tmp_path, exact_tokens=lambda _: 100)
    try:
        decoder = engine._assembly.worker._decoding._decoder
        taken: list[int] = []
        take = engine._assembly.worker._take
        monkeypatch.setattr(
            engine._assembly.worker, "_take", lambda utterance, token: (taken.append(token), take(utterance, token))
        )
        alone, _ = await say(engine, "This one goes on and on.", seed=4, live=False)
        tokens, admit = taken[:100], decoder.admit
        taken.clear()
        running = asyncio.create_task(say(engine, "This one goes on and on.", seed=4, live=False))
        await until(lambda: len(taken) > 10)
        monkeypatch.setattr(decoder, "admit", fail)
        with pytest.raises(EngineFailed, match="CUDA out of memory"):
            await say(engine, "I am the one.")
        monkeypatch.setattr(decoder, "admit", admit)
        again, _ = await running
        assert taken[:100] == tokens and np.abs(alone.astype(int) - again).max() <= 2
    finally:
        await engine.close()


@pytest.mark.parametrize("variant", ["turbo", "base"])
async def test_speech_that_is_found_over_in_its_sound_frees_its_place(
    loaded: Loaded, loaded_base: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str
):
    """Also base's, which has no closing tokens behind those that the vocoder has looked ahead at."""
    engine = make(loaded if variant == "turbo" else loaded_base, tmp_path, exact_tokens=lambda _: 100)
    try:
        monkeypatch.setattr(SentenceSound, "is_over", property(lambda _: True))
        audio, marks = await say(engine, "Cut after its first piece. And so is this one.")
        assert 0 < len(audio) < 2 * 100 * 960
        assert " ".join(mark.text for mark in marks) == "Cut after its first piece. And so is this one."
        await until(lambda: engine._assembly.worker.open_streams == 0)
        assert decoding(engine).free == 3
        vocoder = engine._assembly.worker._sounding._decoder
        assert len(vocoder._free) == vocoder.max_streams
    finally:
        await engine.close()


async def test_a_watermark_that_fails_at_the_very_end_is_told(
    loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    engine = make(loaded, tmp_path, watermark=True)
    try:
        marker: Any = engine._assembly.worker._finisher._watermarker
        apply = marker.apply

        def failing(states: Any, pieces: Any, finals: Any) -> Any:
            if any(finals):
                raise RuntimeError("no memory for the last of it")
            return apply(states, pieces, finals)

        monkeypatch.setattr(marker, "apply", failing)
        async with asyncio.timeout(20):
            with pytest.raises(EngineFailed):
                await say(engine, "The last word is missing.")
    finally:
        await engine.close()


async def test_a_sentence_becomes_no_longer_than_the_vocoder_bears(loaded: Loaded, tmp_path: Path):
    engine = make(loaded, tmp_path, exact_tokens=lambda _: 10_000)
    try:
        audio, _ = await say(engine, "Short.", live=False)
        assert len(audio) == engine._assembly.worker._sounding._decoder.max_tokens * 960
    finally:
        await engine.close()


async def test_a_voice_that_there_is_no_room_for_is_its_own_streams_failure(
    engine: ChatterboxEngine, monkeypatch: pytest.MonkeyPatch
):
    decoder = decoding(engine)._decoder
    condition = decoder.condition
    monkeypatch.setattr(decoder, "condition", fail)
    with pytest.raises(EngineFailed, match="default could not be made ready: RuntimeError"):
        await say(engine, "Hello there.")
    monkeypatch.setattr(decoder, "condition", condition)
    assert len((await say(engine, "Hello there."))[0])


async def test_an_engine_that_has_given_up_says_why_and_lets_nobody_wait(
    engine: ChatterboxEngine, monkeypatch: pytest.MonkeyPatch
):
    worker = engine._assembly.worker
    monkeypatch.setattr(worker, "_turn", fail)
    async with asyncio.timeout(20):
        with pytest.raises(EngineError):
            await say(engine, "Is anybody there?")
        await until(lambda: not worker._thread.is_alive())
        with pytest.raises(EngineError):
            await say(engine, "Is anybody there?", exaggeration=0.7)
    assert "CUDA out of memory" in str(engine.problem)


def fail(*_: Any) -> Any:
    raise RuntimeError("CUDA out of memory")


async def test_nobody_rests_in_a_slot_that_a_new_listener_waits_for(
    loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A sentence of 10 s whose listener has a second of it left would hold its slot as long as that second lasts."""
    engine = make(loaded, tmp_path, slots=1, max_text_chars=200, max_ahead_secs=1.0, exact_tokens=lambda _: 250)
    first = asyncio.create_task(say(engine, "The first one speaks for a long time."))
    try:
        await until(lambda: engine.stats()["pieces"] > 0)
        worker, now = engine._assembly.worker, time.monotonic()
        for part in (worker._tokens, worker._sound, worker._finisher):
            monkeypatch.setattr(part, "_clock", lambda: now)
        async with asyncio.timeout(60):
            async for chunk in engine.synthesize(pieces("And the second one?")):
                if chunk.pcm:
                    break
    finally:
        first.cancel()
        await engine.close()
