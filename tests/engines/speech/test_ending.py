"""Silence after speech becomes a pause, babble after it is not heard, and pauses inside of it stay."""

import random
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engines.speech import TrailingCut
from engines.voices import HibariEngine

RATE = 24_000


def tone(secs: float) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * 220 * np.arange(int(secs * RATE)) / RATE)).astype(np.float32)


def silence(secs: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1e-4, int(secs * RATE)).astype(np.float32)


def through(cut: TrailingCut, audio: np.ndarray, pause_secs: float = 0.2, seed: int | None = None) -> np.ndarray:
    chance, at, heard = random.Random(seed), 0, []
    while at < len(audio):
        size = len(audio) if seed is None else chance.choice((1, 100, 240, 480, 6000))
        heard.append(cut.push(audio[at : at + size]))
        at += size
    return np.concatenate([*heard, cut.finish(pause_secs)])


@pytest.mark.parametrize("quiet_secs", [0.0, 0.05, 0.2, 0.45, 3.0])
@pytest.mark.parametrize("pause_secs", [0.0, 0.1, 0.2, 0.4])
def test_after_the_last_sound_comes_the_pause_that_is_asked_for(quiet_secs: float, pause_secs: float):
    audio = np.concatenate([tone(1.0), silence(quiet_secs)])
    heard = through(TrailingCut(RATE), audio, pause_secs)
    assert len(heard) == RATE + round(pause_secs * RATE)
    assert np.array_equal(heard[:RATE], tone(1.0)) and np.abs(heard[RATE:]).max(initial=0) < 1e-3


def test_pauses_inside_stay_as_they_are():
    audio = np.concatenate([tone(0.5), silence(0.5), tone(0.5), silence(2.0), tone(0.5)])
    assert np.array_equal(through(TrailingCut(RATE), audio, 0.0), audio)


@pytest.mark.parametrize("seed", range(8))
def test_how_the_sound_is_cut_into_pieces_changes_nothing(seed: int):
    audio = np.concatenate([silence(0.1), tone(1.0), silence(0.31), tone(1.2), silence(1.0), tone(0.3), silence(0.5)])
    assert np.array_equal(
        through(TrailingCut(RATE, letters=30), audio), through(TrailingCut(RATE, letters=30), audio, seed=seed)
    )


def test_sound_after_a_silence_where_all_was_said_is_babble():
    said = np.concatenate([tone(1.0), silence(0.3), tone(1.0)])
    cut = TrailingCut(RATE, letters=30)
    heard = through(cut, np.concatenate([said, silence(0.8), tone(0.4), silence(0.2), tone(0.5)]), seed=1)
    assert cut.over and len(heard) == len(said) + 0.2 * RATE
    assert np.array_equal(heard[: len(said)], said)


@pytest.mark.parametrize(
    ("letters", "gap_secs"), [(30, 0.5), (45, 0.8), (120, 3.0), (None, 3.0)], ids=["short", "early", "begun", "unknown"]
)
def test_a_pause_that_may_be_one_is_no_end(letters: float | None, gap_secs: float):
    audio = np.concatenate([tone(2.0), silence(gap_secs), tone(0.5)])
    cut = TrailingCut(RATE, letters=letters)
    assert np.array_equal(through(cut, audio, 0.0), audio) and not cut.over


def test_each_has_its_switch():
    audio = np.concatenate([tone(2.0), silence(1.0), tone(0.5), silence(0.5)])
    assert np.array_equal(through(TrailingCut(RATE, letters=20, babble=False, trim=False), audio), audio)
    assert len(through(TrailingCut(RATE, letters=20, babble=False), audio)) == 3.7 * RATE
    assert len(through(TrailingCut(RATE, letters=20, trim=False), audio)) == 3.0 * RATE


def test_only_silence_becomes_a_pause():
    assert len(through(TrailingCut(RATE), silence(2.0))) == 0.2 * RATE


def test_nothing_of_recorded_speech_is_lost(audio_folder: Path):
    for path in sorted(audio_folder.glob("librivox-*.wav")):
        audio, rate = soundfile.read(path, dtype="float32")
        cut = TrailingCut(rate, letters=len(audio) / rate * 15)
        heard = np.concatenate([cut.push(audio), cut.finish(0.0)])
        assert not cut.over and len(heard) > 0.9 * len(audio)
        assert np.array_equal(heard[: int(0.9 * len(audio))], audio[: int(0.9 * len(audio))])


def test_the_embedded_voice_stays_silent_for_long_after_a_sentence_and_that_is_cut(hibari: HibariEngine):
    for text in ("Yes, of course.", "The quick brown fox jumps over the lazy dog, and runs away."):
        audio = hibari._model(text)
        heard = through(TrailingCut(RATE), audio, 0.2)
        assert 0.1 < (len(audio) - len(heard)) / RATE < 0.5
        assert np.array_equal(heard[: -int(0.2 * RATE)], audio[: len(heard) - int(0.2 * RATE)])
