"""The tools of the process: which there are, which the brain may call, and whether its endpoint takes any."""

import json
from collections.abc import Sequence
from fnmatch import fnmatchcase

from loguru import logger
from openai import APIStatusError
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema

from agent.errors import StartError
from agent.tools.functions import function_tool, load_functions
from agent.tools.guard import Bounds, guarded
from agent.tools.mcp_servers import McpServers
from agent.tools.shipped import shipped_functions
from agent.tools.threads import ToolThreads
from agent.tools.tool import Tool
from configs.settings import ToolSettings

NOT_ABOUT_TOOLS = (401, 403, 429)
STRIKES = 2


class ToolBox:
    """What every call's brain may be given.

    Attributes:
        max_calls: Calls of tools after one thing that the caller said.
    """

    def __init__(
        self,
        tools: Sequence[Tool] = (),
        *,
        bounds: Bounds | None = None,
        servers: McpServers | None = None,
        enabled: Sequence[str] = ("all",),
        max_calls: int = 12,
    ):
        """
        Args:
            tools: Those that are always there.
            bounds: Their limits.
            servers: Where more come from, now or later.
            enabled: Names or patterns of those that the brain may call; `all` takes every one.
            max_calls: Calls of tools after one thing that the caller said.
        """
        self._tools = list(tools)
        self._bounds = bounds or Bounds()
        self._servers = servers or McpServers(())
        self._enabled = tuple(enabled)
        self._schemas: dict[str, tuple[Tool, FunctionSchema]] = {}
        self._strikes = 0
        self.max_calls = max_calls

    async def open(self) -> None:
        """Ask the MCP servers for their tools."""
        await self._servers.open()

    async def close(self) -> None:
        """Leave the MCP servers."""
        await self._servers.close()

    @property
    def problems(self) -> dict[str, str]:
        """Why an MCP server gives no tools now, by its name."""
        return self._servers.problems

    @property
    def are_refused(self) -> bool:
        """Whether the brain's endpoint has shown that it takes no tools."""
        return self._strikes >= STRIKES

    def schema(self) -> ToolsSchema | None:
        """What a new call's brain is told of, with the handlers; None if there is nothing."""
        if self.are_refused:
            return None
        schemas = [self._schema(tool) for tool in self.tools()]
        return ToolsSchema(standard_tools=list(schemas)) if schemas else None

    def tools(self) -> list[Tool]:
        """Those that may be called now; of two with one name, the first."""
        by_name: dict[str, Tool] = {}
        for tool in (*self._tools, *self._servers.tools):
            if any(pattern == "all" or fnmatchcase(tool.name, pattern) for pattern in self._enabled):
                by_name.setdefault(tool.name, tool)
        return list(by_name.values())

    def _schema(self, tool: Tool) -> FunctionSchema:
        known = self._schemas.get(tool.name)
        if known is None or known[0] is not tool:
            schema = FunctionSchema(
                tool.name, tool.description, tool.properties, tool.required, handler=guarded(tool, self._bounds)
            )
            known = self._schemas[tool.name] = (tool, schema)
        return known[1]

    def blames(self, error: APIStatusError) -> bool:
        """Whether a request that was refused may go through without tools."""
        if error.status_code in NOT_ABOUT_TOOLS:
            return False
        return error.status_code in (400, 422) or _speaks_of_tools(error)

    def went_without(self, error: APIStatusError) -> None:
        """The request that was refused with this error went through without tools. One that speaks of tools, or two
        that do not, mean that the endpoint takes none: new requests have none, until the process is started again.
        """
        was_refused = self.are_refused
        self._strikes += STRIKES if _speaks_of_tools(error) else 1
        if self.are_refused and not was_refused:
            logger.warning(
                f"the brain's endpoint takes no tools (it answered {error.status_code}), so the brain is given none"
            )


def chars_of(schema: ToolsSchema | None) -> int:
    """How much of the brain's context the tools take, in characters."""
    return sum(len(json.dumps(tool.to_default_dict())) for tool in schema.standard_tools) if schema else 0


def _speaks_of_tools(error: APIStatusError) -> bool:
    text = f"{error.message} {error.body}".lower()
    return "tool" in text or "function" in text


def load_toolbox(settings: ToolSettings) -> ToolBox:
    """The tools of the settings; those of MCP servers come with `open`. This imports modules, and should not happen on
    the event loop.

    Raises:
        StartError: A module, a function or a name is wrong.
    """
    threads = ToolThreads(settings.threads)
    shipped = [function_tool(function, threads) for function in shipped_functions(settings.time_zone)]
    tools = [*shipped, *load_functions(settings.modules, threads)]
    names = [tool.name for tool in tools]
    for name in names:
        if names.count(name) > 1:
            raise StartError(
                f"tools.modules = {settings.modules!r}: there are {names.count(name)} tools called {name}; expected "
                "names of their own (current_time and hang_up come with the agent)"
            )
    prefixes = tuple(f"{server.name}_" for server in settings.mcp)
    for pattern in settings.enabled:
        # What the servers have is not known before they answer.
        if pattern == "all" or any(fnmatchcase(name, pattern) for name in names) or pattern.startswith(prefixes):
            continue
        known = ", ".join([*names, *(f"{prefix}*" for prefix in prefixes)])
        raise StartError(f"tools.enabled: there is no tool {pattern!r}; expected all, or some of {known}")
    return ToolBox(
        tools,
        bounds=Bounds(
            timeout_secs=settings.timeout_secs,
            max_result_chars=settings.max_result_chars,
            cancel_on_interruption=settings.on_interruption == "cancel",
        ),
        servers=McpServers(settings.mcp),
        enabled=settings.enabled,
        max_calls=settings.max_calls,
    )
