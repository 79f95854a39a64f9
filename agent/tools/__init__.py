"""What the brain may do besides speaking: Python functions and the tools of MCP servers."""

from agent.tools.tool import Tool, ToolError

__all__ = ["Tool", "ToolError"]
