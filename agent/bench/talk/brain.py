"""A scripted brain: an OpenAI-compatible endpoint in a process of its own, with known answers at a known pace.

    python -m agent.bench.talk.brain --first-token-ms 200 --tokens-per-sec 60

It prints its address. Each answer is another one, so that one that was lost can be told from one that went on. Which
kind comes next is set with `POST /next {"long": true}`.
"""

import argparse
import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from itertools import cycle
from typing import Any

from agent.bench.talk.answers import LONG, SHORT

MODEL = "scripted"
TOKEN = re.compile(r"\s*\S{1,6}")
"""About what a model's token is: four or five letters with the space before them."""

READY = "brain at "


def create_app(first_token_secs: float, tokens_per_sec: float) -> Any:
    """The endpoint."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response, StreamingResponse
    from starlette.routing import Route

    answers = {False: cycle(SHORT), True: cycle(LONG)}
    wanted = {"long": False}

    async def models(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    async def choose(request: Request) -> Response:
        wanted["long"] = bool((await request.json()).get("long"))
        return JSONResponse(wanted)

    async def complete(request: Request) -> Response:
        body = await request.json()
        answer = next(answers[wanted["long"]])
        if not body.get("stream"):
            message = {"role": "assistant", "content": answer}
            return JSONResponse({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
        stream = written(answer, first_token_secs, 1 / tokens_per_sec)
        return StreamingResponse(stream, media_type="text/event-stream")

    return Starlette(
        routes=[
            Route("/v1/models", models),
            Route("/v1/chat/completions", complete, methods=["POST"]),
            Route("/next", choose, methods=["POST"]),
        ]
    )


async def written(answer: str, first_secs: float, token_secs: float) -> AsyncIterator[str]:
    """The events of an answer, each token at its time after the request."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number, token in enumerate(TOKEN.findall(answer)):
        await asyncio.sleep(max(began + first_secs + number * token_secs - loop.time(), 0))
        yield _event({"content": token})
    yield _event({}, "stop")
    yield "data: [DONE]\n\n"


def _event(delta: dict[str, str], finish: str | None = None) -> str:
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": MODEL}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return f"data: {json.dumps({**chunk, 'choices': [choice]})}\n\n"


def main() -> None:
    """Serve on a free port of the loopback until told to stop."""
    import uvicorn

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--first-token-ms", type=float, default=200.0)
    parser.add_argument("--tokens-per-sec", type=float, default=60.0)
    flags = parser.parse_args()
    app = create_app(flags.first_token_ms / 1000, flags.tokens_per_sec)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"{READY}http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off")).run(sockets=[listener])


if __name__ == "__main__":
    main()
