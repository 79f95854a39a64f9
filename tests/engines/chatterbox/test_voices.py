"""Voices: which recordings can be cloned, what is kept of them, and what stays in memory."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from chatterbox.tts import ChatterboxTTS
from chatterbox.tts_turbo import ChatterboxTurboTTS

from engines.chatterbox.clips import read_clip
from engines.chatterbox.enrolment import Enroller
from engines.chatterbox.loading import Loaded, load_upstream
from engines.chatterbox.voice_folder import VoiceFolder
from engines.chatterbox.voices import VoiceCache, VoiceLibrary
from engines.errors import EngineRefused
from scripts.random_chatterbox import tiny_architecture
from tests.engines.chatterbox.conftest import RATE, Write


@pytest.fixture(scope="module")
def turbo(tiny_turbo_folder: Path) -> Loaded:
    with tiny_architecture():
        return load_upstream("turbo", tiny_turbo_folder)


@pytest.fixture(scope="module")
def base(tiny_base_folder: Path) -> Loaded:
    with tiny_architecture():
        return load_upstream("base", tiny_base_folder)


def same(a: Any, b: Any) -> bool:
    """Whether two `Conditionals` hold the same numbers."""
    pairs = [(getattr(a.t3, name), getattr(b.t3, name)) for name in ("speaker_emb", "cond_prompt_speech_tokens")]
    pairs += [(a.gen[name], b.gen[name]) for name in a.gen]
    return all(torch.equal(one, other) if isinstance(one, torch.Tensor) else one is other for one, other in pairs)


# Enrolment. Upstream reads the clip through librosa and audioread, which import what Python gives up.

UPSTREAM_READS = pytest.mark.filterwarnings("ignore:'(aifc|sunau)' is deprecated:DeprecationWarning")


@UPSTREAM_READS
def test_turbo_hears_a_clip_as_upstream_does(
    turbo: Loaded, speech: np.ndarray, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(speech)
    upstream = ChatterboxTurboTTS(turbo.t3, turbo.s3gen, turbo.voice_encoder, turbo.tokenizer, "cpu")
    # With numpy 2 upstream's own levelling gives float64, over which its next step falls.
    level = upstream.norm_loudness
    monkeypatch.setattr(upstream, "norm_loudness", lambda *arguments: level(*arguments).astype(np.float32))
    upstream.prepare_conditionals(path)
    heard = Enroller(turbo).listen(read_clip(path))
    assert same(heard, upstream.conds)
    assert not heard.t3.speaker_emb.requires_grad and heard.t3.cond_prompt_speech_tokens.shape[1] > 250


@UPSTREAM_READS
def test_base_hears_a_clip_as_upstream_does(base: Loaded, audio_folder: Path) -> None:
    upstream = ChatterboxTTS(base.t3, base.s3gen, base.voice_encoder, base.tokenizer, "cpu")
    path = audio_folder / "librivox-0870.wav"
    upstream.prepare_conditionals(path)
    heard = Enroller(base).listen(read_clip(path))
    assert same(heard, upstream.conds)
    assert float(heard.t3.emotion_adv) == 0.5


@dataclass
class Counted:
    """Counts how often a clip is listened to."""

    library: VoiceLibrary
    times: int = 0

    def __post_init__(self) -> None:
        listen = self.library._enroller.listen

        def count(clip: Any) -> Any:
            self.times += 1
            return listen(clip)

        self.library._enroller.listen = count  # type: ignore


def test_a_clip_is_listened_to_once(turbo: Loaded, speech: np.ndarray, write: Write, tmp_path: Path) -> None:
    folder = VoiceFolder(tmp_path / "voices")
    voice = folder.add(write(speech[: 6 * RATE]), name="jack")
    first = Counted(VoiceLibrary(folder.folder, turbo))
    made = first.library.load("jack")
    again = Counted(VoiceLibrary(folder.folder, turbo))
    assert same(again.library.load("jack"), made)
    assert (first.times, again.times) == (1, 0)
    # Upstream reads what was kept.
    assert same(turbo.conditionals.__class__.load(voice.enrolled("turbo")), made)
    assert [path.name for path in folder.folder.iterdir() if path.name.startswith(".")] == []


def test_another_clip_and_a_damaged_file_are_listened_to_again(
    turbo: Loaded, speech: np.ndarray, write: Write, tmp_path: Path
) -> None:
    folder = VoiceFolder(tmp_path / "voices")
    voice = folder.add(write(speech[: 6 * RATE]), name="jack")
    counted = Counted(VoiceLibrary(folder.folder, turbo))
    before = counted.library.load("jack")
    # The same size and time: only what is in it tells.
    status = voice.path.stat()
    soundfile.write(voice.path, speech[-6 * RATE :], RATE)
    os.utime(voice.path, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = counted.library.load("jack")
    assert counted.times == 2 and not same(before, after)
    voice.enrolled("turbo").write_bytes(b"half a file")
    assert same(counted.library.load("jack"), after) and counted.times == 3


def test_a_folder_that_cannot_be_written_still_gives_voices(
    turbo: Loaded, speech: np.ndarray, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    VoiceFolder(tmp_path / "voices").add(write(speech[: 6 * RATE]), name="jack")

    def full(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("engines.chatterbox.enrolment.write_whole", full)
    assert VoiceLibrary(tmp_path / "voices", turbo).load("jack").gen["embedding"].shape == (1, 192)


def test_voices_are_listed_the_built_in_one_first(
    turbo: Loaded, write: Write, speech: np.ndarray, tmp_path: Path
) -> None:
    folder = VoiceFolder(tmp_path / "voices")
    folder.add(write(speech), name="anna")
    library = VoiceLibrary(folder.folder, turbo)
    assert [(voice.id, voice.description) for voice in library.list()] == [
        ("default", "comes with Chatterbox"),
        ("anna", "cloned from anna.wav"),
    ]
    assert library.load("default") is turbo.conditionals
    with pytest.raises(EngineRefused, match="there is no voice 'nobody'; expected one of default, anna"):
        library.load("nobody")


def test_a_prepared_voice_is_taken_before_a_recording(turbo: Loaded, tmp_path: Path) -> None:
    turbo.conditionals.save(tmp_path / "bob.pt")
    (tmp_path / "bob.wav").write_bytes(b"not looked at")
    library = VoiceLibrary(tmp_path, turbo)
    assert same(library.load("bob"), turbo.conditionals)
    assert library.list()[1].description == "prepared"


def test_a_prepared_voice_that_does_not_fit_is_refused(turbo: Loaded, base: Loaded, tmp_path: Path) -> None:
    library = VoiceLibrary(tmp_path, base)
    turbo.conditionals.save(tmp_path / "turbo.pt")
    torch.save({"t3": {}}, tmp_path / "empty.pt")
    torch.save([1], tmp_path / "list.pt")
    torch.save({"t3": base.conditionals.t3.__dict__, "gen": {}}, tmp_path / "part.pt")
    torch.save({"t3": Path("x")}, tmp_path / "code.pt")
    (tmp_path / "text.pt").write_text("hello")
    for name, reason in {
        "turbo": "expected t3.cond_prompt_speech_tokens of 1 to 150 for base",
        "empty": "expected what upstream's Conditionals.save writes",
        "list": "expected what upstream's Conditionals.save writes",
        "part": "gen lacks prompt_token, prompt_token_len, prompt_feat, embedding",
        "code": "it is not a file of tensors",
        "text": "it is not a file of tensors",
    }.items():
        with pytest.raises(EngineRefused, match=f"{name}.pt cannot be used as a voice: {reason}"):
            library.load(name)


# The cache.


@dataclass(frozen=True)
class Weight:
    """A value of some bytes."""

    nbytes: int


def test_the_cache_drops_what_was_used_longest_ago() -> None:
    cache: VoiceCache[Weight] = VoiceCache(100)
    values = {name: Weight(40) for name in "abc"}
    cache.put("a", values["a"])
    cache.put("b", values["b"])
    assert cache.get("a") is values["a"]
    cache.put("c", values["c"])
    assert cache.get("b") is None and cache.get("a") is values["a"] and cache.get("c") is values["c"]
    assert cache.nbytes == 80 and len(cache) == 2


def test_the_cache_counts_a_replaced_value_once_and_keeps_no_giant() -> None:
    cache: VoiceCache[Weight] = VoiceCache(100)
    for size in (60, 90):
        cache.put("a", Weight(size))
        assert cache.nbytes == size
    cache.put("giant", Weight(101))
    assert cache.get("giant") is None and cache.nbytes == 0 and len(cache) == 0
