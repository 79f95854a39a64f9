"""`voice-agent voices …`: the folder of cloned voices that Chatterbox speaks with."""

import importlib.util
from pathlib import Path
from typing import Annotated, Any

import typer

voices_app = typer.Typer(help="Voices that Chatterbox speaks with: add, list, remove.", no_args_is_help=True)

Profile = Annotated[str, typer.Option(help="Name of a profile in configs/, or path of a YAML file.")]
EnvFile = Annotated[Path, typer.Option(help="File with more settings, one VARIABLE=value a line.")]
VoicesDir = Annotated[str | None, typer.Option(help="As tts.voices_dir.")]


@voices_app.command()
def add(
    clip: Annotated[Path, typer.Argument(help="Recording of one speaker, 5 to 20 s: WAV, FLAC, OGG or MP3.")],
    name: Annotated[str | None, typer.Option(help="Letters, digits, - and _ (default: the file's name).")] = None,
    voices_dir: VoicesDir = None,
    model: Annotated[str | None, typer.Option(help="As tts.model.")] = None,
    variant: Annotated[str | None, typer.Option(help="As tts.variant.")] = None,
    profile: Profile = "embedded",
    env_file: EnvFile = Path(".env"),
) -> None:
    """Check a recording, copy it into the folder of voices, and let the model listen to it where it is installed."""
    settings = _tts(profile, env_file, voices_dir=voices_dir, model=model, variant=variant)
    voice = _done(lambda: _folder(settings).add(clip, name))
    print(f"{voice.name}: added as {voice.path}")
    enroller = _done(lambda: _enroller(settings), undone=f"{voice.name} is not enrolled yet: ")
    if enroller is None:
        print(
            f"{voice.name}: Chatterbox {settings.variant} is not on this machine; it is enrolled when first spoken with"
        )
        return
    _done(lambda: enroller.enrol(voice), undone=f"{voice.name} is not enrolled yet: ")
    print(f"{voice.name}: enrolled for {settings.variant}")


@voices_app.command("list")
def list_voices(voices_dir: VoicesDir = None, profile: Profile = "embedded", env_file: EnvFile = Path(".env")) -> None:
    """Show the voices: name, length of the recording, file, and for which variants it has been enrolled."""
    folder = _folder(_tts(profile, env_file, voices_dir=voices_dir))
    from rich.console import Console
    from rich.table import Table

    from engines.chatterbox.checkpoint import VARIANTS
    from engines.chatterbox.clips import length_secs
    from engines.chatterbox.voice_folder import BUILT_IN

    table = Table("voice", "length", "from", "enrolled for", box=None)
    table.add_row(BUILT_IN, "–", "comes with Chatterbox", "–")
    for voice in folder.voices():
        secs = None if voice.is_prepared else length_secs(voice.path)
        enrolled = ", ".join(variant for variant in VARIANTS if voice.enrolled(variant).is_file())
        enrolled = "as prepared" if voice.is_prepared else enrolled or "not yet"
        table.add_row(voice.name, "–" if secs is None else f"{secs:.1f} s", str(voice.path), enrolled)
    Console(soft_wrap=True).print(table)


@voices_app.command()
def remove(
    name: Annotated[str, typer.Argument(help="Name of the voice.")],
    voices_dir: VoicesDir = None,
    profile: Profile = "embedded",
    env_file: EnvFile = Path(".env"),
) -> None:
    """Remove a voice, and what was made of it."""
    folder = _folder(_tts(profile, env_file, voices_dir=voices_dir))
    for path in _done(lambda: folder.remove(name)):
        print(f"{name}: removed {path}")


def _tts(profile: str, env_file: Path, **flags: Any) -> Any:
    # The command imports this module; it may not import the command.
    from agent.cli import _quiet_logs, _settings

    _quiet_logs()
    return _settings(profile, env_file, {f"tts.{name}": value for name, value in flags.items()}).tts


def _folder(settings: Any) -> Any:
    from engines.chatterbox.voice_folder import VoiceFolder

    return VoiceFolder(Path(settings.voices_dir))


def _enroller(settings: Any) -> Any | None:
    """What listens to recordings; None where the model is not on this machine."""
    from engines.chatterbox.checkpoint import cached, complete

    # A folder that was named and is not whole is an error; a model that was never downloaded is not.
    folder = complete(settings.variant, Path(settings.model)) if settings.model else cached(settings.variant)
    if folder is None or any(importlib.util.find_spec(package) is None for package in ("torch", "chatterbox", "perth")):
        return None
    from engines.chatterbox.enrolment import Enroller
    from engines.chatterbox.loading import load_upstream

    return Enroller(load_upstream(settings.variant, folder))


def _done(work: Any, *, undone: str = "") -> Any:
    from agent.cli import _fail
    from engines.errors import EngineError

    try:
        return work()
    except (EngineError, OSError) as error:
        _fail(f"{undone}{error}")
