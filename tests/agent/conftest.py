"""An OpenAI-compatible endpoint on the loopback, real offers of a caller, and an app to send them to."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from aiohttp import web
from aiortc import RTCPeerConnection

from agent.calls import Calls
from agent.metrics import Metrics
from agent.serve import describe
from agent.server import create_app
from configs.loading import load_settings
from configs.settings import Settings
from tests.engines.conftest import hibari, whisper

__all__ = ["hibari", "whisper"]

TOKEN = "correct-horse-battery"
DEAD = "http://127.0.0.1:9"
"""Where nothing listens."""


@dataclass
class Endpoint:
    """What the endpoint lists and says, and what it was asked."""

    models: list[str] = field(default_factory=lambda: ["first-model", "second-model"])
    told: dict[str, Any] = field(default_factory=dict)
    """What its list says of each model besides the name."""
    words: list[str] = field(default_factory=lambda: ["Hello", " there."])
    models_status: int = 200
    chat_status: int = 200
    stall_before: int | None = None
    """The word before which it says nothing more; 0 is the first."""
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)

    async def list_models(self, request: web.Request) -> web.Response:
        self.keys.append(request.headers.get("Authorization"))
        if self.models_status != 200:
            return web.json_response({"error": "no"}, status=self.models_status)
        listed = [{"id": name, "object": "model", **self.told} for name in self.models]
        return web.json_response({"object": "list", "data": listed})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.keys.append(request.headers.get("Authorization"))
        if self.chat_status != 200:
            return web.json_response({"error": {"message": "refused"}}, status=self.chat_status)
        if not body.get("stream"):
            message = {"role": "assistant", "content": "".join(self.words)}
            return web.json_response({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
        try:
            return await self._stream(request)
        except (asyncio.CancelledError, ConnectionResetError):
            self.hung_up.set()
            raise

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        if self.stall_before == 0:
            await asyncio.sleep(30)
        await response.prepare(request)
        for number, word in enumerate(self.words):
            if number == self.stall_before:
                await asyncio.sleep(30)
            delta = {"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None}
            chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [delta]}
            await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
            await asyncio.sleep(0)
        await response.write(b"data: [DONE]\n\n")
        return response


@asynccontextmanager
async def listening(endpoint: Endpoint) -> AsyncIterator[Endpoint]:
    app = web.Application()
    app.add_routes([web.get("/v1/models", endpoint.list_models), web.post("/v1/chat/completions", endpoint.chat)])
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield endpoint
    finally:
        await runner.cleanup()


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with listening(Endpoint()) as running:
        yield running


def settings_with(**environ: str) -> Settings:
    """Settings from variables without their prefix, as `SERVER__PORT="8000"`; Ollama is not looked for."""
    given = {f"VOICE_AGENT_{name}": value for name, value in {"BRAIN__OLLAMA_URL": "null", **environ}.items()}
    return load_settings(env_file=None, environ=given)


@dataclass
class Served:
    """An app without engines, as it is while it starts."""

    http: httpx.AsyncClient
    calls: Calls
    metrics: Metrics


@asynccontextmanager
async def served(settings: Settings, base_url: str = "http://127.0.0.1:7860", **client: Any) -> AsyncIterator[Served]:
    metrics = Metrics()
    calls = Calls(settings.server, metrics)
    app = create_app(settings, calls, metrics, lambda: describe(settings, None))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=base_url, **client) as http:
        try:
            yield Served(http, calls, metrics)
        finally:
            await calls.close()


@pytest.fixture
async def starting() -> AsyncIterator[Served]:
    async with served(settings_with()) as app:
        yield app


@pytest.fixture
async def guarded() -> AsyncIterator[Served]:
    """An app that wants `TOKEN`."""
    async with served(settings_with(SERVER__TOKEN=TOKEN)) as app:
        yield app


@asynccontextmanager
async def caller() -> AsyncIterator[tuple[RTCPeerConnection, dict[str, Any]]]:
    """A caller's connection, and the offer that it sends."""
    connection = RTCPeerConnection()
    connection.addTransceiver("audio", direction="sendrecv")
    connection.createDataChannel("signalling")
    await connection.setLocalDescription(await connection.createOffer())
    try:
        yield connection, {"type": "offer", "sdp": connection.localDescription.sdp}
    finally:
        await connection.close()


@pytest.fixture
async def offer() -> AsyncIterator[dict[str, Any]]:
    async with caller() as (_, sent):
        yield sent


async def until(condition: Callable[[], bool], secs: float = 10) -> None:
    """Wait for what another task does."""
    async with asyncio.timeout(secs):
        while not condition():
            await asyncio.sleep(0.01)
