"""The scripted brain's pace and answers, and the processes of a measurement."""

import asyncio
import json
import os
import re

import httpx
import pytest

from agent.bench.speech import BenchError
from agent.bench.talk.answers import LONG, SHORT
from agent.bench.talk.brain import TOKEN, create_app, written
from agent.bench.talk.server import environment, process, scripted_brain
from tests.agent.virtual_time import VirtualLoop, virtually

READY = re.compile(r"at (\S+)")


def words_of(events: list[str]) -> str:
    chunks = [json.loads(event.removeprefix("data: ")) for event in events if "[DONE]" not in event]
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)


def test_each_token_comes_at_its_time():
    async def write(loop: VirtualLoop) -> list[tuple[float, str]]:
        return [(loop.time(), event) async for event in written(LONG[0], 0.2, 1 / 60)]

    events = virtually(write)
    assert words_of([event for _, event in events]) == LONG[0]
    tokens = len(TOKEN.findall(LONG[0]))
    assert [at for at, _ in events[:tokens]] == pytest.approx([0.2 + number / 60 for number in range(tokens)])
    assert events[-1][1] == "data: [DONE]\n\n"


async def test_answers_are_short_until_long_ones_are_asked_for_and_none_comes_twice_in_a_row():
    app = httpx.ASGITransport(create_app(0.0, 1e6))
    async with httpx.AsyncClient(transport=app, base_url="http://brain") as http:

        async def ask() -> str:
            asked = {"messages": [{"role": "user", "content": "Hi."}]}
            return (await http.post("/v1/chat/completions", json=asked)).json()["choices"][0]["message"]["content"]

        assert [await ask(), await ask()] == list(SHORT[:2])
        assert (await http.post("/next", json={"long": True})).json() == {"long": True}
        assert [await ask(), await ask()] == list(LONG[:2])
        streamed = await http.post("/v1/chat/completions", json={"stream": True})
        assert words_of(streamed.text.strip().split("\n\n")) == LONG[2]
        assert (await http.get("/v1/models")).json()["data"][0]["id"] == "scripted"


async def test_the_brain_runs_in_a_process_of_its_own():
    async with scripted_brain(5, 600) as brain:
        await brain.next_answer(long=True)
        async with httpx.AsyncClient(base_url=brain.url) as http:
            told = await http.post("/v1/chat/completions", json={})
            assert told.json()["choices"][0]["message"]["content"] == LONG[0]
    async with httpx.AsyncClient(base_url=brain.url) as http:
        with pytest.raises(httpx.ConnectError):
            await http.get("/v1/models")


async def test_a_process_ends_with_its_block():
    code = "import sys, time; print('at here', flush=True); time.sleep(60)"
    async with process(("-c", code), READY, os.environ) as running:
        assert await running.address() == "here"
        number = running.number
        os.kill(number, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


async def test_a_process_that_fails_is_quoted():
    async with process(("-c", "raise SystemExit('no weights here')"), READY, os.environ) as running:
        with pytest.raises(BenchError, match="did not become ready:\n  no weights here"):
            await running.address()


async def test_a_process_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("agent.bench.talk.server.START_SECS", 0.05)
    async with asyncio.timeout(10), process(("-c", "import time; time.sleep(60)"), READY, os.environ) as running:
        with pytest.raises(BenchError, match="it printed nothing"):
            await running.address()


def test_the_servers_listen_on_the_loopback_and_ask_the_brain_that_is_measured_with(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VOICE_AGENT_SERVER__HOST", "0.0.0.0")
    monkeypatch.setenv("VOICE_AGENT_TURN__SMART_TURN", "false")
    found = environment("http://127.0.0.1:5")
    assert (found["VOICE_AGENT_SERVER__HOST"], found["VOICE_AGENT_SERVER__PORT"]) == ("127.0.0.1", "0")
    assert found["VOICE_AGENT_BRAIN__BASE_URL"] == "http://127.0.0.1:5/v1"
    assert found["VOICE_AGENT_TURN__SMART_TURN"] == "false"
    assert environment(None)["VOICE_AGENT_BRAIN__BASE_URL"] == "null"
