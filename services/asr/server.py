#!/usr/bin/env python
"""Serves speech to text: `python services/asr/server.py --port 8001`."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated, Any

# As a script it is found by its folder, whose modules are not for import by their bare names.
sys.path[0:1] = [str(Path(__file__).parents[2])] if __name__ == "__main__" else sys.path[0:1]
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import typer

Profile = Annotated[str, typer.Option(help="Name of a profile in configs/, or path of a YAML file.")]
EnvFile = Annotated[Path, typer.Option(help="File with more settings, one VARIABLE=value a line.")]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    profile: Profile = "embedded",
    host: Annotated[str | None, typer.Option(help="Address to listen on (default 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port (default 8001).")] = None,
    model: Annotated[str | None, typer.Option(help="Whisper model (default: the profile's).")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N (default: the profile's).")] = None,
    compute_type: Annotated[str | None, typer.Option(help="Number format of the weights.")] = None,
    max_connections: Annotated[int | None, typer.Option(help="WebSocket connections at once.")] = None,
    log_level: Annotated[str | None, typer.Option(help="TRACE, DEBUG, INFO, WARNING or ERROR.")] = None,
    env_file: EnvFile = Path(".env"),
) -> None:
    """Serve speech to text over HTTP and WebSocket; docs/protocol.md has the messages."""
    flags = {
        "asr.host": host,
        "asr.port": port,
        "asr.max_connections": max_connections,
        "stt.model": model,
        "stt.device": device,
        "stt.compute_type": compute_type,
        "log.level": log_level,
    }
    settings = _settings(profile, env_file, flags)
    from services.common.errors import StartError
    from services.common.logs import configure_logs
    from services.common.serving import serve

    configure_logs(settings.log)
    try:
        serve(settings.asr, lambda: build(settings))
    except StartError as error:
        _fail(str(error))


def build(settings: Any) -> Any:
    """The service of some settings, not loaded yet. For `services.common.serving.serve`."""
    from engines.vad import SileroVad
    from services.asr.app import create_app
    from services.asr.engine import load_engine
    from services.asr.service import AsrService
    from services.common.serving import Served

    service = AsrService(settings)

    async def load() -> None:
        engine = await asyncio.get_running_loop().run_in_executor(None, load_engine, settings.stt)
        if hasattr(engine, "warm_up"):
            await engine.warm_up()  # pyright: ignore[reportAttributeAccessIssue]
        service.open(engine, SileroVad())

    return Served(f"speech to text ({settings.stt.model})", create_app(service), service.state, load, service.close)


def _settings(profile: str, env_file: Path, flags: dict[str, Any]) -> Any:
    from configs.loading import SettingsError, load_settings

    if env_file != Path(".env") and not env_file.is_file():
        _fail(f"--env-file {env_file}: no such file")
    try:
        return load_settings(profile, flags=flags, env_file=env_file)
    except SettingsError as error:
        _fail("the settings cannot be used:\n  " + "\n  ".join(error.faults))


def _fail(reason: str) -> Any:
    print(f"asr service: {reason}", file=sys.stderr)
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
