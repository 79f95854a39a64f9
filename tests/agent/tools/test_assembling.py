"""However a server sends its calls, Pipecat gets them whole, one a chunk."""

import json
from typing import Any

import pytest
from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall

from agent.tools.assembling import ToolCalls
from agent.tools.schema import MALFORMED


def piece(index: Any = 0, id: str | None = None, name: str | None = None, arguments: str | None = None) -> Any:
    function = {"name": name, "arguments": arguments}
    return ChoiceDeltaToolCall.model_construct(
        index=index, id=id, function=ChoiceDeltaToolCall.model_validate({"index": 0, "function": function}).function
    )


def assembled(*chunks: list[Any], most: int = 8) -> list[tuple[int, str, str, Any]]:
    calls = ToolCalls(most)
    for chunk in chunks:
        calls.take(chunk)
    whole = [chunk.choices[0].delta.tool_calls for chunk in calls.chunks()]
    assert all(calls is not None and len(calls) == 1 for calls in whole)
    found: list[Any] = [calls[0] for calls in whole if calls]
    return [(call.index, call.id, call.function.name, json.loads(call.function.arguments)) for call in found]


def test_pieces_as_openai_sends_them():
    chunks = [[piece(0, "a", "look", "")], [piece(0, arguments='{"x"')], [piece(0, arguments=": 1}")]]
    chunks += [[piece(1, "b", "see", '{"y":')], [piece(1, arguments=" 2}")]]
    assert assembled(*chunks) == [(0, "a", "look", {"x": 1}), (1, "b", "see", {"y": 2})]


def test_whole_calls_in_one_chunk():
    chunk = [piece(0, "a", "look", '{"x": 1}'), piece(1, "b", "see", '{"y": 2}')]
    assert assembled(chunk) == [(0, "a", "look", {"x": 1}), (1, "b", "see", {"y": 2})]


def test_whole_calls_that_all_have_index_zero():
    chunks = [[piece(0, "a", "look", '{"x": 1}')], [piece(0, "b", "look", '{"x": 2}')]]
    assert assembled(*chunks) == [(0, "a", "look", {"x": 1}), (1, "b", "look", {"x": 2})]


def test_whole_calls_without_ids_get_ids_of_their_own():
    (first, second) = assembled([piece(0, None, "look", '{"x": 1}')], [piece(0, "", "look", '{"x": 1}')])
    assert first[2:] == second[2:] == ("look", {"x": 1})
    assert first[1].startswith("call_") and second[1].startswith("call_") and first[1] != second[1]


def test_a_name_and_an_id_in_every_piece_are_one_call():
    chunks = [[piece(0, "a", "look", '{"x":')], [piece(0, "a", "look", " 1}")]]
    assert assembled(*chunks) == [(0, "a", "look", {"x": 1})]


def test_an_index_of_none_is_the_first():
    assert assembled([piece(None, "a", "look", "{}")]) == [(0, "a", "look", {})]


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("", {}),
        ("null", {}),
        (" {} ", {}),
        ('{"x": 1', {MALFORMED: '{"x": 1'}),
        ("[1]", {MALFORMED: "[1]"}),
        ("x" * 999, {MALFORMED: "x" * 200}),
        ("[" * 100_000, {MALFORMED: "[" * 200}),
    ],
)
def test_arguments_are_always_an_object(text: str, arguments: Any):
    assert assembled([piece(0, "a", "look", text)]) == [(0, "a", "look", arguments)]


def test_a_name_that_no_endpoint_would_take_back_is_made_harmless():
    ((_, _, name, _),) = assembled([piece(0, "a", "look at/the sky!" + "x" * 99, "{}")])
    assert name.startswith("look_at_the_sky_") and len(name) == 64


def test_a_call_without_a_name_is_none_and_more_than_may_be_are_dropped():
    calls = ToolCalls(1)
    calls.take([piece(0, "a", None, "{}"), piece(1, "b", "look", "{}"), piece(2, "c", "see", "{}")])
    assert len(calls.chunks()) == 1 and calls.dropped == 1
