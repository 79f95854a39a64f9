"""What the services' commands do alike: read the settings, serve, and say in a sentence why that cannot be."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

Profile = Annotated[str, typer.Option(help="Name of a profile in configs/, or path of a YAML file.")]
EnvFile = Annotated[Path, typer.Option(help="File with more settings, one VARIABLE=value a line.")]
Host = Annotated[str | None, typer.Option(help="Address to listen on (default 127.0.0.1).")]
MaxConnections = Annotated[int | None, typer.Option(help="WebSocket connections at once.")]
LogLevel = Annotated[str | None, typer.Option(help="TRACE, DEBUG, INFO, WARNING or ERROR.")]

DEFAULT_ENV_FILE = Path(".env")


def run(section: str, build: Callable[[Any], Any], *, profile: str, env_file: Path, flags: Mapping[str, Any]) -> None:
    """Serve until a signal comes; what keeps the service from starting ends the process with 1.

    Args:
        section: Of the settings: `asr` or `tts_service`.
        build: Makes the service of some settings, not loaded yet.
        profile: Name or path.
        env_file: More settings; one that was named must be there.
        flags: Given on the command line, by dotted key; None is not given.
    """
    settings = _settings(section, profile, env_file, flags)
    from services.common.errors import StartError
    from services.common.logs import configure_logs
    from services.common.serving import serve

    configure_logs(settings.log)
    try:
        serve(getattr(settings, section), lambda: build(settings))
    except StartError as error:
        _fail(section, str(error))


def _settings(section: str, profile: str, env_file: Path, flags: Mapping[str, Any]) -> Any:
    from configs.loading import SettingsError, load_settings

    if env_file != DEFAULT_ENV_FILE and not env_file.is_file():
        _fail(section, f"--env-file {env_file}: no such file")
    try:
        return load_settings(profile, flags=flags, env_file=env_file)
    except SettingsError as error:
        _fail(section, "the settings cannot be used:\n  " + "\n  ".join(error.faults))


def _fail(section: str, reason: str) -> NoReturn:
    print(f"{section.removesuffix('_service')} service: {reason}", file=sys.stderr)
    raise typer.Exit(1)
