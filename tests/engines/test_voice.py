"""The packaged voice, heard again by Whisper."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import jiwer
import numpy as np
import pytest
import soxr

from engines.errors import EngineBusy, EngineClosed, EngineError, EngineRefused, WeightsError
from engines.protocol import DEFAULT_SPEECH, SpeechChunk, SpeechOptions
from engines.voices import HibariEngine
from engines.voices.hibari_voice import MAX_CHARS
from engines.whisper import WhisperEngine
from tests.engines.conftest import words

RATE = 24_000
SENTENCES = ("The quick brown fox jumps over the lazy dog.", "My little sister likes to swim in the cold lake.")


async def pieces(*texts: str) -> AsyncIterator[str]:
    for text in texts:
        yield text


async def spoken(engine: HibariEngine, *texts: str, options: SpeechOptions = DEFAULT_SPEECH) -> list[SpeechChunk]:
    return [chunk async for chunk in engine.synthesize(pieces(*texts), options)]


def written(chunk: SpeechChunk) -> str:
    return " ".join(mark.text for mark in chunk.marks)


def samples_of(chunk: SpeechChunk) -> np.ndarray:
    return np.frombuffer(chunk.pcm, dtype="<i2").astype(np.float32) / 32768


async def transcribed(whisper: WhisperEngine, pcm: bytes) -> str:
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32) / 32768
    at_16_khz = soxr.resample(samples, RATE, whisper.sample_rate)
    return (await whisper.transcribe((at_16_khz * 32767).astype("<i2").tobytes())).text


async def heard(whisper: WhisperEngine, pcm: bytes) -> str:
    return words(await transcribed(whisper, pcm))


async def test_what_it_says_can_be_understood(hibari: HibariEngine, whisper: WhisperEngine):
    pcm = b"".join(chunk.pcm for chunk in await spoken(hibari, " ".join(SENTENCES)))
    assert jiwer.wer(words(" ".join(SENTENCES)), await heard(whisper, pcm)) <= 0.10


async def test_it_gives_one_chunk_a_sentence_as_each_is_ready(hibari: HibariEngine, whisper: WhisperEngine):
    chunks = await spoken(hibari, " ".join(SENTENCES))
    assert [written(chunk) for chunk in chunks] == list(SENTENCES)
    for sentence, chunk in zip(SENTENCES, chunks, strict=True):
        assert jiwer.wer(words(sentence), await heard(whisper, chunk.pcm)) <= 0.2


async def test_pieces_are_put_together_to_sentences(hibari: HibariEngine):
    chunks = await spoken(hibari, "Dr. ", "Who paid 3", ".5 dol", "lars. Goo", "d", "bye!")
    assert [written(chunk) for chunk in chunks] == ["Dr. Who paid 3.5 dollars.", "Goodbye!"]


async def test_an_empty_piece_has_what_came_before_it_spoken(hibari: HibariEngine):
    came: list[str] = []

    async def text() -> AsyncIterator[str]:
        for piece in ("Wait a mo", "ment", "", "Go on"):
            came.append(piece)
            yield piece

    first = await anext(aiter(hibari.synthesize(text())))
    assert written(first) == "Wait a moment" and came[-1] == ""


async def test_each_word_has_its_mark_and_the_marks_fill_the_samples(hibari: HibariEngine):
    at = 0
    for chunk in await spoken(hibari, "It costs $5 on Nov 24, 2026 🎉 now! ", SENTENCES[1]):
        end = at + len(chunk.pcm) // 2
        for mark in chunk.marks:
            assert mark.start == at <= mark.end
            at = mark.end
        assert at == end
    assert at > 3 * RATE


@pytest.mark.parametrize(
    ("text", "heard_again"),
    [
        ("It costs $5.50 today.", "$5.50"),
        ("We met on Nov 24, 2026 in London.", "November 24, 2026"),
        ("**Dr. Smith** drove 100 km in 2 hours 😀.", "Dr. Smith drove 100 k"),
        ("Or call 555-1234.", "555-1234"),
    ],
)
async def test_what_is_not_words_is_spoken_as_words(
    hibari: HibariEngine, whisper: WhisperEngine, text: str, heard_again: str
):
    (chunk,) = await spoken(hibari, text)
    assert written(chunk) == text
    assert heard_again in await transcribed(whisper, chunk.pcm)


async def test_normalisation_and_trimming_have_their_switches(hibari: HibariEngine):
    plain = HibariEngine(normalize_text=False, trim_silence=False)
    try:
        (with_silence,), (words_alone,) = await spoken(plain, SENTENCES[0]), await spoken(hibari, SENTENCES[0])
        (literal,), (said,) = await spoken(plain, "a & b"), await spoken(hibari, "a & b")
    finally:
        await plain.close()
    assert 0.3 < (len(with_silence.pcm) - len(words_alone.pcm)) / 2 / RATE < 1.0
    assert written(literal) == written(said) == "a & b"


async def test_between_two_sentences_is_a_pause_and_no_more(hibari: HibariEngine):
    for chunk in await spoken(hibari, " ".join(SENTENCES)):
        loud = np.flatnonzero(np.abs(samples_of(chunk)) > 0.02) / RATE
        assert loud[0] < 0.1 and 0.15 < len(chunk.pcm) / 2 / RATE - loud[-1] < 0.35


async def test_it_begins_to_speak_at_once(hibari: HibariEngine):
    (chunk,) = await spoken(hibari, "Hello there.")
    first = samples_of(chunk)[: int(0.05 * RATE)]
    assert 10 * np.log10(np.mean(np.square(first))) > -60


@pytest.mark.parametrize(
    "text", ["", " ", "...", "?!", "—", "😀", "🎉 ✨", "* * *", "\n\n"], ids=lambda text: repr(text)
)
async def test_without_a_word_there_is_no_sound(hibari: HibariEngine, text: str):
    assert await spoken(hibari, text) == []


async def test_a_word_it_cannot_pronounce_does_not_end_the_stream(hibari: HibariEngine):
    chunks = await spoken(hibari, "你好。", "Good morning.")
    assert written(chunks[-1]) == "Good morning."


async def test_a_stream_closed_early_frees_its_place(hibari: HibariEngine):
    stream = hibari.synthesize(pieces(*SENTENCES * 20))
    async with aclosing(stream) as chunks:  # pyright: ignore[reportArgumentType]
        async for _ in chunks:
            break
    assert await spoken(hibari, "Yes.")


async def test_a_text_without_an_end_is_cut_and_spoken_whole(hibari: HibariEngine, whisper: WhisperEngine):
    text = " ".join(["one two three four five six seven eight nine ten"] * 30) + " and the last word is banana"
    chunks = await spoken(hibari, text)
    assert len(chunks) > 1 and max(len(written(chunk)) for chunk in chunks) <= MAX_CHARS
    assert [mark.text for chunk in chunks for mark in chunk.marks] == text.split()
    assert "banana" in await heard(whisper, chunks[-1].pcm[-4 * RATE :])


async def test_a_word_without_an_end_is_cut_too(hibari: HibariEngine):
    marks = [mark.text for chunk in await spoken(hibari, "a" * 2500) for mark in chunk.marks]
    assert "".join(marks) == "a" * 2500


async def test_a_slower_voice_takes_longer(hibari: HibariEngine):
    slow = HibariEngine(speed=0.5)
    try:
        usual, slowly, asked, quick = [
            sum(len(chunk.pcm) for chunk in await spoken(engine, SENTENCES[0], options=SpeechOptions(speed=speed)))
            for engine, speed in ((hibari, None), (slow, None), (hibari, 0.5), (slow, 1.5))
        ]
    finally:
        await slow.close()
    assert slowly > 1.5 * usual > 1.2 * 1.5 * quick and asked == pytest.approx(slowly, rel=0.05)


@pytest.mark.parametrize("speed", [0, 0.49, 2.1, float("nan")])
async def test_a_speed_that_is_none_is_refused(hibari: HibariEngine, speed: float):
    with pytest.raises(EngineRefused, match="speed is .*; expected 0.5 to 2"):
        await spoken(hibari, "Hello.", options=SpeechOptions(speed=speed))


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
