"""Which functions can be tools, what the brain is told of them, and how they are found."""

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pipecat.adapters.llm.schemas.direct_function import tool_options
from pydantic import BaseModel, Field

from agent.errors import StartError
from agent.tools import ToolError
from agent.tools.functions import function_tool, load_functions
from agent.tools.schema import Signature
from agent.tools.threads import ToolThreads


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Pizza(BaseModel):
    size: Size
    toppings: list[str] = []


class Chain(BaseModel):
    next: "Chain | None" = None


def order(pizza: Pizza, when: Literal["now", "later"], tip: Annotated[float, Field(ge=0)] = 0, json: str = "") -> None:
    """Orders a pizza.

    Use it when the caller is hungry.

    Args:
        pizza: Which.
        when: When it is to come.
    """


def test_types_and_docstring_are_what_the_brain_is_told():
    signature = Signature(order)
    assert signature.description == "Orders a pizza.\n\nUse it when the caller is hungry."
    assert signature.required == ["pizza", "when"]
    assert signature.properties["pizza"] == {
        "type": "object",
        "description": "Which.",
        "properties": {
            "size": {"type": "string", "enum": ["small", "large"]},
            "toppings": {"type": "array", "items": {"type": "string"}, "default": []},
        },
        "required": ["size"],
    }
    assert signature.properties["when"] == {
        "type": "string",
        "enum": ["now", "later"],
        "description": "When it is to come.",
    }
    assert signature.properties["tip"] == {"type": "number", "minimum": 0}
    assert signature.properties["json"] == {"type": "string"}


def test_arguments_come_as_the_function_takes_them():
    fitted = Signature(order).fitted({"pizza": {"size": "large"}, "when": "now", "tip": "1.5"})
    assert fitted == {"pizza": Pizza(size=Size.LARGE), "when": "now", "tip": 1.5}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"pizza": {"size": "huge"}, "when": "now"}, "pizza.size = 'huge': input should be 'small' or 'large'"),
        ({"pizza": {}, "when": "now"}, "the argument pizza.size is missing"),
        ({"pizza": {"size": "small"}, "when": "soon"}, "when = 'soon': input should be 'now' or 'later'"),
        ({"pizza": {"size": "small"}, "when": "now", "tip": -1}, "tip = '-1': input should be greater than or equal"),
        ({}, "the argument pizza is missing; expected pizza (object), when (one of now, later)"),
        ([], "arguments = '[]': input should be a valid dictionary"),
    ],
)
def test_arguments_that_do_not_fit_are_named(arguments: Any, told: str):
    with pytest.raises(ToolError) as caught:
        Signature(order).fitted(arguments)
    assert told in str(caught.value)


def no_docstring(city: str) -> None: ...


def no_type(city) -> None:  # pyright: ignore
    """Has no type."""


def unknown_type(city: "Nowhere") -> None:  # noqa: F821  # pyright: ignore
    """Has an unknown type."""


def odd_type(city: Callable[[], int]) -> None:
    """Has a type that is not in JSON."""


def endless(chain: Chain) -> None:
    """Has a type that contains itself."""


def starred(*cities: str) -> None:
    """Has no names."""


def positional(city: str, /) -> None:
    """Has no name."""


def not_async(params: Any, city: str) -> None:
    """Is no direct function."""


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (no_docstring, "no docstring; expected one that tells the brain"),
        (no_type, "parameter city has no type; expected one, such as city: str"),
        (unknown_type, "types cannot be read: name 'Nowhere' is not defined"),
        (odd_type, "cannot be described in JSON"),
        (endless, "type Chain contains itself"),
        (starred, "parameter cities has no name"),
        (positional, "parameter city has no name"),
        (not_async, "takes params but is not async"),
        (lambda: None, "called '<lambda>'; expected a name"),
    ],
)
def test_a_function_that_cannot_be_a_tool_is_refused_with_the_reason(function: Any, reason: str):
    with pytest.raises(ValueError) as caught:
        function_tool(function, ToolThreads(1))
    assert reason in str(caught.value)


def test_options_of_pipecat_are_kept():
    @tool_options(cancel_on_interruption=True, timeout_secs=60)
    def slow() -> None:
        """Is slow."""

    tool = function_tool(slow, ToolThreads(1))
    assert (tool.cancel_on_interruption, tool.timeout_secs) == (True, 60)
    assert function_tool(order, ToolThreads(1)).cancel_on_interruption is None


MODULE = '''
from os.path import join

def forecast(city: str) -> str:
    """Tells the weather."""
    return f"clear in {city}"

async def warn(city: str) -> None:
    """Warns."""

def _private(city): ...

class Helper: ...
'''


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which the agent was started."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    monkeypatch.setattr("sys.modules", {**__import__("sys").modules})
    return tmp_path


def loaded(*names: str) -> list[str]:
    return [tool.name for tool in load_functions(names, ToolThreads(1))]


def test_functions_are_found_by_module_and_by_name(modules: Path):
    (modules / "my_weather.py").write_text(MODULE)
    assert loaded("my_weather") == ["forecast", "warn"]
    assert loaded("my_weather:warn") == ["warn"]


def test_a_module_may_list_its_tools(modules: Path):
    (modules / "my_listed.py").write_text(MODULE + "__all__ = ['warn']\n")
    assert loaded("my_listed") == ["warn"]


@pytest.mark.parametrize(
    ("text", "name", "reason"),
    [
        (None, "my_gone", "tools.modules = 'my_gone': there is no such module; expected a module that can be imported"),
        (MODULE, "my_bad:storm", "my_bad has no function storm; expected one of these: forecast, warn"),
        (MODULE, "my_bad:Helper", "my_bad has no function Helper"),
        ("", "my_bad", "my_bad has no public function; expected at least one"),
        ("1 / 0", "my_bad", "importing it failed with ZeroDivisionError"),
        ("import no_such_thing", "my_bad", "No module named 'no_such_thing'"),
        ("def f(x):\n  'Does.'", "my_bad", "tools.modules = 'my_bad': f cannot be a tool: its parameter x has no type"),
    ],
)
def test_what_cannot_be_loaded_stops_the_start_with_key_value_and_what_was_expected(
    modules: Path, text: str | None, name: str, reason: str
):
    if text is not None:
        (modules / "my_bad.py").write_text(text)
    with pytest.raises(StartError) as caught:
        loaded(name)
    assert reason in str(caught.value)


def test_the_example_of_the_documentation_is_a_tool():
    text = (Path(__file__).parents[3] / "docs" / "tools.md").read_text()
    example = text.split("```python\n", 1)[1].split("```", 1)[0]
    names: dict[str, Any] = {}
    exec(compile(example, "tools.md", "exec", dont_inherit=True), names)
    tool = function_tool(names["order_status"], ToolThreads(1))
    assert tool.required == ["number"] and tool.properties["detail"]["enum"] == ["short", "full"]
