"""A small OpenAI-compatible endpoint whose answers are known: it repeats what it was told, tells a story, hangs up."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

STORY = (
    "Once upon a time there was a lighthouse keeper who lived alone by the sea. "
    "Every evening he climbed the stairs and lit the great lamp. "
    "Ships from many countries passed by and greeted him with their horns. "
    "One winter a storm came that was stronger than any before it. "
    "The keeper stayed awake for three nights and kept the light burning."
)
FAREWELL = {"farewell": "Thank you for calling, have a good day, goodbye."}


@dataclass
class EchoBrain:
    """The running endpoint. Tests may set `mode`; `requests` are the conversations that it was sent."""

    url: str
    mode: str = "echo"
    requests: list[list[dict[str, Any]]] = field(default_factory=list)


@contextmanager
def echo_brain() -> Iterator[EchoBrain]:
    """Serve it on a free port of the loopback."""
    brain = EchoBrain("")
    server = uvicorn.Server(uvicorn.Config(_app(brain), port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            threading.Event().wait(0.01)
        brain.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
        yield brain
    finally:
        server.should_exit = True
        thread.join()


def _app(brain: EchoBrain) -> FastAPI:
    app = FastAPI()

    @app.get("/v1/models")
    async def _() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": "echo", "object": "model"}]}

    @app.post("/v1/chat/completions", response_model=None)
    async def _(request: Request) -> Response:
        body = await request.json()
        brain.requests.append(body["messages"])
        if brain.mode == "refuse":
            return JSONResponse({"error": {"message": "bad key"}}, 401)
        if brain.mode == "stall":
            await asyncio.sleep(30)
        said = [message["content"] for message in body["messages"] if message["role"] == "user"][-1]
        if brain.mode == "hang up" and "tools" in body:
            call = {"index": 0, "id": "call_1", "function": {"name": "hang_up", "arguments": json.dumps(FAREWELL)}}
            return StreamingResponse(_chunks([{"tool_calls": [call]}]), media_type="text/event-stream")
        answer = STORY if brain.mode == "story" else f"You said: {said}"
        return StreamingResponse(_stream(answer), media_type="text/event-stream")

    return app


def _stream(answer: str) -> AsyncIterator[str]:
    return _chunks([{"content": word + " "} for word in answer.split(" ")])


async def _chunks(deltas: list[dict[str, Any]]) -> AsyncIterator[str]:
    for delta in deltas:
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "echo"}
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        yield f"data: {json.dumps({**chunk, 'choices': [choice]})}\n\n"
        await asyncio.sleep(0.005)
    yield "data: [DONE]\n\n"
