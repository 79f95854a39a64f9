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

from services.common.command import DEFAULT_ENV_FILE, EnvFile, Host, LogLevel, MaxConnections, Profile, run

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    profile: Profile = "embedded",
    host: Host = None,
    port: Annotated[int | None, typer.Option(help="Port (default 8001).")] = None,
    model: Annotated[str | None, typer.Option(help="Whisper model (default: the profile's).")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N (default: the profile's).")] = None,
    compute_type: Annotated[str | None, typer.Option(help="Number format of the weights.")] = None,
    max_connections: MaxConnections = None,
    log_level: LogLevel = None,
    env_file: EnvFile = DEFAULT_ENV_FILE,
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
    run("asr", build, profile=profile, env_file=env_file, flags=flags)


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


if __name__ == "__main__":
    app()
