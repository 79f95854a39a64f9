"""Tools of MCP servers: real ones on standard streams, through Pipecat's client, and servers that are down."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema

from agent.tools.guard import Bounds
from agent.tools.mcp_servers import RETRY_SECS, McpServers
from agent.tools.toolbox import ToolBox
from configs.tools import McpServer
from tests.agent.conftest import until
from tests.agent.tools.talking import Step, brain_at, scripted, talking
from tests.agent.virtual_time import VirtualLoop, virtually

PATIENCE_SECS = 60.0
"""A Python with the package takes a second or two to start, and many on a machine that is busy."""

SCRIPT = Path(__file__).with_name("weather_server.py")


def program(**given: Any) -> McpServer:
    """The weather server, run by this Python with its packages."""
    env = {"PYTHONPATH": os.pathsep.join(sys.path), "SKY": "blue"}
    return McpServer.model_validate(
        {"name": "sky", "command": sys.executable, "args": [str(SCRIPT)], "env": env, **given}
    )


@asynccontextmanager
async def opened(*servers: McpServer, timeout_secs: float = PATIENCE_SECS, **given: Any) -> AsyncIterator[ToolBox]:
    wait = {"start_secs": PATIENCE_SECS, **given}
    toolbox = ToolBox(bounds=Bounds(timeout_secs=timeout_secs), servers=McpServers(servers, **wait))
    await toolbox.open()
    try:
        yield toolbox
    finally:
        await toolbox.close()


async def test_the_tools_of_a_program_are_called_and_it_comes_back_after_its_end():
    steps = [
        Step(calls=[("sky_forecast", {"city": "Oslo", "days": 2})]),
        Step("Blue."),
        Step(calls=[("sky_odd_name", {}), ("sky_fail", {}), ("sky_forecast", {"days": "x"})]),
        Step("Odd."),
        Step(calls=[("sky_end", {})]),
        Step("It ended."),
        Step(calls=[("sky_forecast", {"city": "Rome"})]),
        Step("Blue again."),
    ]
    async with opened(program()) as toolbox, scripted(*steps) as script:
        names = [tool.name for tool in toolbox.tools()]
        assert names == ["sky_forecast", "sky_odd_name", "sky_hang", "sky_fail", "sky_end"]
        async with talking(brain_at(script.url), toolbox) as talk:
            assert await talk.ask("How is the weather?") == "Blue."
            assert script.results() == [{"result": "Oslo in 2 days: blue"}]
            parameters = script.requests[0]["tools"][0]["function"]["parameters"]
            assert list(parameters["properties"]) == ["city", "days"] and parameters["required"] == ["city"]
            assert await talk.ask("And else?") == "Odd."
            odd, fault, wrong = script.results()[1:]
            assert odd == {"result": "odd"} and "fell" not in odd
            assert "fail" in fault["result"] and "city" in wrong["result"]
            assert await talk.ask("End it.") == "It ended."
            assert "Error calling mcp tool end" in script.results()[-1]["result"]
            assert await talk.ask("And now?") == "Blue again."
            assert script.results()[-1] == {"result": "Rome in 1 days: blue"}
            assert talk.errors == [] and script.faults == []
        # The end of a call leaves the server to the others.
        async with talking(brain_at(script.url), toolbox) as talk:
            script.steps = [Step(calls=[("sky_forecast", {"city": "Bonn"})]), Step("Still blue.")]
            assert await talk.ask("Hello?") == "Still blue."


async def test_a_tool_of_a_program_that_hangs_is_given_up_and_the_next_is_answered():
    steps = [Step(calls=[("sky_hang", {})]), Step("It hangs."), Step(calls=[("sky_forecast", {"city": "Oslo"})])]
    async with opened(program(tools=["hang", "forecast"]), timeout_secs=1) as toolbox:
        assert [tool.name for tool in toolbox.tools()] == ["sky_forecast", "sky_hang"]
        async with scripted(*steps) as script, talking(brain_at(script.url), toolbox) as talk:
            assert await talk.ask("Hang.") == "It hangs."
            assert script.results() == [{"error": "sky_hang took longer than 1 seconds and was given up"}]
            await talk.ask("How is the weather?")
            assert script.results()[-1] == {"result": "Oslo in 1 days: blue"}
            assert talk.errors == [] and script.faults == []


@pytest.mark.parametrize(
    "server",
    [
        program(name="gone", command="/no/such/program", args=[], env={}),
        program(name="gone", args=["-c", "raise SystemExit(3)"]),
        McpServer(name="gone", url="http://127.0.0.1:9/mcp"),
        McpServer(name="gone", url="http://127.0.0.1:9/sse", transport="sse"),
    ],
    ids=["no program", "a program that ends", "no address", "no address (SSE)"],
)
async def test_a_server_that_is_down_keeps_nobody_from_starting(server: McpServer):
    async with opened(server) as toolbox:
        assert toolbox.tools() == [] and toolbox.schema() is None
        assert list(toolbox.problems) == ["gone"]


class Down:
    """A server that answers at the third attempt."""

    def __init__(self, answers_at: int = 3):
        self.attempts = 0
        self.answers_at = answers_at
        self.closed = False

    async def tools(self) -> ToolsSchema:
        self.attempts += 1
        if self.attempts < self.answers_at:
            raise ConnectionError("down")

        async def handle(params: Any) -> None: ...

        return ToolsSchema(standard_tools=[FunctionSchema("look", "Looks.", {}, [], handler=handle)])

    async def close(self) -> None:
        self.closed = True


def test_a_server_is_asked_again_until_it_answers():
    async def wait(loop: VirtualLoop) -> None:
        down = Down()

        async def connect(_: McpServer) -> Down:
            return down

        async with opened(McpServer(name="late", command="x"), connect=connect) as toolbox:
            assert toolbox.problems == {"late": "ConnectionError: down"}
            await until(lambda: bool(toolbox.tools()))
            assert [tool.name for tool in toolbox.tools()] == ["late_look"] and toolbox.problems == {}
            assert sum(RETRY_SECS[:2]) <= loop.time() < sum(RETRY_SECS[:3])
        assert down.attempts == 3 and down.closed

    virtually(wait)


def test_a_server_that_says_nothing_is_not_waited_for():
    async def wait(loop: VirtualLoop) -> None:
        class Silent(Down):
            async def tools(self) -> ToolsSchema:
                await asyncio.sleep(3600)
                raise AssertionError

        async def connect(_: McpServer) -> Silent:
            return Silent()

        async with opened(McpServer(name="mute", command="x"), connect=connect, start_secs=5) as toolbox:
            assert loop.time() == 5 and toolbox.problems == {"mute": "no answer yet"}
            await asyncio.sleep(60)
            assert toolbox.problems == {"mute": "TimeoutError"}

    virtually(wait)
