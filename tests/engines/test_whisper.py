"""Real speech through the packaged Whisper."""

import re

import jiwer
import numpy as np
import pytest

from engines.errors import EngineClosed, WeightsError
from engines.whisper import WhisperEngine
from engines.whisper.features import level_dbfs
from engines.whisper.window import window_for
from tests.conftest import SPOKEN
from tests.engines.conftest import words

RATE = 16_000


def silent(secs: float) -> bytes:
    return bytes(int(secs * RATE) * 2)


@pytest.mark.parametrize(
    ("names", "most"), [(("jfk.flac", "librivox-0870.wav", "librivox-0880.wav"), 0.10), (tuple(SPOKEN), 0.15)]
)
async def test_recorded_speech_is_understood(
    whisper: WhisperEngine, recordings: dict[str, bytes], names: tuple[str, ...], most: float
):
    heard = {name: words((await whisper.transcribe(recordings[name])).text) for name in names}
    rate = jiwer.wer([SPOKEN[name] for name in names], [heard[name] for name in names])
    assert rate <= most, heard


async def test_a_transcript_tells_its_language_length_and_certainty(
    whisper: WhisperEngine, recordings: dict[str, bytes]
):
    pcm = recordings["librivox-0880.wav"]
    transcript = await whisper.transcribe(pcm)
    assert transcript.text == transcript.text.strip()
    assert transcript.language == "en"
    assert transcript.audio_secs == pytest.approx(len(pcm) / 2 / RATE)
    assert -1 < transcript.avg_logprob <= 0
    assert 0 <= transcript.no_speech_prob < 0.5
    assert transcript.compute_secs > 0 and transcript.queue_secs >= 0


async def test_the_short_window_hears_what_the_full_window_hears(whisper: WhisperEngine, recordings: dict[str, bytes]):
    full = WhisperEngine(windows_secs=(30,))
    try:
        pcm = recordings["librivox-0880.wav"]
        assert words((await full.transcribe(pcm)).text) == words((await whisper.transcribe(pcm)).text)
    finally:
        await full.close()


@pytest.mark.parametrize(
    ("audio_secs", "window_secs"), [(0, 10), (1, 10), (8, 10), (8.1, 20), (18, 20), (18.1, 30), (29, 30), (60, 30)]
)
def test_an_utterance_gets_the_short_window_only_if_it_fits_with_a_margin(audio_secs: float, window_secs: float):
    assert window_for(audio_secs, [10, 20]) == window_secs


@pytest.mark.parametrize("secs", [0, 0.01, 0.5, 5])
async def test_silence_has_no_words(whisper: WhisperEngine, secs: float):
    transcript = await whisper.transcribe(silent(secs))
    assert transcript.text == ""
    assert transcript.audio_secs == pytest.approx(secs)


@pytest.mark.parametrize("secs", [0.3, 3])
async def test_quiet_noise_has_no_words(whisper: WhisperEngine, secs: float):
    noise = np.random.default_rng(1).normal(0, 20, int(secs * RATE)).astype("<i2")
    assert (await whisper.transcribe(noise.tobytes())).text == ""


async def test_loud_noise_does_not_run_into_a_loop(whisper: WhisperEngine):
    noise = np.random.default_rng(2).normal(0, 3000, 4 * RATE).astype("<i2")
    assert len((await whisper.transcribe(noise.tobytes())).text.split()) < 12


async def test_after_it_is_closed_it_says_so():
    engine = WhisperEngine()
    await engine.close()
    with pytest.raises(EngineClosed):
        await engine.transcribe(silent(1))


@pytest.mark.parametrize("model", ["/no/such/folder", "./no-such-folder"])
def test_a_folder_that_is_not_there_is_named(model: str):
    with pytest.raises(WeightsError, match="no such folder"):
        WhisperEngine(model)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(WeightsError, match=re.escape(str(tmp_path))):
        WhisperEngine(str(tmp_path))


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(WeightsError, match="cannot be loaded on cuda:7"):
        WhisperEngine(device="cuda:7")


def test_the_level_of_silence_is_below_every_level():
    assert level_dbfs(np.zeros(0)) == level_dbfs(np.zeros(100)) == -np.inf
    assert level_dbfs(np.ones(100)) == pytest.approx(0)
    assert level_dbfs(np.full(100, 0.1)) == pytest.approx(-20)
