"""The schedule of a measurement: drawn from a seed, at the pace that was asked for."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from agent.bench.load import LONGEST_SECS, SHORTEST_SECS, Load, Utterance, draw_secs, schedule
from agent.bench.speech import (
    BenchError,
    Pieces,
    Recording,
    Wholes,
    pauses,
    read_audio,
    read_recordings,
    resampled,
)

RATE = 16_000


def silent(secs: float, random: np.random.Generator) -> Utterance:
    return Utterance("silence", b"", secs)


def speech(*secs: float, seed: int = 0) -> np.ndarray:
    """Noise as loud as speech for each of the lengths, with pauses of 0.3 s between them."""
    random = np.random.default_rng(seed)
    pause = np.zeros(int(0.3 * RATE), dtype=np.float32)
    parts = [part for length in secs for part in (random.normal(0, 0.1, int(length * RATE)), pause)]
    return np.concatenate(parts[:-1]).astype(np.float32)


def test_a_seed_gives_one_schedule_and_another_seed_another():
    assert schedule(Load(5, 60, seed=1), silent) == schedule(Load(5, 60, seed=1), silent)
    assert schedule(Load(5, 60, seed=1), silent) != schedule(Load(5, 60, seed=2), silent)


def test_more_callers_are_the_same_callers_and_others():
    few, many = schedule(Load(3, 60), silent), schedule(Load(9, 60), silent)
    assert few == [turn for turn in many if turn.caller < 3]


def test_callers_speak_as_often_as_they_should_from_the_first_second_to_the_last():
    turns = schedule(Load(200, 80, utterance_secs=3, period_secs=8), silent)
    assert len(turns) == pytest.approx(200 * 80 / 8, rel=0.1)
    assert np.mean([turn.utterance.secs for turn in turns]) == pytest.approx(3, rel=0.1)
    for first in range(0, 80, 20):
        assert sum(first < turn.ends <= first + 20 for turn in turns) == pytest.approx(200 * 20 / 8, rel=0.15)


def test_utterances_end_in_the_round_and_come_in_the_order_of_their_ends():
    turns = schedule(Load(30, 20), silent)
    ends = [turn.ends for turn in turns]
    assert ends == sorted(ends) and ends[0] > 0 and ends[-1] <= 20


def test_nobody_speaks_while_he_still_speaks():
    turns = schedule(Load(1, 500), silent)
    assert all(later.begins >= earlier.ends for earlier, later in pairwise(turns))


def test_many_callers_are_nearly_a_poisson_stream():
    """The gaps of a Poisson stream are as wide as their own mean."""
    ends = np.array([turn.ends for turn in schedule(Load(300, 100), silent)])
    gaps = np.diff(ends)
    assert np.std(gaps) / np.mean(gaps) == pytest.approx(1, abs=0.1)


def test_lengths_are_bounded_and_of_the_right_mean():
    random = np.random.default_rng(0)
    drawn = [draw_secs(3, random) for _ in range(5000)]
    assert min(drawn) >= SHORTEST_SECS and max(drawn) <= LONGEST_SECS
    assert np.mean(drawn) == pytest.approx(3, rel=0.05)


def test_pauses_are_where_nobody_speaks():
    cuts = [cut / RATE for cut in pauses(speech(1.5, 2.0, 1.0))]
    assert cuts == [0, pytest.approx(1.65, abs=0.03), pytest.approx(3.95, abs=0.03), pytest.approx(5.1)]


def test_whole_pieces_between_pauses_are_preferred():
    pieces = Pieces([Recording("a", speech(1.5, 2.0, 1.0))])
    chosen = pieces.choose(1.6, np.random.default_rng(0))
    assert chosen.secs in (pytest.approx(1.65, abs=0.03), pytest.approx(1.15, abs=0.03))
    assert len(chosen.pcm) == 2 * round(chosen.secs * RATE)


def test_speech_without_pauses_is_cut_to_the_wanted_length():
    chosen = Pieces([Recording("a", speech(30.0))]).choose(4.0, np.random.default_rng(0))
    assert chosen.secs == pytest.approx(4) and chosen.text is None


def test_a_recording_that_is_too_short_is_sent_as_it_is():
    assert Pieces([Recording("a", speech(1.0))]).choose(6.0, np.random.default_rng(0)).secs == pytest.approx(1)


def test_only_whole_recordings_have_their_text():
    recording = Recording("a", speech(1.5, 2.0), "some words")
    assert recording.utterance().text == "some words"
    assert recording.utterance(0, RATE).text is None
    assert Wholes([recording]).choose(1.0, np.random.default_rng(0)).text == "some words"


def test_resampling_keeps_what_is_heard():
    secs, tone = 0.5, 440
    high = np.sin(2 * np.pi * tone * np.arange(int(secs * 44_100)) / 44_100)
    low = resampled(high, 44_100)
    assert len(low) == secs * RATE
    expected = np.sin(2 * np.pi * tone * np.arange(len(low)) / RATE)
    assert np.max(np.abs(low - expected)[200:-200]) < 0.01


def test_files_and_folders_are_read_with_their_texts(tmp_path: Path, audio_folder: Path):
    soundfile.write(tmp_path / "a.wav", speech(1.5), RATE)
    soundfile.write(tmp_path / "b.flac", np.stack([speech(2.0)] * 2, axis=1), RATE)
    (tmp_path / "b.txt").write_text("beside it\n")
    (tmp_path / "texts.json").write_text(json.dumps({"a.wav": "named"}))
    found = {item.name: item for item in read_recordings([tmp_path, audio_folder], tmp_path / "texts.json")}
    assert found["a.wav"].text == "named" and found["b.flac"].text == "beside it"
    assert found["b.flac"].secs == pytest.approx(2) and found["jfk.flac"].secs == pytest.approx(11, abs=0.1)


def test_wav_is_read_without_soundfile(audio_folder: Path, monkeypatch: pytest.MonkeyPatch):
    with_it = read_audio(audio_folder / "librivox-0880.wav")
    monkeypatch.setitem(__import__("sys").modules, "soundfile", None)
    assert np.allclose(read_audio(audio_folder / "librivox-0880.wav"), with_it, atol=1e-4)
    with pytest.raises(BenchError, match="without the package soundfile"):
        read_audio(audio_folder / "jfk.flac")


def test_what_cannot_be_sent_is_said(tmp_path: Path):
    with pytest.raises(BenchError, match="no such file or folder"):
        read_recordings([tmp_path / "gone.wav"])
    with pytest.raises(BenchError, match="no speech to send"):
        read_recordings([tmp_path])
    (tmp_path / "broken.wav").write_bytes(b"no audio")
    with pytest.raises(BenchError, match="cannot be read"):
        read_recordings([tmp_path])
    (tmp_path / "texts.json").write_text("[]")
    with pytest.raises(BenchError, match="one JSON object"):
        read_recordings([tmp_path], tmp_path / "texts.json")
