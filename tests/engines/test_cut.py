"""Where long audio is cut: real speech with known pauses, in silence and in noise."""

import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from engines.whisper.cut import pieces

RATE = 16_000


def loaded(path: Path) -> np.ndarray:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return soxr.resample(samples.mean(axis=1), rate, RATE).astype(np.float32)


@pytest.fixture(scope="module")
def sentence(audio_folder: Path) -> np.ndarray:
    """3 s without a long pause."""
    return loaded(audio_folder / "librivox-0880.wav")


@pytest.fixture(scope="module")
def speech(audio_folder: Path) -> np.ndarray:
    """7 s."""
    return loaded(audio_folder / "librivox-0870.wav")


def quiet(secs: float) -> np.ndarray:
    return np.zeros(int(secs * RATE), dtype=np.float32)


def noise(samples: int, dbfs: float, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(samples) * 10 ** (dbfs / 20)).astype(np.float32)


def hum(samples: int, amplitude: float = 0.02) -> np.ndarray:
    """Mains hum with an offset."""
    at = np.arange(samples) / RATE
    return (amplitude * np.sin(2 * np.pi * 50 * at) + amplitude / 4 * np.sin(2 * np.pi * 150 * at) + 0.05).astype(
        np.float32
    )


def in_order(cuts: list[tuple[int, int]], audio: np.ndarray, max_secs: float = 28.0) -> bool:
    edges = [edge for cut in cuts for edge in cut]
    return (
        edges == sorted(edges)
        and all(0 <= start < end <= len(audio) for start, end in cuts)
        and all(end - start <= max_secs * RATE for start, end in cuts)
    )


def energy(audio: np.ndarray, cuts: list[tuple[int, int]]) -> float:
    """Share of the energy that is in the pieces."""
    return sum(float(np.square(audio[start:end]).sum()) for start, end in cuts) / float(np.square(audio).sum())


@pytest.mark.parametrize("audio", [quiet(0), quiet(0.005), quiet(3)], ids=["nothing", "5 ms", "3 s"])
def test_digital_silence_has_no_pieces(audio: np.ndarray):
    assert pieces(audio) == []


def test_a_short_sentence_stays_whole(sentence: np.ndarray):
    cuts = pieces(sentence)
    assert len(cuts) == 1 and in_order(cuts, sentence)
    assert energy(sentence, cuts) > 0.999


@pytest.mark.parametrize("samples", [1, 159, 161, 4_000])
def test_the_shortest_sounds_are_whole(samples: int):
    audio = noise(samples, -20)
    assert pieces(audio) in ([(0, samples)], [])


def test_silence_around_speech_is_trimmed_to_a_margin(sentence: np.ndarray):
    audio = np.concatenate([quiet(4), sentence, quiet(5)])
    ((start, end),) = pieces(audio)
    assert 3.5 * RATE < start < 4.3 * RATE
    assert 4 * RATE + len(sentence) - 0.5 * RATE < end < 4 * RATE + len(sentence) + 0.4 * RATE
    assert energy(audio, [(start, end)]) > 0.999


@pytest.mark.parametrize("background", ["silence", "noise", "hum"])
def test_a_long_silence_inside_short_speech_is_cut_out(sentence: np.ndarray, speech: np.ndarray, background: str):
    audio = np.concatenate([sentence, quiet(2.5), speech])
    if background == "noise":
        audio = audio + noise(len(audio), -50)
    if background == "hum":
        audio = audio + hum(len(audio))
    cuts = pieces(audio)
    assert len(cuts) == 2 and in_order(cuts, audio)
    (_, first_end), (second_start, _) = cuts
    gap = len(sentence), len(sentence) + 2.5 * RATE
    assert gap[0] - 0.5 * RATE < first_end < gap[0] + 0.4 * RATE
    assert gap[1] - 0.4 * RATE < second_start < gap[1] + 0.3 * RATE


def test_a_pause_for_breath_is_left_in(sentence: np.ndarray):
    audio = np.concatenate([sentence, quiet(0.8), sentence])
    assert len(pieces(audio)) == 1


@pytest.mark.parametrize("dbfs", [None, -55, -45, -40])
def test_long_speech_is_cut_in_the_pauses_between_sentences(sentence: np.ndarray, dbfs: float | None):
    gap = quiet(0.5)
    parts = [sentence, gap] * 20
    audio = np.concatenate(parts)
    if dbfs is not None:
        audio = audio + noise(len(audio), dbfs)
    cuts = pieces(audio)
    assert in_order(cuts, audio) and len(cuts) >= 3
    period = len(sentence) + len(gap)
    for (_, end), (start, _) in pairwise(cuts):
        for edge in (start, end):
            # Within the pause, or in what is silent of the recording on its two sides.
            assert (edge % period) > len(sentence) - 0.3 * RATE or (edge % period) < 0.3 * RATE
    if dbfs is None:
        assert energy(audio, cuts) > 0.999


def test_speech_without_a_pause_is_cut_all_the_same(speech: np.ndarray):
    loud = speech[np.abs(speech) > 0.01]
    audio = np.tile(loud, int(70 * RATE / len(loud)))
    cuts = pieces(audio)
    assert in_order(cuts, audio) and len(cuts) >= 3
    assert all(end == start for (_, end), (start, _) in pairwise(cuts))
    assert energy(audio, cuts) > 0.99


def test_steady_noise_is_left_to_the_gates():
    audio = noise(60 * RATE, -30)
    cuts = pieces(audio)
    assert in_order(cuts, audio)
    assert sum(end - start for start, end in cuts) == len(audio)


@pytest.mark.parametrize("max_secs", [2.0, 5.0, 10.0, 28.0])
@pytest.mark.parametrize("secs", [1.0, 9.9, 28.01, 31.0, 57.3])
def test_no_piece_is_longer_than_asked_and_no_sound_is_lost(speech: np.ndarray, max_secs: float, secs: float):
    audio = np.resize(speech, int(secs * RATE)) + noise(int(secs * RATE), -60)
    cuts = pieces(audio, max_secs)
    assert in_order(cuts, audio, max_secs)
    assert energy(audio, cuts) > 0.99


def test_the_last_piece_is_no_scrap(speech: np.ndarray):
    audio = np.resize(speech, int(28.3 * RATE))
    assert min(end - start for start, end in pieces(audio)) >= 1.9 * RATE


def test_quiet_speech_after_loud_speech_is_kept(sentence: np.ndarray):
    audio = np.concatenate([sentence, quiet(2), sentence * 0.05]) + noise(2 * len(sentence) + 2 * RATE, -75)
    cuts = pieces(audio)
    assert len(cuts) == 2
    after = len(sentence) + RATE
    assert energy(audio[after:], [(cuts[1][0] - after, cuts[1][1] - after)]) > 0.99


def test_a_click_in_a_long_silence_does_not_join_what_it_parts(sentence: np.ndarray):
    silence = quiet(3)
    silence[24_000:24_040] = 0.5
    assert len(pieces(np.concatenate([sentence, silence, sentence]))) == 2


def test_ten_seconds_take_two_milliseconds(speech: np.ndarray):
    audio = np.resize(speech, 10 * RATE)
    took = []
    for _ in range(30):
        began_at = time.perf_counter()
        pieces(audio)
        took.append(time.perf_counter() - began_at)
    # The fastest: other work on the machine is not ours. Twice the budget, for slow machines.
    assert min(took) < 0.004
