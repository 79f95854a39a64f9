"""`voice-agent voices`, as a person runs it."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer

from agent import voices_cli
from tests.agent.test_cli import run


def voices(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run(folder, "voices", *arguments, HF_HUB_OFFLINE="1", HF_HOME=str(folder / "hub"))


@pytest.fixture
def clip(audio_folder: Path) -> Path:
    return audio_folder / "librivox-0870.wav"


def test_a_voice_is_added_listed_and_removed(tmp_path: Path, clip: Path) -> None:
    added = voices(tmp_path, "add", clip, "--name", "jack")
    assert (added.returncode, added.stderr) == (0, "")
    assert added.stdout.splitlines() == [
        "jack: added as voices/jack.wav",
        "jack: Chatterbox turbo is not on this machine; it is enrolled when first spoken with",
    ]
    listed = voices(tmp_path, "list")
    assert listed.returncode == 0
    rows = [line.split() for line in listed.stdout.splitlines()]
    assert rows[1][:2] == ["default", "–"]
    assert rows[2] == ["jack", "7.1", "s", "voices/jack.wav", "not", "yet"]
    removed = voices(tmp_path, "remove", "jack")
    assert (removed.returncode, removed.stdout) == (0, "jack: removed voices/jack.wav\n")
    assert list((tmp_path / "voices").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("add", "{short}"), "short.wav cannot be used as a voice: it is 1.0 s long; expected 5 to 20 s of speech"),
        (("add", "gone.wav"), "gone.wav cannot be used as a voice: there is no such file"),
        (
            ("add", "{clip}", "--name", "../up"),
            "'../up' is not the name of a voice; expected letters, digits, - and _ (--name)",
        ),
        (("remove", "nobody"), "there is no voice 'nobody'; expected one of default"),
        (("remove", "default"), "the voice 'default' comes with the model and cannot be removed"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    tmp_path: Path, clip: Path, arguments: tuple[str, ...], reason: str
) -> None:
    soundfile.write(tmp_path / "short.wav", np.zeros(24_000), 24_000)
    ran = voices(tmp_path, *(word.format(short="short.wav", clip=clip) for word in arguments))
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", f"voice-agent: {reason}\n")


def test_a_model_that_is_not_whole_is_told_and_the_voice_kept(tmp_path: Path, clip: Path) -> None:
    ran = voices(tmp_path, "add", clip, "--name", "jack", "--voices-dir", "mine", "--model", "gone")
    assert ran.returncode == 1 and ran.stdout == "jack: added as mine/jack.wav\n"
    assert ran.stderr == (
        "voice-agent: jack is not enrolled yet: gone is not a folder; expected the weights of Chatterbox turbo\n"
    )
    assert (tmp_path / "mine" / "jack.wav").is_file()


@pytest.fixture
def tiny_folder(tmp_path: Path) -> Iterator[Path]:
    from scripts.random_chatterbox import tiny_architecture, write_checkpoint

    with tiny_architecture():
        yield write_checkpoint(tmp_path / "model", "turbo", ref_seconds=4.0)


def test_a_voice_is_enrolled_where_the_model_is(
    tmp_path: Path, clip: Path, tiny_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.cli._quiet_logs", lambda: None)
    monkeypatch.chdir(tmp_path)
    voices_cli.add(clip, name="jack", model=str(tiny_folder))
    assert capsys.readouterr().out.splitlines() == ["jack: added as voices/jack.wav", "jack: enrolled for turbo"]
    assert (tmp_path / "voices" / "jack.turbo.pt").stat().st_size > 10_000
    voices_cli.list_voices()
    assert capsys.readouterr().out.splitlines()[2].split()[-1] == "turbo"
    with contextlib.suppress(typer.Exit):
        voices_cli.add(clip, name="jack", model=str(tiny_folder))
    assert "there is a voice 'jack' already" in capsys.readouterr().err
    voices_cli.remove("jack")
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_the_command_needs_no_torch(tmp_path: Path) -> None:
    """As on a machine where only the default packages are installed."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'chatterbox', 'perth', 'librosa')))\n"
        "import agent.cli, agent.voices_cli, engines.chatterbox.voices, engines.chatterbox.voice_folder\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=Path.cwd(), capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
