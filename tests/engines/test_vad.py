"""Silero on a stream: the same as on the whole, whatever the pieces."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from faster_whisper.vad import get_vad_model

from engines.errors import EngineClosed
from engines.vad import WINDOW, SileroVad, VadStream


@pytest.fixture
async def vad() -> AsyncIterator[SileroVad]:
    loaded = SileroVad()
    yield loaded
    await loaded.close()


@pytest.fixture(scope="module")
def speech(audio_folder: Path) -> np.ndarray:
    samples, rate = soundfile.read(audio_folder / "librivox-0870.wav", dtype="int16")
    assert rate == 16_000
    return samples


async def heard(vad: SileroVad, samples: np.ndarray, piece: int) -> list[float]:
    stream, probabilities = VadStream(), []
    for at in range(0, len(samples), piece):
        probabilities += await vad.hear(stream, samples[at : at + piece].astype("<i2").tobytes())
    return probabilities


@pytest.mark.parametrize("piece", [160, 512, 777, 16_000, 10**9])
async def test_a_stream_is_heard_as_faster_whisper_hears_the_whole(vad: SileroVad, speech: np.ndarray, piece: int):
    speech = speech[: 3 * 16_000]
    whole = speech[: len(speech) // WINDOW * WINDOW].astype(np.float32) / 32768.0
    expected = np.ravel(get_vad_model()(whole))
    # faster-whisper silences the end of the last window.
    np.testing.assert_allclose((await heard(vad, speech, piece))[:-1], expected[:-1], atol=1e-4)


async def test_speech_is_likely_and_silence_is_not(vad: SileroVad, speech: np.ndarray):
    assert max(await heard(vad, speech, 320)) > 0.95
    assert max(await heard(vad, np.zeros(32_000, dtype=np.int16), 320)) < 0.1


async def test_streams_do_not_disturb_each_other(vad: SileroVad, speech: np.ndarray):
    noise = np.random.default_rng(1).normal(0, 3000, len(speech)).astype(np.int16)
    alone = await heard(vad, speech, 1600)
    together, _ = await asyncio.gather(heard(vad, speech, 1600), heard(vad, noise, 1600))
    assert together == alone


async def test_a_call_that_was_cancelled_is_heard_again(vad: SileroVad, speech: np.ndarray):
    expected = await heard(vad, speech[:8192], 4096)
    stream = VadStream()
    task = asyncio.create_task(vad.hear(stream, speech[:4096].tobytes()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await vad.hear(stream, speech[4096:8192].tobytes()) == pytest.approx(expected, abs=1e-4)


async def test_after_close_it_says_so(speech: np.ndarray):
    vad = SileroVad()
    await vad.close()
    with pytest.raises(EngineClosed):
        await vad.hear(VadStream(), speech[:WINDOW].tobytes())
