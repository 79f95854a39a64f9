"""The packaged voice, heard again by Whisper."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import jiwer
import numpy as np
import pytest
import soxr

from engines.errors import EngineBusy, EngineClosed, EngineError, WeightsError
from engines.protocol import SpeechChunk, SpeechOptions
from engines.voices import HibariEngine
from engines.whisper import WhisperEngine
from tests.engines.conftest import words

RATE = 24_000
SENTENCES = ("The quick brown fox jumps over the lazy dog.", "My little sister likes to swim in the cold lake.")


async def pieces(*texts: str) -> AsyncIterator[str]:
    for text in texts:
        yield text


async def spoken(engine: HibariEngine, *texts: str) -> list[SpeechChunk]:
    return [chunk async for chunk in engine.synthesize(pieces(*texts))]


async def heard(whisper: WhisperEngine, pcm: bytes) -> str:
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32) / 32768
    at_16_khz = soxr.resample(samples, RATE, whisper.sample_rate)
    return words((await whisper.transcribe((at_16_khz * 32767).astype("<i2").tobytes())).text)


async def test_what_it_says_can_be_understood(hibari: HibariEngine, whisper: WhisperEngine):
    pcm = b"".join(chunk.pcm for chunk in await spoken(hibari, " ".join(SENTENCES)))
    assert jiwer.wer(words(" ".join(SENTENCES)), await heard(whisper, pcm)) <= 0.10


async def test_it_gives_one_chunk_a_sentence_as_each_is_ready(hibari: HibariEngine, whisper: WhisperEngine):
    chunks = await spoken(hibari, " ".join(SENTENCES))
    assert [mark.text for chunk in chunks for mark in chunk.marks] == list(SENTENCES)
    for sentence, chunk in zip(SENTENCES, chunks, strict=True):
        assert jiwer.wer(words(sentence), await heard(whisper, chunk.pcm)) <= 0.2


async def test_text_that_comes_in_pieces_is_one_stream(hibari: HibariEngine):
    chunks = await spoken(hibari, *SENTENCES, "Yes.")
    assert [mark.text for chunk in chunks for mark in chunk.marks] == [*SENTENCES, "Yes."]


async def test_marks_cover_exactly_the_samples(hibari: HibariEngine):
    at = 0
    for chunk in await spoken(hibari, SENTENCES[0], "!", SENTENCES[1]):
        (mark,) = chunk.marks
        assert (mark.start, mark.end) == (at, at + len(chunk.pcm) // 2)
        at = mark.end
    assert at > RATE


async def test_it_begins_to_speak_at_once(hibari: HibariEngine):
    (chunk,) = await spoken(hibari, "Hello there.")
    first = np.frombuffer(chunk.pcm, dtype="<i2")[: int(0.05 * RATE)].astype(np.float32) / 32768
    assert 10 * np.log10(np.mean(np.square(first))) > -60


@pytest.mark.parametrize(
    "text", ["", " ", "...", "?!", "—", "😀", "🎉 ✨", "* * *", "\n\n"], ids=lambda text: repr(text)
)
async def test_without_a_word_there_is_no_sound(hibari: HibariEngine, text: str):
    assert await spoken(hibari, text) == []


async def test_a_word_it_cannot_pronounce_does_not_end_the_stream(hibari: HibariEngine):
    chunks = await spoken(hibari, "你好", "Good morning.")
    assert chunks[-1].marks[0].text == "Good morning."


async def test_a_stream_closed_early_frees_its_place(hibari: HibariEngine):
    stream = hibari.synthesize(pieces(*SENTENCES * 20))
    async with aclosing(stream) as chunks:  # pyright: ignore[reportArgumentType]
        async for _ in chunks:
            break
    assert await spoken(hibari, "Yes.")


async def test_a_text_without_an_end_is_cut_and_spoken_whole(hibari: HibariEngine, whisper: WhisperEngine):
    text = " ".join(["one two three four five six seven eight nine ten"] * 30) + " and the last word is banana"
    chunks = await spoken(hibari, text)
    marks = [mark.text for chunk in chunks for mark in chunk.marks]
    assert len(marks) > 1 and max(map(len, marks)) <= 1000
    assert " ".join(marks).split() == text.split()
    assert "banana" in await heard(whisper, chunks[-1].pcm[-4 * RATE :])


async def test_a_word_without_an_end_is_cut_too(hibari: HibariEngine):
    marks = [mark.text for chunk in await spoken(hibari, "a" * 2500) for mark in chunk.marks]
    assert "".join(marks) == "a" * 2500


async def test_a_slower_voice_takes_longer(hibari: HibariEngine):
    slow = HibariEngine(speed=0.5)
    try:
        usual, slowly = [
            sum(len(chunk.pcm) for chunk in await spoken(engine, SENTENCES[0])) for engine in (hibari, slow)
        ]
    finally:
        await slow.close()
    assert slowly > 1.5 * usual


def test_an_unknown_voice_is_refused_with_the_known_ones():
    with pytest.raises(WeightsError, match="'robot'") as caught:
        HibariEngine("robot")
    assert "heart" in str(caught.value)


async def test_a_voice_that_is_not_loaded_is_refused_with_the_one_that_is(hibari: HibariEngine):
    with pytest.raises(EngineError, match="'bella' is not loaded.*'heart'"):
        await anext(aiter(hibari.synthesize(pieces("Hello."), SpeechOptions(voice="bella"))))
    assert [chunk async for chunk in hibari.synthesize(pieces("Hello."), SpeechOptions(voice="heart"))]


async def test_after_it_is_closed_it_says_so():
    engine = HibariEngine()
    await engine.close()
    with pytest.raises(EngineClosed):
        await spoken(engine, "Hello.")


async def test_more_than_may_wait_are_refused():
    engine = HibariEngine(max_queue=1)
    streams = [engine.synthesize(pieces(SENTENCES[0])) for _ in range(2)]
    try:
        results = await asyncio.gather(*(anext(aiter(stream)) for stream in streams), return_exceptions=True)
    finally:
        await engine.close()
    assert [type(result) for result in results] == [SpeechChunk, EngineBusy]
