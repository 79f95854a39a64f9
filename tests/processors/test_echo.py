"""The agent's own sound in the microphone, told from another voice, on real speech."""

from collections.abc import Callable

import numpy as np
import pytest

from processors.echo import correlation, is_echo

RATE = 16_000
PLAYED_SECS, HEARD_SECS = 2.0, 0.3

Recordings = dict[str, bytes]


def samples(pcm: bytes) -> np.ndarray:
    return np.frombuffer(pcm, dtype="<i2").astype(np.float64)


def cut(audio: np.ndarray, end: float, secs: float) -> np.ndarray:
    last = round(end * RATE)
    return audio[last - round(secs * RATE) : last]


def verdicts(spoken: np.ndarray, heard: Callable[[float], np.ndarray]) -> list[bool]:
    moments = np.arange(2.5, 6.5, 0.25)
    played = [cut(spoken, end, PLAYED_SECS).astype("<i2") for end in moments]
    return [is_echo(heard(end).astype("<i2"), RATE, was, RATE) for end, was in zip(moments, played, strict=True)]


@pytest.mark.parametrize("delay_secs", [0.05, 0.2, 0.6])
@pytest.mark.parametrize("gain", [0.5, 0.05])
def test_a_late_and_quiet_copy_is_an_echo(recordings: Recordings, delay_secs: float, gain: float):
    spoken = samples(recordings["librivox-0870.wav"])
    found = verdicts(spoken, lambda end: gain * cut(spoken, end - delay_secs, HEARD_SECS))
    assert np.mean(found) > 0.9


def test_a_room_and_its_noise_hide_it_only_now_and_then(recordings: Recordings):
    spoken, random = samples(recordings["librivox-0870.wav"]), np.random.default_rng(1)
    size = int(0.25 * RATE)
    room = random.normal(size=size) * np.exp(-np.arange(size) / (size / 6))
    room[0] = 4
    echoed = 0.1 * np.convolve(spoken, room / np.linalg.norm(room))[: len(spoken)] + random.normal(
        scale=50, size=len(spoken)
    )
    found = verdicts(spoken, lambda end: cut(echoed, end - 0.2, HEARD_SECS))
    assert np.mean(found) > 0.4


@pytest.mark.parametrize("name", ["jfk.flac", "sphinx-goforward.wav", "librivox-0890.wav"])
def test_another_voice_is_none(recordings: Recordings, name: str):
    spoken = samples(recordings["librivox-0870.wav"])
    other = np.tile(samples(recordings[name]), 4)
    assert not any(verdicts(spoken, lambda end: cut(other, end, HEARD_SECS)))


def test_a_caller_over_an_echo_is_none(recordings: Recordings):
    spoken, other = samples(recordings["librivox-0870.wav"]), samples(recordings["jfk.flac"])
    found = verdicts(spoken, lambda end: 0.05 * cut(spoken, end - 0.2, HEARD_SECS) + cut(other, end, HEARD_SECS))
    assert np.mean(found) < 0.1


@pytest.mark.parametrize("heard", [np.zeros(4800), np.full(4800, 900), np.zeros(0), np.ones(100)])
def test_silence_and_next_to_nothing_are_none(recordings: Recordings, heard: np.ndarray):
    played = samples(recordings["librivox-0870.wav"])[: 2 * RATE].astype("<i2")
    assert not is_echo(heard.astype("<i2"), RATE, played, RATE)
    assert correlation(played[:4800], RATE, np.zeros(2 * RATE, "<i2"), RATE) == 0


def test_the_two_may_have_different_rates(recordings: Recordings):
    spoken = samples(recordings["librivox-0870.wav"])
    faster = np.interp(np.arange(0, 4 * RATE, 2 / 3), np.arange(4 * RATE), spoken[: 4 * RATE])
    heard = 0.3 * cut(spoken, 3.8, HEARD_SECS)
    assert is_echo(heard.astype("<i2"), RATE, faster[-48_000:].astype("<i2"), 24_000)
