"""`voice-agent serve`: bind, load the engines, take calls, stop in order."""

import asyncio
import contextlib
import signal
import socket
import sys
from typing import Any

import uvicorn
from loguru import logger

from agent.calls import Calls, ice_config
from agent.engines import Engines, load_engines
from agent.errors import StartError
from agent.metrics import Metrics
from agent.pipeline import build_call
from agent.server import create_app, version
from agent.session import Build
from agent.tracing import open_tracing
from configs.settings import Settings
from engines.errors import EngineError

LISTEN_BACKLOG = 128


def serve(settings: Settings, build: Build = build_call) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        settings: What to serve, and where.
        build: What makes the pipeline of each call.

    Raises:
        StartError: The port is taken, or a model cannot be loaded.
    """
    with _bind(settings) as listener, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, listener, build))


async def _serve(settings: Settings, listener: socket.socket, build: Build) -> None:
    metrics = Metrics()
    tracing = open_tracing(settings.tracing)
    calls = Calls(settings.server, metrics, build=build, tracing=tracing)
    engines: Engines | None = None

    def info() -> dict[str, Any]:
        return describe(settings, engines)

    server = _Server(
        uvicorn.Config(
            create_app(settings, calls, metrics, info),
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=2,
        )
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.wait())
    loading = asyncio.create_task(load_engines(settings, _say))
    try:
        await asyncio.wait([loading, stopping, serving], return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set() and not serving.done():
            engines = await _loaded(loading)
            calls.open(engines)
            if reason := await calls.not_ready():
                logger.warning(f"not ready yet: {reason}")
            if not settings.server.is_loopback:
                _say(
                    "\nCallers on other machines need HTTPS (browsers give the microphone to no other page): put a TLS "
                    "proxy in front. They are asked for the access token."
                )
            _say(f"\nReady. Open {address(settings, listener)} in a browser and talk.")
            await asyncio.wait([stopping, serving], return_when=asyncio.FIRST_COMPLETED)
    finally:
        await calls.close()
        server.should_exit = True
        await asyncio.gather(serving, return_exceptions=True)
        stopping.cancel()
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)
        if engines is not None:
            await engines.close()
        if tracing is not None:
            await tracing.close()
        logger.info("stopped")
        await logger.complete()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: calls end before it does."""

    def capture_signals(self) -> Any:
        """Leave the signals to `_serve`."""
        return contextlib.nullcontext()


async def _loaded(loading: "asyncio.Task[Engines]") -> Engines:
    try:
        return await loading
    except EngineError as error:
        raise StartError(str(error)) from error


def describe(settings: Settings, engines: Engines | None) -> dict[str, Any]:
    """What `GET /api/info` tells the page."""
    brain = engines.brain if engines else None
    return {
        "name": "Voice agent",
        "version": version(),
        "brain": {"label": brain.label if brain else None, "small": bool(brain and brain.small)},
        "voice": f"{settings.tts.engine} {settings.tts.voice}",
        "max_call_secs": settings.server.max_call_secs,
        "idle_secs": settings.server.idle_secs,
        "ice_servers": ice_config(settings.server),
    }


def address(settings: Settings, listener: socket.socket) -> str:
    """The address to open. A server on all addresses is reached at this machine's own name."""
    host = settings.server.host
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def _bind(settings: Settings) -> socket.socket:
    server = settings.server
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
            listener.listen(LISTEN_BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise StartError(
            f"cannot listen on {server.host}:{server.port}: {error.strerror or error}. Is the agent already running? "
            "Another port is chosen with --port or VOICE_AGENT_SERVER__PORT."
        ) from error
    return listener


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:  # There is none for Windows.
        return None
    return uvloop.new_event_loop


def _say(line: str) -> None:
    print(line, file=sys.stdout, flush=True)
