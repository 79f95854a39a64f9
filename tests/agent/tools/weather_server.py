"""A small MCP server on standard streams: run as a script."""

import asyncio
import os

from mcp.server.mcpserver import MCPServer

server = MCPServer("weather")


@server.tool()
def forecast(city: str, days: int = 1) -> str:
    """Tells the weather of a city."""
    return f"{city} in {days} days: {os.environ.get('SKY', 'grey')}"


@server.tool(name="odd.name")
def odd() -> str:
    """Has a name that OpenAI does not take."""
    return "odd"


@server.tool()
async def hang() -> str:
    """Hangs."""
    await asyncio.sleep(60)
    return "late"


@server.tool()
def fail() -> str:
    """Fails."""
    raise RuntimeError("the sky has fallen")


@server.tool()
def end() -> None:
    """Ends the server."""
    os._exit(1)


if __name__ == "__main__":
    server.run("stdio")
