"""What a function's signature says to the brain, and whether what the brain gives fits it."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, NotRequired, get_type_hints

import docstring_parser
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from typing_extensions import TypedDict

from agent.tools.tool import ToolError

MALFORMED = "malformed_arguments"
"""Under this name comes what the brain wrote where it should have written a JSON object."""

PARAMS = "params"
"""The first parameter of Pipecat's direct functions: the call itself."""


class Signature:
    """The arguments of a function, from its types and its docstring.

    Attributes:
        description: The docstring without its parts about arguments.
        properties: A JSON schema for each argument.
        required: The arguments without a default.
        wants_params: Whether the function takes Pipecat's parameters of the call first, as its direct functions do.
    """

    def __init__(self, function: Callable[..., Any]):
        """
        Raises:
            ValueError: It cannot be described; the message says why and what was expected.
        """
        parsed = docstring_parser.parse(inspect.getdoc(function) or "")
        self.description = (parsed.description or "").strip()
        if not self.description:
            raise ValueError("it has no docstring; expected one that tells the brain what it does and when to use it")
        about = {param.arg_name: param.description for param in parsed.params}
        parameters = list(_parameters(function).values())
        self.wants_params = bool(parameters) and parameters[0].name == PARAMS
        if self.wants_params:
            parameters = parameters[1:]
        hints = _hints(function)
        fields = {param.name: _field(param, hints, about.get(param.name)) for param in parameters}
        try:
            # A typed dictionary, unlike a model, has no names of its own that an argument could clash with.
            arguments = TypedDict("Arguments", fields)  # pyright: ignore
            arguments.__pydantic_config__ = ConfigDict(extra="forbid")  # pyright: ignore[reportAttributeAccessIssue]
            self._arguments = TypeAdapter(arguments)
            schema = self._arguments.json_schema()
        except (PydanticUserError, TypeError) as error:
            raise ValueError(
                f"its arguments cannot be described in JSON: {str(error).splitlines()[0]}; expected types such as "
                "str, int, float, bool, list[str], Literal, Enum, or a pydantic model"
            ) from error
        definitions = schema.get("$defs", {})
        self.properties = {name: _inlined(part, definitions) for name, part in schema.get("properties", {}).items()}
        self.required: list[str] = schema.get("required", [])

    def fitted(self, arguments: Any) -> dict[str, Any]:
        """The arguments as the function takes them: `"5"` for an int is 5.

        Raises:
            ToolError: They do not fit; the message names each that does not, what was given and what was expected.
        """
        if isinstance(arguments, dict) and MALFORMED in arguments and MALFORMED not in self.properties:
            raise ToolError(
                f"the arguments {arguments[MALFORMED]!r} are not a JSON object; expected one with {self._expected()}"
            )
        try:
            return dict(self._arguments.validate_python(arguments))
        except ValidationError as error:
            faults = "; ".join(self._fault(fault) for fault in error.errors()[:4])
            raise ToolError(faults) from None

    def _fault(self, fault: Any) -> str:
        where = ".".join(str(part) for part in fault["loc"]) or "arguments"
        if fault["type"] == "extra_forbidden":
            return f"there is no argument {where}; expected {self._expected()}"
        if fault["type"] == "missing":
            return f"the argument {where} is missing; expected {self._expected()}"
        return f"{where} = {str(fault['input'])[:80]!r}: {fault['msg'][0].lower()}{fault['msg'][1:]}"

    def _expected(self) -> str:
        return ", ".join(f"{name} ({_kind(part)})" for name, part in self.properties.items()) or "no arguments"


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    parameters = dict(inspect.signature(function).parameters)
    for name, parameter in parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise ValueError(f"its parameter {name} has no name by which it could be given; expected named parameters")
    return parameters


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except Exception as error:
        raise ValueError(f"its types cannot be read: {error}; expected types that can be imported") from error


def _field(parameter: inspect.Parameter, hints: dict[str, Any], about: str | None) -> Any:
    if parameter.name not in hints:
        raise ValueError(f"its parameter {parameter.name} has no type; expected one, such as {parameter.name}: str")
    described = Annotated[hints[parameter.name], Field(description=about)] if about else hints[parameter.name]
    return described if parameter.default is parameter.empty else NotRequired[described]


def _inlined(part: Any, definitions: dict[str, Any], inside: tuple[str, ...] = ()) -> Any:
    """The schema without references, which have no place in a tool's properties, and without titles."""
    if isinstance(part, list):
        return [_inlined(one, definitions, inside) for one in part]
    if not isinstance(part, dict):
        return part
    if isinstance(reference := part.get("$ref"), str):
        name = reference.rsplit("/", 1)[-1]
        if name in inside:
            raise ValueError(f"its type {name} contains itself; expected types that end")
        rest = {key: value for key, value in part.items() if key != "$ref"}
        return {**_inlined(definitions[name], definitions, (*inside, name)), **rest}
    return {
        key: _inlined(value, definitions, inside)
        for key, value in part.items()
        if key != "title" or not isinstance(value, str)
    }


def _kind(part: dict[str, Any]) -> str:
    if "enum" in part:
        return "one of " + ", ".join(str(value) for value in part["enum"])
    if "anyOf" in part:
        return " or ".join(_kind(one) for one in part["anyOf"])
    return str(part.get("type", "anything"))
