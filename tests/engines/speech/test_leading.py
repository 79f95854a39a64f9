"""Leading silence is cut: the caller would wait for it."""

import random

import numpy as np
import pytest

from engines.speech import LeadingTrim, trim_leading_silence
from engines.speech.leading import GIVE_UP_SECS, KEPT_SECS

RATE = 24_000
KEPT = int(KEPT_SECS * RATE)


def tone(secs: float, level: float = 0.3) -> np.ndarray:
    return (level * np.sin(2 * np.pi * 220 * np.arange(int(secs * RATE)) / RATE)).astype(np.float32)


def silence(secs: float) -> np.ndarray:
    return np.zeros(int(secs * RATE), dtype=np.float32)


def streamed(audio: np.ndarray, chance: random.Random) -> np.ndarray:
    trim, at, heard = LeadingTrim(RATE), 0, []
    while at < len(audio):
        size = chance.choice((1, 7, 240, 480, 5000))
        heard.append(trim.push(audio[at : at + size]))
        at += size
    return np.concatenate([*heard, trim.finish()])


def test_silence_before_the_first_sound_is_cut_but_for_a_little():
    trimmed = trim_leading_silence(np.concatenate([silence(0.5), tone(0.2)]), RATE)
    assert len(trimmed) == len(tone(0.2)) + KEPT


def test_nothing_of_the_sound_and_of_what_follows_is_lost():
    sound = np.concatenate([tone(0.1), silence(0.3), tone(0.1), silence(0.2)])
    trimmed = trim_leading_silence(np.concatenate([silence(1.0), sound]), RATE)
    assert np.array_equal(trimmed[-len(sound) :], sound)


def test_noise_below_the_level_of_speech_is_silence():
    hiss = np.random.default_rng(0).normal(0, 0.001, RATE).astype(np.float32)
    assert len(trim_leading_silence(np.concatenate([hiss, tone(0.2)]), RATE)) == len(tone(0.2)) + KEPT


@pytest.mark.parametrize(
    "audio",
    [tone(0.5), np.concatenate([silence(0.01), tone(0.5)]), silence(0.5), silence(0), tone(0.005), silence(0.009)],
    ids=["sound", "sound at once", "silence", "nothing", "less than a frame", "less than a frame of silence"],
)
def test_where_there_is_nothing_to_cut_all_of_it_stays(audio: np.ndarray):
    assert np.array_equal(trim_leading_silence(audio, RATE), audio)


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_at_other_sample_rates_the_same_time_is_kept(rate: int):
    audio = np.concatenate([np.zeros(rate, dtype=np.float32), np.full(rate, 0.5, dtype=np.float32)])
    kept = len(trim_leading_silence(audio, rate)) / rate - 1
    assert 0 <= kept <= KEPT_SECS + 0.011


@pytest.mark.parametrize("quiet_secs", [0.0, 0.02, 0.3, 0.777])
def test_a_stream_is_cut_as_the_whole(quiet_secs: float):
    audio = np.concatenate([silence(quiet_secs), tone(0.4), silence(0.3), tone(0.1)])
    for seed in range(10):
        assert np.array_equal(streamed(audio, random.Random(seed)), trim_leading_silence(audio, RATE))


def test_sound_is_not_held_back():
    trim = LeadingTrim(RATE)
    assert len(trim.push(silence(0.2))) == 0
    assert len(trim.push(tone(0.02))) == KEPT + len(tone(0.02))
    assert trim.cut == len(silence(0.2)) - KEPT
    assert len(trim.push(silence(0.02))) == len(silence(0.02))


def test_a_long_silence_is_not_held_back_for_ever():
    trim, audio = LeadingTrim(RATE), silence(GIVE_UP_SECS)
    assert len(trim.push(audio[:-1])) == 0
    assert len(trim.push(audio[-1:])) == len(audio)
    assert len(trim.push(silence(0.5))) == len(silence(0.5))
