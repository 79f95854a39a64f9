"""Text waits for its engine within bounds; an engine that stops is found out; words are timed by their sound."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator

import pytest

from engines.errors import EngineFailed
from engines.protocol import DEFAULT_SPEECH, SpeechChunk, SpeechOptions
from processors.playout import Playout
from processors.speech_stream import SpeechStream, TextFeed
from tests.processors.speaking import FakeVoice

SECOND = 1_000_000_000


class Scripted(FakeVoice):
    """Gives a chunk after each of the waits, and reads no text."""

    def __init__(self, *waits: float):
        super().__init__()
        self.waits = waits

    async def synthesize(
        self, text: AsyncIterable[str], options: SpeechOptions = DEFAULT_SPEECH
    ) -> AsyncIterator[SpeechChunk]:
        self.open += 1
        try:
            for secs in self.waits:
                await asyncio.sleep(secs)
                yield SpeechChunk(b"\0\0")
        finally:
            self.open -= 1


async def chunks_of(stream: SpeechStream) -> int:
    return len([chunk async for chunk in stream.chunks()])


async def test_text_comes_in_order_and_ends():
    feed = TextFeed()
    for piece in ("a", "", "b"):
        await feed.put(piece)
    feed.end()
    await feed.put("too late")
    assert [piece async for piece in feed] == ["a", "", "b"]


async def test_a_full_feed_lets_its_writer_wait_until_there_is_room():
    feed = TextFeed(most=2)
    await feed.put("a")
    await feed.put("b")
    third = asyncio.ensure_future(feed.put("c"))
    await asyncio.sleep(0.01)
    assert not third.done()
    assert await anext(feed) == "a"
    await third
    feed.end()
    assert [piece async for piece in feed] == ["b", "c"]


async def test_a_closed_feed_holds_up_neither_writer_nor_reader():
    feed = TextFeed(most=1)
    await feed.put("a")
    writer = asyncio.ensure_future(feed.put("b"))
    await asyncio.sleep(0)
    feed.close()
    await writer
    assert [piece async for piece in feed] == []


async def test_an_engine_that_reads_nothing_holds_up_a_writer_only_until_it_is_given_up():
    stream = SpeechStream(Scripted(3600), DEFAULT_SPEECH, timeout_secs=0.1)

    async def write() -> None:
        for _ in range(100):
            await stream.say("Hello.")

    writer = asyncio.ensure_future(write())
    with pytest.raises(EngineFailed, match=r"voice gave no sound within 0\.1 s"):
        await chunks_of(stream)
    async with asyncio.timeout(1):
        await writer


async def test_closing_the_speech_closes_the_engine():
    engine = Scripted(0, 0, 0)
    stream = SpeechStream(engine, DEFAULT_SPEECH, timeout_secs=1)
    chunks = stream.chunks()
    await anext(chunks)
    assert engine.open == 1
    await chunks.aclose()
    assert engine.open == 0


async def test_the_engine_may_rest_between_sentences_but_not_after_the_last():
    resting = SpeechStream(Scripted(0, 0.5), DEFAULT_SPEECH, timeout_secs=0.2)
    await resting.say("One.")
    assert await chunks_of(resting) == 2
    stopped = SpeechStream(Scripted(0, 0.5), DEFAULT_SPEECH, timeout_secs=0.2)
    await stopped.say("One.")
    stopped.end()
    with pytest.raises(EngineFailed):
        await chunks_of(stopped)


async def test_the_engine_may_rest_while_its_listener_has_sound_left():
    stream = SpeechStream(Scripted(0, 0.5), DEFAULT_SPEECH, timeout_secs=0.2, ahead_secs=lambda: 1.0)
    await stream.say("One.")
    stream.end()
    assert await chunks_of(stream) == 2


async def test_no_sound_is_owed_for_symbols():
    stream = SpeechStream(Scripted(0.3), DEFAULT_SPEECH, timeout_secs=0.1)
    await stream.say("😀 …")
    assert await chunks_of(stream) == 1


def test_sound_is_played_piece_after_piece():
    playout = Playout()
    playout.sound(1.0, 10 * SECOND)
    playout.sound(1.0, 10 * SECOND + 5)
    assert playout.ahead_secs(11 * SECOND) == pytest.approx(1.0)
    assert playout.ahead_secs(20 * SECOND) == 0


def test_what_leaves_after_a_gap_is_played_then():
    playout = Playout()
    playout.sound(1.0, 10 * SECOND)
    playout.sound(1.0, 13 * SECOND)
    assert playout.ahead_secs(13 * SECOND) == pytest.approx(1.0)


def test_after_an_interruption_nothing_is_left_to_play_but_what_may_not_be_interrupted():
    playout = Playout()
    playout.sound(1.0, 10 * SECOND, interruptible=False)
    playout.sound(9.0, 10 * SECOND)
    playout.silence()
    assert playout.ahead_secs(10 * SECOND) == pytest.approx(1.0)
