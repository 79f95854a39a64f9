"""Python functions as tools, given or found by name."""

import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from pipecat.services.llm_service import FunctionCallParams

from agent.errors import StartError
from agent.tools.schema import Signature
from agent.tools.threads import ToolThreads
from agent.tools.tool import Tool

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def function_tool(function: Callable[..., Any], threads: ToolThreads) -> Tool:
    """A tool that calls a function with types and a docstring.

    An async function runs on the event loop, any other in a thread. One whose first parameter is called `params` gets
    Pipecat's parameters of the call there, so its direct functions are tools as they are. Pipecat's `@tool_options`
    sets what an interruption does, and the timeout.

    Raises:
        ValueError: It cannot be a tool; the message says why and what was expected.
    """
    name = getattr(function, "__name__", type(function).__name__)
    if not NAME.fullmatch(name):
        raise ValueError(f"it is called {name!r}; expected a name of up to 64 letters, digits and _")
    signature = Signature(function)
    is_async = inspect.iscoroutinefunction(function)
    if signature.wants_params and not is_async:
        raise ValueError("it takes params but is not async; expected async def, as for Pipecat's direct functions")

    async def run(params: FunctionCallParams) -> Any:
        arguments = signature.fitted(dict(params.arguments))
        if not is_async:
            return await threads.run(lambda: function(**arguments))
        return await (function(params, **arguments) if signature.wants_params else function(**arguments))

    return Tool(
        name=name,
        description=signature.description,
        properties=signature.properties,
        required=signature.required,
        run=run,
        cancel_on_interruption=getattr(function, "_pipecat_cancel_on_interruption", None),
        timeout_secs=getattr(function, "_pipecat_timeout_secs", None),
    )


def load_functions(names: Iterable[str], threads: ToolThreads) -> list[Tool]:
    """The tools in modules: `package.module` for all public functions written there (or those in its `__all__`),
    `package.module:function` for one. This imports the modules, and should not happen on the event loop.

    Raises:
        StartError: A module or function is not there or cannot be a tool.
    """
    tools: list[Tool] = []
    for name in names:
        for function in _functions(name):
            try:
                tools.append(function_tool(function, threads))
            except ValueError as error:
                called = getattr(function, "__name__", function)
                raise StartError(f"tools.modules = {name!r}: {called} cannot be a tool: {error}") from error
    return tools


def _functions(name: str) -> list[Callable[..., Any]]:
    module_name, _, wanted = name.partition(":")
    module = _module(name, module_name)
    if wanted:
        found = getattr(module, wanted, None)
        if not callable(found) or inspect.isclass(found):
            known = ", ".join(_public(module)) or "none"
            raise StartError(
                f"tools.modules = {name!r}: {module_name} has no function {wanted}; expected one of these: {known}"
            )
        return [found]
    functions = [getattr(module, public) for public in _public(module)]
    if not functions:
        raise StartError(
            f"tools.modules = {name!r}: {module_name} has no public function; expected at least one, with types and a "
            "docstring"
        )
    return functions


def _module(name: str, module_name: str) -> ModuleType:
    if (here := os.getcwd()) not in sys.path:
        sys.path.append(here)
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        lacks = "there is no such module" if error.name and module_name.startswith(error.name) else str(error)
        raise StartError(
            f"tools.modules = {name!r}: {lacks}; expected a module that can be imported from {here}"
        ) from error
    except Exception as error:
        raise StartError(
            f"tools.modules = {name!r}: importing it failed with {type(error).__name__}: {error}; expected a module "
            "that can be imported"
        ) from error


def _public(module: ModuleType) -> list[str]:
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return [name for name in listed if inspect.isroutine(getattr(module, name, None))]
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and inspect.isfunction(value) and value.__module__ == module.__name__
    ]
