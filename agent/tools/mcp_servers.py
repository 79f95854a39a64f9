"""Tools of MCP servers, through Pipecat's client: connected once for all calls, and again when a server comes back."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from loguru import logger
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.services.llm_service import FunctionCallParams

from agent.tools.tool import Tool
from configs.tools import McpServer

START_SECS = 10.0
"""Longest that a start waits for the servers."""

CONNECT_SECS = 60.0
"""Longest attempt: a program may be fetched before it answers for the first time."""

RETRY_SECS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Pauses between attempts; the last repeats."""

CLOSE_SECS = 5.0


class Client(Protocol):
    """The part of Pipecat's `MCPClient` that is used."""

    async def tools(self) -> ToolsSchema:
        """Connect, and list the tools with their handlers."""
        ...

    async def close(self) -> None:
        """Close the connection, or end the program."""
        ...


class McpServers:
    """The servers of the settings. One that is down is tried again until it answers; it keeps nobody from starting."""

    def __init__(
        self,
        servers: Sequence[McpServer],
        *,
        connect: Callable[[McpServer], Awaitable[Client]] | None = None,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        start_secs: float = START_SECS,
        connect_secs: float = CONNECT_SECS,
    ):
        """
        Args:
            servers: What to connect to.
            connect: Makes a server's client, Pipecat's when None.
            sleep: Waits for so many seconds between attempts.
            start_secs: Longest that `open` waits.
            connect_secs: Longest attempt to have a server tell its tools.
        """
        self._servers = servers
        self._new_client = connect or _pipecat_client
        self._sleep = sleep
        self._start_secs = start_secs
        self._connect_secs = connect_secs
        self._clients: dict[str, Client] = {}
        self._tools: dict[str, list[Tool]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.problems: dict[str, str] = {}
        """Why a server gives no tools, by its name."""

    @property
    def tools(self) -> list[Tool]:
        """The tools of the servers that have answered, in the order of the settings."""
        return [tool for server in self._servers for tool in self._tools.get(server.name, [])]

    async def open(self) -> None:
        """Ask every server, all at the same time. Those that do not answer the first time, or for long, are asked on
        while the agent runs.
        """
        asked = [asyncio.Event() for _ in self._servers]
        self._tasks = [
            asyncio.create_task(self._ask_until_answered(server, event), name=f"mcp-{server.name}")
            for server, event in zip(self._servers, asked, strict=True)
        ]
        try:
            async with asyncio.timeout(self._start_secs):
                for event in asked:
                    await event.wait()
        except TimeoutError:
            for server in self._servers:
                if server.name not in self._tools and server.name not in self.problems:
                    self.problems[server.name] = "no answer yet"
                    logger.warning(f"the MCP server {server.name} has not answered yet; the agent starts without it")

    async def close(self) -> None:
        """Leave every server, and end those that are programs."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(_left(client) for client in self._clients.values()))

    async def _ask_until_answered(self, server: McpServer, asked: asyncio.Event) -> None:
        attempt = 0
        while not await self._ask(server):
            asked.set()
            await self._sleep(RETRY_SECS[min(attempt, len(RETRY_SECS) - 1)])
            attempt += 1
        asked.set()

    async def _ask(self, server: McpServer) -> bool:
        try:
            if server.name not in self._clients:
                self._clients[server.name] = await self._new_client(server)
            schemas = await asyncio.wait_for(self._clients[server.name].tools(), self._connect_secs)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            if self.problems.get(server.name) != reason:
                logger.warning(f"the MCP server {server.name} gives no tools, and is asked again and again: {reason}")
            self.problems[server.name] = reason
            return False
        self.problems.pop(server.name, None)
        self._tools[server.name] = [mcp_tool(server.name, schema) for schema in schemas.standard_tools]
        known = ", ".join(tool.name for tool in self._tools[server.name]) or "no tools"
        logger.info(f"the MCP server {server.name} has {known}")
        return True


def mcp_tool(server: str, schema: FunctionSchema) -> Tool:
    """A server's tool under a name that is its own: `<server>_<tool>`."""
    handler = schema.handler
    assert handler is not None

    async def run(params: FunctionCallParams) -> None:
        # Pipecat's client knows it by the server's name for it.
        await handler(replace(params, function_name=schema.name))

    return Tool(
        name=re.sub(r"[^A-Za-z0-9_-]", "_", f"{server}_{schema.name}")[:64],
        description=schema.description or schema.name,
        properties=schema.properties,
        required=schema.required,
        run=run,
    )


async def _left(client: Client) -> None:
    try:
        await asyncio.wait_for(client.close(), CLOSE_SECS)
    except Exception as error:
        logger.debug(f"an MCP server could not be left in order: {type(error).__name__}")


async def _pipecat_client(server: McpServer) -> Client:
    # Reading the package takes a second, and blocks whoever does it.
    return await asyncio.get_running_loop().run_in_executor(None, _make_client, server)


def _make_client(server: McpServer) -> Client:
    from mcp import StdioServerParameters
    from mcp.client.session_group import SseServerParameters, StreamableHttpParameters
    from pipecat.services.mcp_service import MCPClient

    if server.command is not None:
        environment = {key: value.get_secret_value() for key, value in server.env.items()}
        parameters = StdioServerParameters(command=server.command, args=server.args, env=environment or None)
    else:
        headers = {key: value.get_secret_value() for key, value in server.headers.items()}
        kind = SseServerParameters if server.transport == "sse" else StreamableHttpParameters
        parameters = kind(url=server.url or "", headers=headers or None)
    return MCPClient(parameters, tools_filter=server.tools)
