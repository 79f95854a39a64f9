"""What an utterance may ask for: language, times, names, beams, temperatures; and speech without an end."""

import asyncio
from collections.abc import Iterator

import jiwer
import numpy as np
import pytest

from engines.errors import EngineRefused
from engines.protocol import TranscriptionOptions
from engines.whisper import WhisperEngine
from tests.conftest import SPOKEN
from tests.engines.conftest import words

RATE = 16_000


@pytest.fixture(scope="module")
def base() -> Iterator[WhisperEngine]:
    """A multilingual model."""
    engine = WhisperEngine("base", language=None)
    yield engine
    asyncio.run(engine.close())


async def test_a_multilingual_model_finds_the_language_by_itself(base: WhisperEngine, recordings: dict[str, bytes]):
    transcript = await base.transcribe(recordings["librivox-0870.wav"])
    assert transcript.language == "en" and transcript.language_probability > 0.8
    assert words(transcript.text) == SPOKEN["librivox-0870.wav"]


async def test_callers_of_different_languages_share_a_batch(base: WhisperEngine, recordings: dict[str, bytes]):
    pcm = recordings["librivox-0880.wav"]
    english, german, found = await asyncio.gather(
        *(base.transcribe(pcm, TranscriptionOptions(language=code)) for code in ("en", "de", "auto"))
    )
    assert english.language == "en" and english.language_probability == 1
    assert german.language == "de" and german.text != english.text
    assert found.language == "en" and found.text == english.text


@pytest.mark.parametrize("code", ["xx", "english", "yue"])
async def test_a_language_that_the_model_does_not_hear_is_refused(base: WhisperEngine, code: str):
    with pytest.raises(EngineRefused, match=f"language '{code}' is not one that whisper base hears; it hears"):
        await base.transcribe(bytes(RATE), TranscriptionOptions(language=code))


async def test_an_english_model_refuses_others(whisper: WhisperEngine):
    with pytest.raises(EngineRefused, match=r"it hears English \(en\) only"):
        await whisper.transcribe(bytes(RATE), TranscriptionOptions(language="de"))
    with pytest.raises(EngineRefused):
        WhisperEngine(language="de")


async def test_half_a_sample_is_refused(whisper: WhisperEngine):
    with pytest.raises(EngineRefused, match=r"odd number of bytes \(3\)"):
        await whisper.transcribe(b"abc")


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (TranscriptionOptions(beam_size=11), "beam_size is 11; expected 1 to 10"),
        (TranscriptionOptions(temperatures=(0.0, 1.5)), "expected each from 0 to 1"),
    ],
)
async def test_options_out_of_range_are_refused(whisper: WhisperEngine, options: TranscriptionOptions, fault: str):
    with pytest.raises(EngineRefused, match=fault):
        await whisper.transcribe(bytes(RATE), options)


async def test_words_to_expect_are_heard(whisper: WhisperEngine, recordings: dict[str, bytes]):
    pcm = recordings["librivox-0880.wav"]
    assert "disposed" not in words((await whisper.transcribe(pcm)).text).split()
    helped = await whisper.transcribe(pcm, TranscriptionOptions(hotwords="ill-disposed"))
    assert words(helped.text) == SPOKEN["librivox-0880.wav"]


async def test_a_prompt_longer_than_the_model_holds_is_cut(whisper: WhisperEngine, recordings: dict[str, bytes]):
    options = TranscriptionOptions(prompt="A story about a young man. " * 2000, hotwords="disposed " * 2000)
    assert (await whisper.transcribe(recordings["librivox-0880.wav"], options)).audio_secs > 2


async def test_words_have_times_within_the_utterance_in_order(whisper: WhisperEngine, recordings: dict[str, bytes]):
    pcm = recordings["librivox-0870.wav"]
    transcript = await whisper.transcribe(pcm, TranscriptionOptions(word_timestamps=True))
    assert words(" ".join(word.text for word in transcript.words)) == words(transcript.text)
    times = [time for word in transcript.words for time in (word.start, word.end)]
    assert times == sorted(times) and times[0] >= 0 and times[-1] <= transcript.audio_secs
    assert all(0 <= word.probability <= 1 for word in transcript.words)
    # "John" is spoken in the first second and a half, "them" in the last second.
    by_text = {words(word.text): word for word in transcript.words}
    assert by_text["john"].end < 2 and by_text["them"].start > transcript.audio_secs - 1.5


async def test_segments_have_times_and_cover_the_text(whisper: WhisperEngine, recordings: dict[str, bytes]):
    transcript = await whisper.transcribe(recordings["jfk.flac"], TranscriptionOptions(timestamps=True))
    assert len(transcript.segments) >= 2
    assert " ".join(segment.text for segment in transcript.segments) == transcript.text
    for before, after in zip(transcript.segments, transcript.segments[1:], strict=False):
        assert 0 <= before.start < before.end <= after.start < after.end <= transcript.audio_secs


async def test_minutes_of_speech_come_out_whole_with_times_of_the_whole(
    whisper: WhisperEngine, recordings: dict[str, bytes]
):
    names = ["jfk.flac", "librivox-0870.wav", "librivox-0880.wav"] * 3
    pause = bytes(int(0.4 * RATE) * 2)
    pcm = pause.join(recordings[name] for name in names)
    transcript = await whisper.transcribe(pcm, TranscriptionOptions(timestamps=True, word_timestamps=True))
    assert transcript.audio_secs == pytest.approx(len(pcm) / 2 / RATE) and transcript.audio_secs > 60
    assert jiwer.wer(" ".join(SPOKEN[name] for name in names), words(transcript.text)) < 0.12
    starts = [word.start for word in transcript.words]
    assert starts == sorted(starts) and 55 < starts[-1] < transcript.audio_secs
    assert words(" ".join(segment.text for segment in transcript.segments)) == words(transcript.text)


async def test_what_comes_after_a_long_silence_is_heard(whisper: WhisperEngine, recordings: dict[str, bytes]):
    noise = np.random.default_rng(3).normal(0, 30, 5 * RATE).astype("<i2").tobytes()
    pcm = recordings["librivox-0870.wav"] + noise + recordings["librivox-0880.wav"]
    transcript = await whisper.transcribe(pcm)
    assert "power to do for them" in words(transcript.text) and "young man" in words(transcript.text)


async def test_a_doubtful_result_is_tried_at_higher_temperatures(whisper: WhisperEngine):
    noise = np.random.default_rng(2).normal(0, 3000, 4 * RATE).astype("<i2").tobytes()
    never = await whisper.transcribe(noise)
    tried = await whisper.transcribe(noise, TranscriptionOptions(temperatures=(0.0, 0.4, 0.8)))
    assert tried.passes >= never.passes
