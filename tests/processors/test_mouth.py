"""The gate before the wire."""

import asyncio

import numpy as np
import pytest

from processors.mouth import KEPT_SECS, Mouth

RATE = 24_000
PACKET = np.full(RATE // 50, 1000, dtype="<i2").tobytes()


@pytest.fixture
async def mouth() -> Mouth:
    mouth = Mouth()
    await mouth.start(RATE)
    return mouth


async def waits(work: "asyncio.Task[bytes]") -> bool:
    for _ in range(5):
        await asyncio.sleep(0)
    return not work.done()


async def test_it_lets_everything_through(mouth: Mouth):
    assert [await mouth.filter(PACKET) for _ in range(3)] == [PACKET] * 3


async def test_a_hold_fades_out_waits_and_says_the_faded_packet_again(mouth: Mouth):
    await mouth.filter(PACKET)
    mouth.hold()
    faded = np.frombuffer(await mouth.filter(PACKET), dtype="<i2")
    assert faded[0] == 1000 and faded[-1] == 0 and (np.diff(faded) <= 0).all()
    waiting = asyncio.ensure_future(mouth.filter(PACKET))
    assert await waits(waiting) and mouth.is_held
    mouth.release()
    resumed = np.frombuffer(await waiting, dtype="<i2")
    assert len(resumed) == 2 * len(faded)
    assert resumed[0] == 0 and (resumed[len(faded) :] == 1000).all()
    assert await mouth.filter(PACKET) == PACKET


async def test_what_has_not_begun_is_held_whole(mouth: Mouth):
    mouth.hold()
    waiting = asyncio.ensure_future(mouth.filter(PACKET))
    assert await waits(waiting)
    mouth.release()
    assert await waiting == PACKET


async def test_an_interruption_drops_what_is_held_and_what_comes_until_the_next_answer(mouth: Mouth):
    await mouth.filter(PACKET)
    mouth.hold()
    await mouth.filter(PACKET)
    waiting = asyncio.ensure_future(mouth.filter(PACKET))
    assert await waits(waiting)
    mouth.silence()
    assert await waiting == b"" and await mouth.filter(PACKET) == b""
    mouth.open()
    assert await mouth.filter(PACKET) == PACKET and not mouth.is_held


async def test_the_next_answer_does_not_end_a_hold(mouth: Mouth):
    mouth.hold()
    mouth.open()
    assert mouth.is_held


async def test_the_end_of_the_call_lets_nobody_wait(mouth: Mouth):
    mouth.hold()
    waiting = asyncio.ensure_future(mouth.filter(PACKET))
    assert await waits(waiting)
    await mouth.stop()
    assert await waiting == b""


async def test_what_was_played_is_kept_and_bounded(mouth: Mouth):
    assert len(mouth.played()) == 0
    for _ in range(150):
        await mouth.filter(PACKET)
    assert len(mouth.played()) == int(KEPT_SECS * RATE)
    assert (mouth.played() == 1000).all()
