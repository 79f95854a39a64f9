"""Which tools there are, by the settings, and those that come with the agent."""

from datetime import UTC, datetime, tzinfo
from typing import Any

import pytest

from agent.errors import StartError
from agent.tools.functions import function_tool
from agent.tools.shipped import hang_up, shipped_functions
from agent.tools.threads import ToolThreads
from agent.tools.toolbox import chars_of, load_toolbox
from configs.loading import SettingsError
from configs.settings import ToolSettings
from tests.agent.conftest import settings_with, until
from tests.agent.tools.talking import Step, box, brain_at, scripted, talking

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def names(**settings: Any) -> list[str]:
    return [tool.name for tool in load_toolbox(ToolSettings.model_validate(settings)).tools()]


@pytest.mark.parametrize(
    ("enabled", "known"),
    [
        (["all"], ["current_time", "hang_up"]),
        (["current_time"], ["current_time"]),
        (["hang*"], ["hang_up"]),
        ([], []),
    ],
)
def test_the_brain_may_call_what_is_enabled(enabled: list[str], known: list[str]):
    assert names(enabled=enabled) == known


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"enabled": ["fly"]}, "tools.enabled: there is no tool 'fly'; expected all, or some of current_time, hang_up"),
        ({"modules": ["agent.tools.shipped:hang_up"]}, "there are 2 tools called hang_up; expected names of their own"),
        ({"modules": ["agent.tools.none"]}, "there is no such module"),
    ],
)
def test_a_wrong_name_stops_the_start(settings: dict[str, Any], reason: str):
    with pytest.raises(StartError) as caught:
        names(**settings)
    assert reason in str(caught.value)


def test_what_an_mcp_server_may_have_is_enabled_before_it_answers():
    assert names(enabled=["sky_*"], mcp=[{"name": "sky", "command": "sky"}]) == []


def test_without_tools_there_is_nothing_to_tell():
    toolbox = load_toolbox(ToolSettings(enabled=[]))
    assert toolbox.schema() is None and chars_of(None) == 0
    assert chars_of(load_toolbox(ToolSettings()).schema()) > 100


def test_handlers_stay_the_same_from_call_to_call():
    toolbox = load_toolbox(ToolSettings())
    first, second = toolbox.schema(), toolbox.schema()
    assert first and second
    assert [tool.handler for tool in first.standard_tools] == [tool.handler for tool in second.standard_tools]


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("TOOLS__TIME_ZONE", "Mars/Olympus", "expected a time zone of the IANA database, such as Europe/Berlin"),
        ("TOOLS__TIME_ZONE", "../../etc/passwd", "expected a time zone of the IANA database"),
        ("TOOLS__MODULES", '["my tools"]', "expected names such as my_tools or my_package.my_module:my_function"),
        ("TOOLS__MCP", '[{"name": "a", "command": "x", "url": "http://x"}]', "either command (a program) or url"),
        ("TOOLS__MCP", '[{"name": "a"}]', "either command (a program) or url"),
        ("TOOLS__MCP", '[{"name": "a", "url": "http://x", "args": ["y"]}]', "args and env belong to a command"),
        ("TOOLS__MCP", '[{"name": "a", "command": "x", "headers": {"A": "b"}}]', "headers belong to a url"),
        ("TOOLS__MCP", '[{"name": "a", "command": "x"}, {"name": "a", "command": "y"}]', "a name of its own"),
        ("TOOLS__MCP", '[{"name": "a b", "command": "x"}]', "tools.mcp.0.name"),
        ("TOOLS__TIMEOUT_SECS", "0", "greater than 0"),
    ],
)
def test_a_wrong_setting_is_told_with_what_was_expected(variable: str, value: str, reason: str):
    with pytest.raises(SettingsError) as caught:
        settings_with(**{variable: value})
    (fault,) = caught.value.faults
    assert reason in fault and "tools." in fault


def test_the_secrets_of_a_server_are_not_shown():
    server = '[{"name": "a b", "url": "http://x", "headers": {"Authorization": "Bearer hunter2"}}]'
    with pytest.raises(SettingsError) as caught:
        settings_with(TOOLS__MCP=server)
    assert "hunter2" not in str(caught.value)
    settings = settings_with(TOOLS__MCP=server.replace("a b", "a"))
    assert "hunter2" not in repr(settings)


def clock(zone: tzinfo | None) -> datetime:
    return NOON.astimezone(zone)


async def told_by(function: Any, arguments: dict[str, Any], control: Any = None, words: str = "") -> Any:
    """What the brain is told when it calls this."""
    steps = [Step(words, calls=[(function.__name__, arguments)]), Step("Well.")]
    async with scripted(*steps) as script, talking(brain_at(script.url), box(function), control=control) as talk:
        await talk.say("Tell me.")
        messages: list[Any] = talk.context.get_messages()
        await until(lambda: bool(contents(messages)) and contents(messages) != ["IN_PROGRESS"])
        await talk.worker.flush_pipeline()
        assert talk.errors == [] and script.faults == []
        return *contents(messages), len(script.requests)


def contents(messages: list[Any]) -> list[str]:
    """What the tools gave so far."""
    return [message["content"] for message in messages if message["role"] == "tool"]


@pytest.mark.parametrize(
    ("home", "asked", "told"),
    [
        ("Europe/Berlin", {}, '"time": "13:00", "weekday": "Sunday", "date": "2026-03-01", "time_zone": "Europe/'),
        (None, {"time_zone": "Asia/Tokyo"}, '"time": "21:00", "weekday": "Sunday", "date": "2026-03-01"'),
        ("Europe/Berlin", {"time_zone": "Pacific/Kiritimati"}, '"time": "02:00", "weekday": "Monday"'),
        (None, {"time_zone": "Moon"}, "time_zone = 'Moon': there is no such zone; expected an IANA name"),
    ],
)
async def test_the_time_is_told_in_the_zone_of_the_settings_or_in_another(home: Any, asked: Any, told: str):
    current_time = shipped_functions(home, clock)[0]
    assert told in (await told_by(current_time, asked))[0]


def test_without_a_zone_the_time_is_the_machines():
    tool = function_tool(shipped_functions(None)[0], ToolThreads(1))
    assert tool.name == "current_time" and tool.required == []


class Control:
    def __init__(self) -> None:
        self.words: list[str] = []

    def hang_up_when_heard(self, words: str) -> None:
        self.words.append(words)


async def test_hanging_up_says_the_farewell_and_asks_the_brain_for_nothing_more():
    control = Control()
    told, requests = await told_by(hang_up, {"farewell": "Bye, Ann."}, control)
    assert control.words == ["Bye, Ann."] and requests == 1
    assert "the call ends" in told


async def test_a_brain_that_has_said_goodbye_need_not_say_it_again():
    control = Control()
    await told_by(hang_up, {"farewell": "Bye."}, control, words="It was nice to talk to you. Goodbye.")
    assert control.words == [""]


async def test_where_there_is_no_call_there_is_nothing_to_hang_up():
    told, _ = await told_by(hang_up, {"farewell": "Bye."})
    assert "cannot be ended from here" in told
