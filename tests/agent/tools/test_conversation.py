"""Tools in a conversation: what they give, how they fail, and what the caller may do meanwhile."""

import asyncio
import json
import threading
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.direct_function import tool_options
from pipecat.frames.frames import FunctionCallResultProperties
from pipecat.services.llm_service import FunctionCallParams

from agent.tools import ToolError
from tests.agent.conftest import until
from tests.agent.tools.talking import Script, Step, box, brain_at, scripted, talking


def weather(city: str, days: int = 1) -> dict[str, Any]:
    """Tells the weather.

    Args:
        city: Where.
        days: How many days ahead.
    """
    return {"city": city, "days": days, "sky": "clear"}


async def slow_weather(city: str) -> str:
    """Tells the weather, after a while."""
    await asyncio.sleep(0.05)
    return f"rain in {city}"


async def asked(script: Script, *functions: Any, say: str = "How is the weather?", **given: Any) -> str:
    """The answer to one question."""
    async with talking(brain_at(script.url), box(*functions, **given)) as talk:
        answer = await talk.ask(say)
        assert talk.errors == [] and script.faults == []
    return answer


async def test_the_brain_is_told_of_a_tool_calls_it_and_speaks_of_what_it_gives():
    async with scripted(Step(calls=[("weather", {"city": "Oslo", "days": "3"})]), Step("It is clear.")) as script:
        assert await asked(script, weather) == "It is clear."
    first, second = script.requests
    (tool,) = first["tools"]
    assert tool["function"] == {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Where."},
                "days": {"type": "integer", "description": "How many days ahead."},
            },
            "required": ["city"],
        },
    }
    call, result = second["messages"][-2:]
    assert json.loads(call["tool_calls"][0]["function"]["arguments"]) == {"city": "Oslo", "days": "3"}
    assert json.loads(result["content"]) == {"result": {"city": "Oslo", "days": 3, "sky": "clear"}}


async def test_a_plain_function_runs_beside_the_event_loop_and_an_async_one_on_it():
    where: list[threading.Thread] = []

    def plain() -> str:
        """Notes its thread."""
        where.append(threading.current_thread())
        return "noted"

    async def on_the_loop() -> str:
        """Notes its thread."""
        where.append(threading.current_thread())
        return "noted"

    async with scripted(Step(calls=[("plain", {})]), Step(calls=[("on_the_loop", {})]), Step("Done.")) as script:
        await asked(script, plain, on_the_loop)
    assert where[0] is not threading.main_thread() and where[1] is threading.main_thread()


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (None, {"result": "done"}),
        (0, {"result": 0}),
        (False, {"result": False}),
        ("", {"result": ""}),
        ([], {"result": []}),
        ({"a": {1}}, {"result": {"a": [1]}}),
        ("x" * 600, {"result": "x" * 500, "cut": "these are the first 500 of 600 characters"}),
        (["y" * 600], {"result": '["' + "y" * 498, "cut": "these are the first 500 of 604 characters"}),
    ],
)
async def test_whatever_a_tool_returns_the_brain_goes_on_to_speak(result: Any, told: Any):
    def give() -> Any:
        """Gives something."""
        return result

    async with scripted(Step(calls=[("give", {})]), Step("So it is.")) as script:
        assert await asked(script, give) == "So it is."
        assert script.results() == [told]


async def fails() -> None:
    """Fails."""
    raise ConnectionError("password hunter2 was refused")


def fails_too() -> None:
    """Fails in its thread."""
    raise StopIteration


def refuses() -> None:
    """Says why it cannot."""
    raise ToolError("the shop is closed")


async def hangs() -> None:
    """Hangs."""
    await asyncio.sleep(60)


async def hangs_on() -> None:
    """Hangs, and does not heed its end."""
    for _ in range(3):
        try:
            await asyncio.sleep(0.3)
        except asyncio.CancelledError:
            continue


async def leaves() -> None:
    """Wants the whole process to end."""
    raise SystemExit(1)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (fails, "fails failed (ConnectionError) and gave no result"),
        (fails_too, "fails_too failed (RuntimeError) and gave no result"),
        (refuses, "the shop is closed"),
        (hangs, "hangs took longer than 0.2 seconds and was given up"),
        (hangs_on, "hangs_on took longer than 0.2 seconds and was given up"),
        (leaves, "leaves failed (RuntimeError) and gave no result"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_a_tool_that_fails_or_hangs_is_told_to_the_brain_and_to_nobody_else(function: Any, told: str):
    async with scripted(Step(calls=[(function.__name__, {})]), Step("Sorry, that failed.")) as script:
        assert await asked(script, function, timeout_secs=0.2) == "Sorry, that failed."
        assert script.results() == [{"error": told}]


async def test_a_function_that_hangs_in_its_thread_is_given_up_and_keeps_its_place():
    go_on = threading.Event()

    def waits() -> None:
        """Waits in its thread."""
        go_on.wait(30)

    steps = [Step(calls=[("waits", {})] * 4), Step(calls=[("waits", {})]), Step("All are busy.")]
    async with scripted(*steps) as script:
        try:
            assert await asked(script, waits, timeout_secs=0.2) == "All are busy."
            assert script.results()[-1] == {"error": "too many tools are running now; try again later"}
        finally:
            go_on.set()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "the argument city is missing; expected city (string), days (integer)"),
        ({"city": "Oslo", "days": "many"}, "days = 'many': input should be a valid integer"),
        ({"city": "Oslo", "hours": 3}, "there is no argument hours; expected city (string), days (integer)"),
        ('{"city": "Os', 'the arguments \'{"city": "Os\' are not a JSON object; expected one with city (string)'),
        ('["Oslo"]', "the arguments '[\"Oslo\"]' are not a JSON object"),
    ],
)
async def test_arguments_that_do_not_fit_are_told_with_what_was_wrong_where_and_what_was_expected(
    arguments: Any, told: str
):
    async with scripted(Step(calls=[("weather", arguments)]), Step("Which city?")) as script:
        assert await asked(script, weather) == "Which city?"
        (result,) = script.results()
        assert told in result["error"]


async def test_a_tool_that_does_not_exist_is_told():
    async with scripted(Step(calls=[("fly", {})]), Step("I cannot fly.")) as script:
        assert await asked(script, weather) == "I cannot fly."
        assert "fly" in script.results()[0]


async def test_two_calls_of_one_answer_run_at_the_same_time_and_are_answered_once():
    both = asyncio.Barrier(2)

    async def left() -> str:
        """One."""
        await both.wait()
        return "L"

    async def right() -> str:
        """The other."""
        await both.wait()
        return "R"

    async with scripted(Step(calls=[("left", {}), ("right", {})]), Step("Left and right.")) as script:
        assert await asked(script, left, right) == "Left and right."
        assert len(script.requests) == 2
        assert script.results() == [{"result": "L"}, {"result": "R"}]


async def test_while_a_tool_runs_the_conversation_goes_on_and_its_result_is_told_later():
    finished = asyncio.Event()

    async def report() -> str:
        """Writes a long report."""
        await finished.wait()
        return "the report is written"

    steps = [Step("One moment.", calls=[("report", {})]), Step("Two."), Step("Your report is written.")]
    async with scripted(*steps) as script, talking(brain_at(script.url), box(report)) as talk:
        assert await talk.ask("Write a report.") == "One moment."
        await talk.interrupt()
        assert await talk.ask("What is one plus one?") == "Two."
        assert "still running" in str(script.requests[-1]["messages"])
        finished.set()
        assert await talk.hear(2) == "Your report is written."
        told = script.requests[-1]["messages"][-1]
        assert told["role"] == "user" and "the report is written" in told["content"]
        assert script.faults == [] and talk.errors == []


async def test_a_tool_that_is_cancelled_by_an_interruption_leaves_a_history_that_an_endpoint_takes():
    ended = asyncio.Event()

    @tool_options(cancel_on_interruption=True)
    async def search() -> None:
        """Searches for long."""
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()

    steps = [Step(calls=[("search", {})]), Step("All right.")]
    async with scripted(*steps) as script, talking(brain_at(script.url), box(search)) as talk:
        await talk.say("Search.")
        await until(lambda: "tool_calls" in str(talk.context.get_messages()))
        await talk.interrupt()
        assert await talk.ask("Never mind.") == "All right."
        await asyncio.wait_for(ended.wait(), 5)
        assert script.results() == ["CANCELLED"]
        assert script.faults == [] and talk.errors == []


async def test_by_the_settings_every_tool_ends_with_an_interruption():
    async def search() -> None:
        """Searches for long."""
        await asyncio.sleep(30)

    steps = [Step(calls=[("search", {})]), Step("All right.")]
    async with scripted(*steps) as script, talking(brain_at(script.url), box(search, cancel=True)) as talk:
        await talk.say("Search.")
        await until(lambda: "tool_calls" in str(talk.context.get_messages()))
        await talk.interrupt()
        assert await talk.ask("Never mind.") == "All right."
        assert script.results() == ["CANCELLED"]


async def test_a_direct_function_of_pipecat_is_a_tool_as_it_is():
    async def order(params: FunctionCallParams, dish: str):
        """Orders a dish."""
        await params.result_callback({"ordered": dish, "as": params.function_name})

    async with scripted(Step(calls=[("order", {"dish": "soup"})]), Step("It comes.")) as script:
        assert await asked(script, order) == "It comes."
        assert list(script.requests[0]["tools"][0]["function"]["parameters"]["properties"]) == ["dish"]
        assert script.results() == [{"result": {"ordered": "soup", "as": "order"}}]


async def test_a_direct_function_may_tell_how_far_it_is():
    finished = asyncio.Event()

    async def bake(params: FunctionCallParams):
        """Bakes a cake."""
        await params.result_callback("half", properties=FunctionCallResultProperties(is_final=False, run_llm=True))
        await finished.wait()
        return "baked"

    steps = [Step(calls=[("bake", {})]), Step("It is half done."), Step("It is baked.")]
    async with scripted(*steps) as script, talking(brain_at(script.url), box(bake)) as talk:
        assert await talk.ask("Bake a cake.") == "It is half done."
        finished.set()
        assert await talk.hear(1) == "It is baked."
        assert script.faults == [] and talk.errors == []


async def test_a_brain_that_calls_without_end_must_speak():
    steps = [Step(calls=[("weather", {"city": "Oslo"})]) for _ in range(3)]
    async with scripted(*steps, Step("Enough.")) as script:
        assert await asked(script, weather, max_calls=3) == "Enough."
    assert ["tools" in request for request in script.requests] == [True, True, True, False]


async def test_a_brain_that_wants_more_calls_than_it_may_gets_some():
    steps = [Step(calls=[("weather", {"city": "Oslo"})] * 5), Step("Enough.")]
    async with scripted(*steps) as script:
        assert await asked(script, weather, max_calls=3) == "Enough."
    assert len(script.results()) == 3


async def test_a_brain_that_calls_what_it_was_not_given_and_says_nothing_is_at_fault():
    steps = [Step(calls=[("weather", {"city": "Oslo"})]), Step(calls=[("weather", {"city": "Oslo"})])]
    async with scripted(*steps) as script, talking(brain_at(script.url), box(weather, max_calls=1)) as talk:
        await talk.say("How is the weather?")
        await until(lambda: bool(talk.errors))
        assert "calls tools without end" in talk.errors[0].error


@pytest.mark.parametrize("status", [400, 404, 500, 501])
async def test_an_endpoint_that_takes_no_tools_is_asked_without_from_then_on(status: int):
    refusal = Step(status=status, error="this model does not support tools")
    tools = box(weather)
    steps = [refusal, Step("Hello."), Step("Still here.")]
    async with scripted(*steps) as script, talking(brain_at(script.url), tools) as talk:
        assert await talk.ask("Hello?") == "Hello."
        assert await talk.ask("And now?") == "Still here."
        assert talk.errors == []
    assert ["tools" in request for request in script.requests] == [True, False, False]
    assert tools.are_refused and tools.schema() is None


async def test_a_refusal_that_does_not_speak_of_tools_is_believed_the_second_time():
    tools = box(weather)
    steps = [Step(status=400), Step("One."), Step(status=400), Step("Two.")]
    async with scripted(*steps) as script, talking(brain_at(script.url), tools) as talk:
        assert await talk.ask("One?") == "One."
        assert not tools.are_refused
        assert await talk.ask("Two?") == "Two."
        assert tools.are_refused


@pytest.mark.parametrize("status", [401, 403, 429, 503])
async def test_other_refusals_are_told_after_one_try(status: int):
    async with scripted(Step(status=status)) as script, talking(brain_at(script.url), box(weather)) as talk:
        await talk.say("Hello?")
        await until(lambda: bool(talk.errors))
        assert len(script.requests) == 1


async def test_an_endpoint_that_refuses_with_and_without_tools_is_told_as_it_is():
    refusals = [Step(status=400, error="tools?"), Step(status=400, error="anyway")]
    tools = box(weather)
    async with scripted(*refusals) as script, talking(brain_at(script.url), tools) as talk:
        await talk.say("Hello?")
        await until(lambda: bool(talk.errors))
        assert len(script.requests) == 2 and not tools.are_refused


async def test_words_beyond_the_sentences_allowed_do_not_cost_the_call():
    steps = [Step("One. Two. Three. Four.", calls=[("weather", {"city": "Oslo"})]), Step("Clear.")]
    async with scripted(*steps) as script, talking(brain_at(script.url, max_sentences=2), box(weather)) as talk:
        await talk.say("How is the weather?")
        await until(lambda: "Clear." in talk.answers)
        assert talk.answers[0].strip() == "One. Two."
