"""Settings of what the brain may do besides speaking."""

import re
import zoneinfo
from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from configs.section import Section


class McpServer(Section):
    """A server of tools that speaks the Model Context Protocol: a program to start, or an address."""

    name: str = Field(
        pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,23}$", description="its tools are called <name>_<tool> by the brain"
    )
    command: str | None = Field(default=None, min_length=1, description="program that speaks on its standard streams")
    args: list[str] = []
    env: dict[str, SecretStr] = {}
    url: str | None = Field(default=None, pattern=r"^https?://\S+$", description="address of a server that runs")
    transport: Literal["http", "sse"] = Field(
        default="http", description="how that address speaks: streamable HTTP, SSE"
    )
    headers: dict[str, SecretStr] = {}
    tools: list[str] | None = Field(default=None, description="which of its tools; unset takes all")

    @model_validator(mode="after")
    def _is_a_program_or_an_address(self) -> "McpServer":
        if (self.command is None) == (self.url is None):
            raise ValueError(f"server {self.name!r}: expected either command (a program) or url (an address)")
        if self.command is None and (self.args or self.env):
            raise ValueError(f"server {self.name!r}: args and env belong to a command, expected headers with a url")
        if self.url is None and self.headers:
            raise ValueError(f"server {self.name!r}: headers belong to a url, expected args and env with a command")
        return self


class ToolSettings(Section):
    """What the brain may do besides speaking. The packaged model cannot use tools and gets none."""

    enabled: list[str] = Field(
        default=["all"],
        description='tools the brain may call, by name or pattern, e.g. ["current_time", "weather_*"]; all takes every '
        "one, [] none",
    )
    modules: list[str] = Field(
        default=[],
        description='Python modules and functions that are tools, e.g. ["my_tools", "my_package.weather:forecast"]',
    )
    mcp: list[McpServer] = Field(
        default=[],
        description='MCP servers, as a JSON list: {"name", "command", "args", "env"} or {"name", "url", "headers"}',
    )
    timeout_secs: float = Field(default=10, gt=0, le=600, description="longest run of a tool; then the brain is told")
    max_result_chars: int = Field(default=4000, ge=100, le=1_000_000, description="a longer result is cut")
    max_calls: int = Field(
        default=12,
        ge=1,
        le=100,
        description="calls of tools after one thing the caller said; then the brain must speak",
    )
    threads: int = Field(
        default=16, ge=1, le=256, description="functions without async that run at once; one more is refused"
    )
    on_interruption: Literal["continue", "cancel"] = Field(
        default="continue", description="what happens to a running tool when the caller speaks over it"
    )
    time_zone: str | None = Field(
        default=None, description="where current_time tells the time, e.g. Europe/Berlin; unset is this machine's"
    )

    @field_validator("modules")
    @classmethod
    def _modules_are_named_as_python_does(cls, modules: list[str]) -> list[str]:
        for name in modules:
            if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*)?", name):
                raise ValueError("expected names such as my_tools or my_package.my_module:my_function")
        return modules

    @field_validator("mcp")
    @classmethod
    def _servers_have_names_of_their_own(cls, servers: list[McpServer]) -> list[McpServer]:
        names = [server.name for server in servers]
        if len(set(names)) < len(names):
            raise ValueError("expected a name of its own for each server")
        return servers

    @field_validator("time_zone")
    @classmethod
    def _time_zone_is_known(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                zoneinfo.ZoneInfo(name)
            except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
                raise ValueError("expected a time zone of the IANA database, such as Europe/Berlin") from None
        return name
