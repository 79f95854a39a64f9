"""A tool as the brain's service calls it: bounded in time and size, its faults told to the brain and to nobody else."""

import asyncio
from dataclasses import dataclass, replace
from typing import Any

from loguru import logger
from pipecat.adapters.llm.schemas.direct_function import tool_options
from pipecat.frames.frames import FunctionCallResultProperties
from pipecat.services.llm_service import FunctionCallHandler, FunctionCallParams
from pydantic_core import PydanticSerializationError, from_json, to_json

from agent.tools.tool import Tool, ToolError

MAX_ERROR_CHARS = 500


@dataclass(frozen=True)
class Bounds:
    """What holds for every tool that says nothing else.

    Attributes:
        timeout_secs: Longest run.
        max_result_chars: A longer result, as JSON, is cut.
        cancel_on_interruption: Whether a tool ends when the caller speaks over it.
    """

    timeout_secs: float = 10
    max_result_chars: int = 4000
    cancel_on_interruption: bool = False


def guarded(tool: Tool, bounds: Bounds) -> FunctionCallHandler:
    """Pipecat's handler for a tool.

    It always reports an object: `{"result": …}` or `{"error": "…"}`. Pipecat asks the brain for no words after an empty
    result, and would take an exception for a failure of the brain.
    """
    timeout_secs = tool.timeout_secs or bounds.timeout_secs
    cancels = bounds.cancel_on_interruption if tool.cancel_on_interruption is None else tool.cancel_on_interruption

    async def handle(params: FunctionCallParams) -> None:
        reported = _Reported(params)
        try:
            returned = await _within(timeout_secs, _called(tool, replace(params, result_callback=reported)))
            result = bounded(reported.result if reported.is_final else returned, bounds.max_result_chars)
        except ToolError as error:
            logger.info(f"tool {tool.name} could not do it")
            logger.debug(f"tool {tool.name}: {error}")
            result = {"error": str(error)[:MAX_ERROR_CHARS]}
        except TimeoutError:
            logger.warning(f"tool {tool.name} took longer than {timeout_secs:g} s and was given up")
            result = {"error": f"{tool.name} took longer than {timeout_secs:g} seconds and was given up"}
        except Exception as error:
            # What it says may hold a password, or what was said; the brain would speak it aloud.
            logger.warning(f"tool {tool.name} failed with {type(error).__name__}")
            logger.opt(exception=error).debug(f"tool {tool.name} failed")
            result = {"error": f"{tool.name} failed ({type(error).__name__}) and gave no result"}
        await params.result_callback(result, properties=reported.properties)

    return tool_options(handle, cancel_on_interruption=cancels)


class _Reported:
    """Takes what a direct function reports by itself; what is not final yet goes on at once."""

    def __init__(self, params: FunctionCallParams):
        self._params = params
        self.result: Any = None
        self.properties: FunctionCallResultProperties | None = None
        self.is_final = False

    async def __call__(self, result: Any, *, properties: FunctionCallResultProperties | None = None) -> None:
        if properties is not None and not properties.is_final:
            await self._params.result_callback(result, properties=properties)
        else:
            self.result, self.properties, self.is_final = result, properties, True


async def _called(tool: Tool, params: FunctionCallParams) -> Any:
    try:
        return await tool.run(params)
    except (SystemExit, KeyboardInterrupt) as error:
        # Out of a task these would end the whole process.
        raise RuntimeError(type(error).__name__) from error


async def _within(secs: float, work: Any) -> Any:
    """The work's result. Work that does not heed its cancellation is left behind rather than waited for."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=secs)
    except asyncio.CancelledError:
        _leave(task)
        raise
    if not done:
        _leave(task)
        raise TimeoutError
    if task.cancelled():
        raise RuntimeError("it cancelled itself")
    return task.result()


def _leave(task: "asyncio.Task[Any]") -> None:
    task.cancel()
    # Nobody asks for its exception any more.
    task.add_done_callback(lambda it: it.cancelled() or it.exception())


def bounded(result: Any, most_chars: int) -> dict[str, Any]:
    """A result as the brain gets it, and no longer than so many characters.

    Raises:
        ToolError: It cannot be written as JSON.
    """
    if result is None:
        return {"result": "done"}
    if isinstance(result, str):
        text = result
    else:
        try:
            text = to_json(result, fallback=str, bytes_mode="base64").decode()
        except (PydanticSerializationError, ValueError, RecursionError) as error:
            raise ToolError("the result cannot be written as JSON") from error
    if len(text) <= most_chars:
        return {"result": text if isinstance(result, str) else from_json(text)}
    return {"result": text[:most_chars], "cut": f"these are the first {most_chars} of {len(text)} characters"}
