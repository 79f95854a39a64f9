#!/usr/bin/env python
"""Serves text to speech: `python services/tts/server.py --port 8002`."""

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
    port: Annotated[int | None, typer.Option(help="Port (default 8002).")] = None,
    engine: Annotated[str | None, typer.Option(help="hibari or chatterbox (default: the profile's).")] = None,
    variant: Annotated[str | None, typer.Option(help="Of Chatterbox: turbo or base.")] = None,
    device: Annotated[str | None, typer.Option(help="Of Chatterbox: cpu, cuda or cuda:N.")] = None,
    slots: Annotated[int | None, typer.Option(help="Of Chatterbox: streams that are spoken at once.")] = None,
    voice: Annotated[str | None, typer.Option(help="Who speaks where a client does not say.")] = None,
    max_connections: MaxConnections = None,
    log_level: LogLevel = None,
    env_file: EnvFile = DEFAULT_ENV_FILE,
) -> None:
    """Serve text to speech over HTTP and WebSocket; docs/protocol.md has the messages."""
    flags = {
        "tts_service.host": host,
        "tts_service.port": port,
        "tts_service.max_connections": max_connections,
        "tts.engine": engine,
        "tts.variant": variant,
        "tts.device": device,
        "tts.slots": slots,
        "tts.voice": voice,
        "log.level": log_level,
    }
    run("tts_service", build, profile=profile, env_file=env_file, flags=flags)


def build(settings: Any) -> Any:
    """The service of some settings, not loaded yet. For `services.common.serving.serve`."""
    from loguru import logger

    from engines.opening import open_voice
    from services.common.serving import Served
    from services.tts.app import create_app
    from services.tts.service import TtsService

    service = TtsService(settings)

    async def load() -> None:
        def opened() -> Any:
            return open_voice(settings.tts.engine, **settings.tts.engine_arguments)

        engine = await asyncio.get_running_loop().run_in_executor(None, opened)
        if hasattr(engine, "warm_up"):
            await engine.warm_up()
        if summary := getattr(engine, "summary", None):
            logger.info(summary)
        service.open(engine)

    name = f"text to speech ({service.model} {settings.tts.voice})"
    return Served(name, create_app(service), service.state, load, service.close)


if __name__ == "__main__":
    app()
