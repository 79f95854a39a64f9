"""Runs a service's app: bind, load, serve, drain, stop. The same for every service."""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import uvicorn
from loguru import logger
from starlette.types import ASGIApp

from configs.settings import ServiceSettings
from engines.errors import EngineError
from services.common.errors import StartError
from services.common.http import HttpProtocol
from services.common.state import ServiceState, Status
from services.common.websockets import WebSocketProtocol

LISTEN_BACKLOG = 256
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
CLOSE_SECS = 4.0
"""Time for connections to close after the drain: they send their last messages, and a close frame."""


@dataclass(frozen=True)
class Served:
    """What is served.

    Attributes:
        name: For people, e.g. `speech to text`.
        app: Answers HTTP and WebSockets.
        state: Of the service.
        load: Loads the engine and opens the service.
        close: Gives everything back.
    """

    name: str
    app: ASGIApp
    state: ServiceState
    load: Callable[[], Coroutine[Any, Any, None]]
    close: Callable[[], Awaitable[None]]


def serve(settings: ServiceSettings, build: Callable[[], Served]) -> None:
    """Serve until SIGINT or SIGTERM, and drain; a second signal ends the process at once.

    Args:
        settings: Where to listen, and the limits.
        build: Makes the service, on its event loop.

    Raises:
        StartError: The port is taken, or the engine cannot be loaded.
    """
    with _bind(settings) as listener, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, build(), listener))


def new_server(settings: ServiceSettings, app: ASGIApp) -> uvicorn.Server:
    """uvicorn for a service, without its signal handlers: the service drains before it stops."""
    return _Server(
        uvicorn.Config(
            app,
            http=HttpProtocol,
            ws=WebSocketProtocol,
            ws_max_size=settings.max_message_bytes,
            ws_ping_interval=settings.idle_secs / 2,
            ws_ping_timeout=settings.idle_secs / 2,
            # The audio does not shrink, and the transcripts are small.
            ws_per_message_deflate=False,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=2,
        )
    )


async def _serve(settings: ServiceSettings, served: Served, listener: socket.socket) -> None:
    server = new_server(settings, served.app)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, _stop, stop)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.wait())
    began_at = loop.time()
    loading = asyncio.create_task(served.load())
    try:
        await asyncio.wait([loading, stopping, serving], return_when=asyncio.FIRST_COMPLETED)
        if loading.done():
            await _loaded(loading, served)
            _say(f"{served.name}: ready at {address(settings, listener)}, loaded in {loop.time() - began_at:.1f} s")
            await asyncio.wait([stopping, serving], return_when=asyncio.FIRST_COMPLETED)
            await drain(served.state, settings)
    finally:
        server.should_exit = True
        await asyncio.gather(serving, return_exceptions=True)
        stopping.cancel()
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)
        await served.close()
        logger.info("stopped")
        await logger.complete()


def _stop(stop: asyncio.Event) -> None:
    """The first signal. The next is left to the system: it ends the process also where the event loop is held up."""
    for number in STOP_SIGNALS:
        asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)
    logger.info("stopping; a second signal ends it at once")
    stop.set()


async def drain(state: ServiceState, settings: ServiceSettings) -> None:
    """Take no more work, and let what runs end. Meanwhile `GET /health` says that the service is draining."""
    state.start_draining()
    logger.info(f"draining: {state.connections} connections, {state.requests} requests")
    if not await state.drained(settings.drain_secs + CLOSE_SECS):
        logger.warning(f"{state.connections} connections and {state.requests} requests did not end in time")


async def _loaded(loading: "asyncio.Task[None]", served: Served) -> None:
    try:
        await loading
    except EngineError as error:
        served.state.status = Status.FAILED
        raise StartError(str(error)) from error


class _Server(uvicorn.Server):
    def capture_signals(self) -> Any:
        """Leave the signals to `_serve`."""
        return contextlib.nullcontext()


def address(settings: ServiceSettings, listener: socket.socket) -> str:
    """The address of the service. One on all addresses is reached at this machine's own name."""
    host = socket.gethostname() if settings.host in ("0.0.0.0", "::") else settings.host
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def _bind(settings: ServiceSettings) -> socket.socket:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
            listener.listen(LISTEN_BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        variable = settings.token_variable.replace("TOKEN", "PORT")
        raise StartError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}. Is the service already "
            f"running? Another port is chosen with --port or {variable}."
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
