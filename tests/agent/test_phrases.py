"""Sentences as sound made beforehand."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from pipecat.frames.frames import TTSAudioRawFrame, TTSStartedFrame, TTSStoppedFrame

from agent.phrases import Phrases
from agent.problems import SPOKEN
from engines.errors import EngineFailed
from engines.protocol import SpeechChunk
from engines.voices import HibariEngine


class Voice:
    """Says each text as as many samples as it has letters, or fails."""

    name = "voice"
    sample_rate = 24_000
    problem = None

    def __init__(self, *, fails: bool = False, loud: int = 1):
        self.fails, self.loud = fails, loud
        self.said: list[str] = []
        self.closed = False

    async def synthesize(self, text: AsyncIterator[str], _: object) -> AsyncIterator[SpeechChunk]:
        async for piece in text:
            if self.fails:
                raise EngineFailed("it fails")
            self.said.append(piece)
            yield SpeechChunk(bytes([self.loud, 0]) * len(piece))

    async def close(self) -> None:
        self.closed = True


def sound(phrases: Phrases, text: str) -> bytes:
    return b"".join(frame.audio for frame in phrases.frames(text) if isinstance(frame, TTSAudioRawFrame))


async def test_what_was_made_is_played_whole_and_begins_and_ends():
    phrases, voice = Phrases(), Voice()
    await phrases.prepare(voice, ["Hello.", "Goodbye.", "Hello."])  # pyright: ignore[reportArgumentType]
    assert voice.said == ["Hello.", "Goodbye."]
    frames = phrases.frames("Goodbye.")
    assert isinstance(frames[0], TTSStartedFrame) and isinstance(frames[-1], TTSStoppedFrame)
    assert sound(phrases, "Goodbye.") == b"\x01\x00" * 8


async def test_what_was_not_made_has_no_sound():
    assert Phrases().frames("Hello.") == [] and "Hello." not in Phrases()


async def test_another_voice_says_what_the_usual_one_cannot():
    spare = Voice(loud=2)
    phrases = Phrases(spare=lambda: spare)  # pyright: ignore[reportArgumentType]
    await phrases.prepare(Voice(fails=True), ["Hello."])  # pyright: ignore[reportArgumentType]
    assert sound(phrases, "Hello.") == b"\x02\x00" * 6
    assert spare.closed


async def test_a_voice_that_works_needs_no_other():
    def never() -> Voice:
        raise AssertionError("the spare voice was loaded")

    await Phrases(spare=never).prepare(Voice(), ["Hello."])  # pyright: ignore[reportArgumentType]


async def test_without_any_voice_nothing_is_made_and_nothing_raised():
    def broken() -> Voice:
        raise EngineFailed("no weights")

    phrases = Phrases(spare=broken)  # pyright: ignore[reportArgumentType]
    await phrases.prepare(Voice(fails=True), ["Hello."])  # pyright: ignore[reportArgumentType]
    assert phrases.frames("Hello.") == []


async def test_the_packaged_voice_says_every_fault():
    voice = await asyncio.to_thread(HibariEngine)
    try:
        phrases = Phrases()
        await phrases.prepare(voice, SPOKEN)
        for text in SPOKEN:
            assert len(sound(phrases, text)) / 2 / voice.sample_rate == pytest.approx(len(text) / 14, rel=0.6)
    finally:
        await voice.close()
