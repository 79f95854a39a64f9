"""Clips, to the sample: pauses are exact, pieces keep their words, and every run gives the same."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from agent.bench.speech import BenchError
from agent.bench.talk import sounds
from agent.bench.talk.cutting import cuts
from agent.bench.talk.render import Renderer, gaps_ms, join, trimmed
from agent.bench.talk.script import Background, Pause, Recording, Sound, Turn, Words
from agent.bench.talk.sounds import RATE, SPEECH_DBFS


class Tones:
    """Says each word as 180 ms of tone and 20 ms of silence, with 100 ms more at each comma."""

    stand_ins: dict[str, str] = {}

    def say(self, text: str, name: str) -> np.ndarray:
        pieces = []
        for word in text.split():
            tone = 0.2 * np.sin(2 * np.pi * 300 * np.arange(RATE * 18 // 100) / RATE)
            pieces += [tone, np.zeros(RATE * 12 // 100 if word.endswith(",") else RATE // 50)]
        return np.concatenate([np.zeros(4800), *pieces, np.zeros(4800)])


@pytest.fixture
def renderer(tmp_path: Path) -> Renderer:
    return Renderer(tmp_path, Tones())  # type: ignore[arg-type]


def turn(*pieces: Words | Pause | Sound | Recording) -> Turn:
    return Turn("pause", pieces, "", None, frozenset({"answer"}))


def rms_dbfs(pcm: np.ndarray) -> float:
    return 20 * np.log10(np.sqrt(((pcm / 32768) ** 2).mean()))


def test_a_pause_lies_between_the_last_sample_and_the_next(renderer: Renderer):
    clip = renderer.clip(
        turn(Words("one two"), Pause(700), Words("three"), Pause(1500), Words("four five six")), "heart"
    )
    (_, first_end), (second, second_end), (third, last) = clip.spans
    assert (second - first_end - 1, third - second_end - 1) == (700 * RATE // 1000, 1500 * RATE // 1000)
    assert not clip.pcm[first_end + 2000 : second - 2000].any()
    # Two words, one and three: cut out of one sentence, each with its own words.
    assert [end - start for start, end in clip.spans] == pytest.approx([0.38 * RATE, 0.18 * RATE, 0.58 * RATE], abs=300)
    file = clip.as_file("x")
    assert (file.first, file.last) == (clip.spans[0][0], last)
    assert rms_dbfs(clip.pcm[clip.spans[2][0] : last]) == pytest.approx(SPEECH_DBFS, abs=0.5)


def test_sounds_and_recordings_stand_among_words(renderer: Renderer, tmp_path: Path):
    tone = 0.05 * np.sin(2 * np.pi * 400 * np.arange(16_000) / 16_000)
    soundfile.write(tmp_path / "a.wav", np.concatenate([np.zeros(8000), tone, np.zeros(8000)]), 16_000)
    clip = renderer.clip(turn(Recording("a.wav", 400, 1000), Pause(500), Sound("click"), Words("yes")), "heart")
    (start, end), (click, click_end), (word, _) = clip.spans
    assert end - start == pytest.approx(0.5 * RATE, abs=500)
    assert rms_dbfs(clip.pcm[start:end]) == pytest.approx(SPEECH_DBFS, abs=0.5)
    assert (click - end - 1, word - click_end - 1) == (RATE // 2, 0)
    assert click_end - click + 1 == len(sounds.click())


def test_what_cannot_be_heard_is_named(renderer: Renderer, tmp_path: Path):
    with pytest.raises(BenchError, match=r"none\.wav cannot be read"):
        renderer.clip(turn(Recording("none.wav")), "heart")
    with pytest.raises(BenchError, match=r"'silence': it holds no speech"):
        trimmed(np.zeros(RATE), "silence")


def test_gaps_are_between_what_is_heard():
    assert gaps_ms([Words("a"), Pause(400), Pause(300), Words("b"), Sound("click"), Pause(100), Words("c")]) == [
        700,
        0,
        100,
    ]


def test_join_keeps_margins_but_never_across_a_gap():
    part = (np.ones(3000) * 0.1, 1000, 1999)
    clip = join([part, part], [10])
    assert clip.spans == ((1000, 1999), (2480, 3479))
    assert len(clip.pcm) == 2480 - 1000 + 3000
    assert (clip.pcm > 0).all()  # Margins of 1000 samples fill a gap of 480 and do not add up in it.
    assert clip.pcm.max() == clip.pcm.min()


def test_a_sentence_without_a_silence_is_cut_where_it_is_quietest():
    speech = np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE)
    speech[20_000:21_000] *= 0.3
    assert cuts(speech, [1, 1]) == [pytest.approx(20_500, abs=700)]


@pytest.mark.parametrize("snr_db", [20, 5])
def test_a_background_is_so_many_decibels_below_the_speech(renderer: Renderer, snr_db: int):
    for name in sounds.BACKGROUNDS:
        level = rms_dbfs(renderer.background(Background(name, snr_db)))
        assert level == pytest.approx(SPEECH_DBFS - snr_db, abs=0.3), name


def test_sounds_are_the_same_each_time_and_not_clipped():
    for name, make in sounds.SOUNDS.items():
        sound = make()
        assert np.array_equal(sound, make()), name
        assert 0.001 < np.abs(sound).max() < 1.0, name
        assert 0.05 < len(sound) / RATE < 2.0, name


def test_the_packaged_voice_says_the_same_each_time_in_other_pitches_too():
    renderer = Renderer()
    asked = turn(Words("My number is"), Pause(600), Words("five five five."))
    clips = {voice: renderer.clip(asked, voice) for voice in ("heart", "low", "fast")}
    assert np.array_equal(clips["low"].pcm, renderer.clip(asked, "low").pcm)
    lengths = {voice: len(clip.pcm) for voice, clip in clips.items()}
    assert lengths["fast"] < lengths["heart"]
    for clip in clips.values():
        assert clip.spans[1][0] - clip.spans[0][1] - 1 == 600 * RATE // 1000
