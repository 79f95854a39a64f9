"""Sentences of a stream, and streams of different voices, are equally loud."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from engines.speech import Leveller, LevelMemory
from engines.speech.frames import frame_of, loud_frames
from engines.speech.loudness import MAX_CHANGE_DB, PEAK_DBFS, TARGET_DBFS

RATE = 24_000
GAINS_DB = (0.0, -6.0, 4.0, -3.0, 6.0, -6.0)


def level_db(audio: np.ndarray) -> float:
    """Of the frames that are sound."""
    frame = frame_of(RATE)
    frames = audio[: len(audio) // frame * frame].reshape(-1, frame)[loud_frames(audio, frame)]
    return float(10 * np.log10(np.mean(np.square(frames))))


@pytest.fixture(scope="module")
def sentences(audio_folder: Path) -> list[np.ndarray]:
    """Recorded speech of one reader, at 24 kHz and -23 dBFS, in stretches of three seconds."""
    found = []
    for path in sorted(audio_folder.glob("librivox-*.wav")):
        audio, rate = soundfile.read(path, dtype="float32")
        audio = soxr.resample(audio, rate, RATE)[: 3 * RATE]
        found.append(audio * 10 ** ((-23 - level_db(audio)) / 20))
    return (found * 2)[: len(GAINS_DB)]


def uneven(sentences: list[np.ndarray]) -> list[np.ndarray]:
    return [audio * 10 ** (gain / 20) for audio, gain in zip(sentences, GAINS_DB, strict=True)]


def levelled(sentences: list[np.ndarray], leveller: Leveller, piece: int | None = None) -> list[np.ndarray]:
    found = []
    for audio in sentences:
        leveller.new_sentence()
        size = piece or len(audio)
        found.append(np.concatenate([leveller.push(audio[at : at + size]) for at in range(0, len(audio), size)]))
    return found


def test_sentences_of_different_loudness_come_out_alike(sentences: list[np.ndarray]):
    before = uneven(sentences)
    after = levelled(before, Leveller(RATE))
    spread_before, spread_after = np.std([level_db(a) for a in before]), np.std([level_db(a) for a in after[1:]])
    print(f"spread of the sentences' levels: {spread_before:.1f} dB before, {spread_after:.1f} dB after")
    assert spread_before > 4 and spread_after < 0.5 * spread_before
    settled = [level_db(audio[RATE:]) for audio in after]
    assert np.abs(np.array(settled) - TARGET_DBFS).max() < 3.5


def test_pieces_of_any_length_give_the_same(sentences: list[np.ndarray]):
    whole = np.concatenate(levelled(uneven(sentences), Leveller(RATE)))
    for piece in (480, 241, 24_000):
        pieces = np.concatenate(levelled(uneven(sentences), Leveller(RATE), piece))
        assert np.abs(pieces - whole).max() < 1e-6


def test_the_gain_moves_without_a_jump():
    leveller = Leveller(RATE)
    sine = np.sin(2 * np.pi * 200 * np.arange(2 * RATE) / RATE).astype(np.float32)
    loud_then_soft = np.concatenate([0.5 * sine, 0.05 * sine, 0.5 * sine])
    heard = np.concatenate([leveller.push(loud_then_soft[at : at + 333]) for at in range(0, len(loud_then_soft), 333)])
    gain = heard[np.abs(loud_then_soft) > 0.02] / loud_then_soft[np.abs(loud_then_soft) > 0.02]
    assert np.abs(np.diff(20 * np.log10(gain))).max() < 0.1


@pytest.mark.parametrize("gain_db", [-6, 0, 12, 40])
def test_no_sample_goes_above_the_peak(sentences: list[np.ndarray], gain_db: float):
    loud = [audio * 10 ** ((gain_db + 6) / 20) for audio in sentences]
    assert max(np.abs(audio).max() for audio in levelled(loud, Leveller(RATE))) <= 10 ** (PEAK_DBFS / 20)


def test_what_is_below_the_knee_is_only_multiplied():
    leveller = Leveller(RATE, max_change_db=0)
    audio = (0.5 * np.sin(np.arange(RATE) / 10)).astype(np.float32)
    assert np.allclose(leveller.push(audio), audio, atol=1e-6)


def test_the_gain_has_bounds(sentences: list[np.ndarray]):
    quiet, loud = Leveller(RATE), Leveller(RATE)
    levelled([audio * 0.1 for audio in sentences], quiet)
    levelled([audio * 6 for audio in sentences], loud)
    assert quiet.gain_db == pytest.approx(MAX_CHANGE_DB) and loud.gain_db == pytest.approx(-MAX_CHANGE_DB)


def test_silence_changes_nothing():
    leveller = Leveller(RATE)
    assert not leveller.push(np.zeros(RATE, dtype=np.float32)).any() and leveller.gain_db == 0.0
    assert len(leveller.push(np.zeros(0, dtype=np.float32))) == 0


def test_the_second_stream_of_a_voice_begins_at_its_gain(sentences: list[np.ndarray]):
    memory = LevelMemory()
    quiet = [audio * 0.5 for audio in sentences]
    first = levelled(quiet, Leveller(RATE, voice="ann", memory=memory))
    second = levelled(quiet, Leveller(RATE, voice="ann", memory=memory))
    assert abs(level_db(first[0][: RATE // 2]) - level_db(second[0][: RATE // 2])) > 2
    assert abs(level_db(second[0]) - TARGET_DBFS) < 2.5
    assert Leveller(RATE, voice="ben", memory=memory).gain_db == 0.0


def test_two_voices_of_different_loudness_come_out_alike(sentences: list[np.ndarray]):
    soft = levelled([audio * 0.7 for audio in sentences], Leveller(RATE))
    strong = levelled([audio * 2.5 for audio in sentences], Leveller(RATE))
    assert abs(level_db(np.concatenate(soft[1:])) - level_db(np.concatenate(strong[1:]))) < 1.5


def test_only_so_many_voices_are_remembered():
    memory = LevelMemory(voices=2)
    for voice in ("a", "b", "c"):
        memory.remember(voice, 0.01)
    assert [memory.power(voice) for voice in ("a", "b", "c", None)] == [None, 0.01, 0.01, None]
