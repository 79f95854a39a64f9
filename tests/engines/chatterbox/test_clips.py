"""Recordings that can and cannot be cloned, and the folder that they lie in."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engines.chatterbox.clips import read_clip
from engines.chatterbox.voice_folder import VoiceFolder
from engines.errors import EngineRefused
from tests.engines.chatterbox.conftest import RATE, Write


@pytest.mark.parametrize("name", ["jfk.flac", "librivox-0870.wav", "librivox-0890.wav", "librivox-0920.wav"])
def test_real_speech_is_taken(audio_folder: Path, name: str) -> None:
    clip = read_clip(audio_folder / name)
    assert clip.samples.ndim == 1 and clip.samples.dtype == np.float32
    assert clip.sample_rate == soundfile.info(audio_folder / name).samplerate


@pytest.mark.parametrize("name", ["clip.flac", "clip.ogg", "clip.mp3"])
def test_other_formats_are_taken(speech: np.ndarray, write: Write, name: str) -> None:
    clip = read_clip(write(speech, name))
    assert len(clip.samples) / clip.sample_rate == pytest.approx(11, abs=0.1)


def test_stereo_is_mixed_down_and_a_long_clip_cut(speech: np.ndarray, write: Write) -> None:
    both = np.concatenate([speech, speech])
    clip = read_clip(write(np.stack([both, both * 0.5], axis=1), subtype="FLOAT"))
    np.testing.assert_allclose(clip.samples, both[: 20 * RATE] * 0.75, atol=1e-6)


NOISE = np.random.default_rng(0).standard_normal(8 * RATE).astype(np.float32)
REFUSED: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "short": (lambda speech: speech[: 3 * RATE], "it is 3.0 s long; expected 5 to 20 s"),
    "long": (lambda speech: np.tile(speech, 3), "it is 33.0 s long; expected 5 to 20 s"),
    "silent": (lambda speech: speech * 0, "it is too quiet"),
    "quiet": (lambda speech: speech * 0.003, "it is too quiet"),
    "opposed": (lambda speech: np.stack([speech, -speech], axis=1), "it is too quiet"),
    "clipped": (lambda speech: np.clip(speech * 20, -1, 1), "of it is clipped"),
    "noise": (lambda _: NOISE * 0.1, "no speech stands out"),
    "noisy": (lambda speech: speech[: 8 * RATE] * 0.3 + NOISE * 0.1, "no speech stands out"),
    "tone": (lambda _: 0.3 * np.sin(np.arange(6 * RATE) * 0.1), "no speech stands out"),
    "sparse": (lambda speech: np.pad(speech[: 2 * RATE], (0, 5 * RATE)), "s of it are speech; expected 3 s or more"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_unusable_recording_is_refused_with_the_reason(speech: np.ndarray, write: Write, name: str) -> None:
    change, reason = REFUSED[name]
    path = write(change(speech), f"{name}.wav")
    with pytest.raises(EngineRefused, match=f"^{name}.wav cannot be used as a voice: .*{reason}"):
        read_clip(path)


def test_files_that_are_no_recordings_are_refused(speech: np.ndarray, write: Write, tmp_path: Path) -> None:
    with pytest.raises(EngineRefused, match="sample rate is 8000 Hz; expected 16000"):
        read_clip(write(speech[::3], "phone.wav", rate=8_000))
    (tmp_path / "text.wav").write_text("no audio at all")
    with pytest.raises(EngineRefused, match="cannot be read as audio"):
        read_clip(tmp_path / "text.wav")
    with pytest.raises(EngineRefused, match=r"ends in \.aiff; expected \.wav"):
        read_clip(tmp_path / "voice.aiff")
    with pytest.raises(EngineRefused, match="no such file"):
        read_clip(tmp_path / "gone.wav")
    broken = speech.copy()
    broken[100] = np.nan
    with pytest.raises(EngineRefused, match="values that are not numbers"):
        read_clip(write(broken, "nan.wav", subtype="FLOAT"))


def test_a_voice_is_added_listed_and_removed(speech: np.ndarray, write: Write, tmp_path: Path) -> None:
    folder = VoiceFolder(tmp_path / "voices")
    assert folder.voices() == []
    added = folder.add(write(speech, "Jack-1.wav"))
    folder.add(write(speech, "x.flac"), name="anna_2")
    assert added.path.read_bytes() == (tmp_path / "Jack-1.wav").read_bytes()
    for stray in ("notes.txt", "a b.wav", ".hidden.wav", "default.wav", "Jack-1.other.pt"):
        (folder.folder / stray).write_bytes(b"")
    added.enrolled("turbo").write_bytes(b"")
    assert [voice.name for voice in folder.voices()] == ["Jack-1", "anna_2"]
    assert {path.name for path in folder.remove("Jack-1")} == {"Jack-1.wav", "Jack-1.turbo.pt"}
    assert [voice.name for voice in folder.voices()] == ["anna_2"]


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".", "a b", "-x", "ü", "a.turbo", "x" * 65, "a\n"])
def test_names_are_names_and_nothing_else(speech: np.ndarray, write: Write, tmp_path: Path, name: str) -> None:
    folder = VoiceFolder(tmp_path / "voices")
    with pytest.raises(EngineRefused, match="is not the name of a voice; expected letters, digits"):
        folder.add(write(speech), name=name)
    for use in (folder.get, folder.remove):
        with pytest.raises(EngineRefused, match="there is no voice .*; expected one of default"):
            use(name)
    assert not (tmp_path / "voices").exists()


def test_a_taken_name_and_the_built_in_voice_are_kept(speech: np.ndarray, write: Write, tmp_path: Path) -> None:
    folder = VoiceFolder(tmp_path / "voices")
    folder.add(write(speech), name="jack")
    for name in ("jack", "default"):
        with pytest.raises(EngineRefused, match=f"there is a voice '{name}' already"):
            folder.add(write(speech), name=name)
    with pytest.raises(EngineRefused, match="comes with the model"):
        folder.remove("default")
