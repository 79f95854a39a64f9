"""Conversations that last: what was said early is summarised, and what is sent stays within bounds."""

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, cast

import httpx2 as httpx  # What OpenAI's client is made of.
import pytest
from loguru import logger
from openai import AsyncOpenAI
from pipecat.processors.aggregators.llm_context import LLMContext

from agent.brain import Brain
from agent.history import SUMMARY_MARK, calls_since_caller, is_summary, trim_history
from agent.llm import SUMMARY_PAUSE_SECS, SUMMARY_WRITING_SECS
from agent.tools.toolbox import ToolBox
from tests.agent.conftest import Endpoint
from tests.agent.test_llm_stream import brain_at as brain_of
from tests.agent.tools.talking import Talk, box, brain_at, fault_of, talking
from tests.agent.virtual_time import VirtualLoop, virtually

TURN_SECS = 20.0
HOUR_SECS = 3600.0
SOME_SECS = 600.0
FACT = "My name is Ada and my order is 4711."


@dataclass
class Mind:
    """An endpoint in memory: it answers at length, looks things up, and writes summaries that keep the order."""

    summary_status: int = 200
    summary_secs: float = 4.0
    requests: list[dict[str, Any]] = field(default_factory=list)
    summaries: list[str] = field(default_factory=list)
    summary_requests: list[dict[str, Any]] = field(default_factory=list)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        if not body["stream"]:
            return await self._summary(body)
        self.requests.append(body)
        assert fault_of(body["messages"]) is None
        last = body["messages"][-1]
        asks = "tools" in body and last["role"] == "user" and "look" in last["content"]
        delta: dict[str, Any] = {"content": f"Answer {len(self.requests)}. " + "So it is, I am sure of it. " * 4}
        if asks:
            call = {"index": 0, "id": f"c{len(self.requests)}", "function": {"name": "look", "arguments": "{}"}}
            delta = {"tool_calls": [call]}
        choice = {"index": 0, "delta": {"role": "assistant", **delta}, "finish_reason": None}
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
        return httpx.Response(
            200, headers={"Content-Type": "text/event-stream"}, text=f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n"
        )

    async def _summary(self, body: dict[str, Any]) -> httpx.Response:
        self.summary_requests.append(body)
        await asyncio.sleep(self.summary_secs)
        transcript = body["messages"][-1]["content"]
        self.summaries.append(transcript)
        if self.summary_status != 200:
            return httpx.Response(self.summary_status, json={"error": {"message": transcript}})
        content = f"Ada, order 4711, summary {len(self.summaries)}." if "4711" in transcript else "Nothing."
        message = {"role": "assistant", "content": content}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return httpx.Response(
            200, json={"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
        )

    def client(self) -> AsyncOpenAI:
        http = httpx.AsyncClient(transport=httpx.MockTransport(self.answer))
        client = AsyncOpenAI(api_key="k", base_url="http://mind/v1", max_retries=0, http_client=http)
        # It would find this out in a thread, for which virtual time does not wait.
        client._platform = "Linux"
        return client


async def look() -> str:
    """Looks something up."""
    return "found " * 40


@pytest.fixture(autouse=True)
def quietly() -> Iterator[None]:
    """Pipecat writes the whole conversation into its log at each turn."""
    logger.disable("pipecat")
    yield
    logger.enable("pipecat")


def converse(
    mind: Mind,
    brain: Brain,
    *,
    secs: float = SOME_SECS,
    tools: ToolBox | None = None,
    each: Callable[[Talk], Any] | None = None,
) -> Talk:
    """A conversation of so many seconds, a turn each `TURN_SECS`."""

    async def talk_on(loop: VirtualLoop) -> Talk:
        async with talking(brain, tools or ToolBox(), client=mind.client()) as talk:
            turn = 0
            while loop.time() < secs:
                turn += 1
                asked = "please look it up" if turn % 5 == 0 else "and what then, if I may ask"
                await talk.say(FACT if turn == 1 else f"Turn {turn}: {asked}?")
                await asyncio.sleep(TURN_SECS)
                if each is not None:
                    await each(talk)
            return talk

    return virtually(talk_on)


def sent_chars(request: dict[str, Any]) -> int:
    messages = request["messages"][1:]
    return sum(len(str(message.get("content") or "")) for message in messages)


SUMMARISING = brain_at("http://mind/v1", context_tokens=4096, summarize_share=0.6)


def test_after_an_hour_an_early_fact_is_still_known_and_what_is_sent_is_bounded():
    mind = Mind()
    talk = converse(mind, SUMMARISING, secs=HOUR_SECS, tools=box(look))
    assert len(mind.requests) >= HOUR_SECS / TURN_SECS and talk.errors == []
    assert max(sent_chars(request) for request in mind.requests) <= SUMMARISING.history_chars
    assert max(len(request["messages"]) for request in mind.requests) <= SUMMARISING.history_messages + 2
    first = mind.requests[-1]["messages"][1]
    assert is_summary(first) and "order 4711" in first["content"]
    assert 3 <= len(mind.summaries) <= 40
    # Each summary is built on the one before.
    assert all(SUMMARY_MARK in transcript for transcript in mind.summaries[1:])
    assert "look" in str(mind.requests[-1]["tools"])


def test_summaries_that_fail_cost_the_caller_nothing():
    mind = Mind(summary_status=500)
    talk = converse(mind, SUMMARISING)
    assert talk.errors == []
    assert len(talk.answers) > 0 and len(mind.requests) == SOME_SECS / TURN_SECS
    assert max(sent_chars(request) for request in mind.requests) <= SUMMARISING.history_chars
    # One try a minute, not one a turn.
    assert 2 < len(mind.summaries) <= SOME_SECS / SUMMARY_PAUSE_SECS


def test_a_summary_that_is_never_written_is_given_up():
    mind = Mind(summary_secs=10_000)
    talk = converse(mind, SUMMARISING)
    assert talk.errors == [] and len(mind.requests) == SOME_SECS / TURN_SECS
    assert 2 < len(mind.summary_requests) <= SOME_SECS / (SUMMARY_WRITING_SECS + SUMMARY_PAUSE_SECS)


class Slots:
    """The part of a server in this process that gives a conversation its place."""

    def take_slot(self) -> int:
        return 3

    def release_slot(self, slot: int) -> None: ...


def test_in_this_process_a_conversation_stays_in_its_slot_and_a_summary_takes_another():
    mind = Mind()
    converse(mind, replace(SUMMARISING, server=cast(Any, Slots())))
    assert {request.get("id_slot") for request in mind.requests} == {3}
    assert mind.summaries and {request.get("id_slot") for request in mind.summary_requests} == {None}


def test_a_summary_that_takes_long_is_applied_though_the_caller_interrupts_meanwhile():
    async def interrupt(talk: Talk) -> None:
        await talk.interrupt()

    mind = Mind(summary_secs=23)
    converse(mind, SUMMARISING, each=interrupt)
    assert any("order 4711" in str(request["messages"][1]) for request in mind.requests[-3:])
    assert all(transcript.count("USER:") < 60 for transcript in mind.summaries)


def test_the_packaged_model_is_never_asked_for_a_summary():
    mind = Mind()
    small = brain_at("http://mind/v1", small=True, context_tokens=2048, history_messages=8, summarize_share=0.6)
    converse(mind, small)
    assert mind.summaries == []
    assert max(len(request["messages"]) for request in mind.requests) <= 9


def test_without_a_share_the_oldest_words_are_only_forgotten():
    mind = Mind()
    converse(mind, brain_at("http://mind/v1", context_tokens=4096), secs=2 * SOME_SECS)
    assert mind.summaries == []
    assert "4711" not in str(mind.requests[-1]["messages"])


def message(role: str, content: str = "", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def call_and_result(number: int, size: int = 4) -> list[dict[str, Any]]:
    call = {"id": f"c{number}", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    return [{"role": "assistant", "tool_calls": [call]}, message("tool", "r" * size, tool_call_id=f"c{number}")]


@pytest.mark.parametrize("seed", range(60))
def test_however_a_conversation_is_shortened_calls_and_results_stay_together(seed: int):
    chance = random.Random(seed)
    messages: list[Any] = [message("user", SUMMARY_MARK + " Ada.")] if seed % 2 else []
    for number in range(chance.randint(1, 40)):
        messages.append(message("user", "u" * chance.randint(1, 200)))
        for again in range(chance.choice([0, 0, 1, 2, 7])):
            messages += call_and_result(100 * number + again, chance.randint(1, 900))
        if chance.random() < 0.8:
            messages.append(message("assistant", "a" * chance.randint(1, 200)))
    last = next(each for each in reversed(messages) if each["role"] == "user")
    context = LLMContext(messages=[*messages])
    most, most_chars = chance.randint(3, 30), chance.randint(400, 3000)
    trim_history(context, most, most_chars=most_chars)
    left: list[Any] = context.get_messages()
    assert fault_of(left) is None
    assert any(each["role"] == "user" and last["content"].endswith(each["content"]) for each in left)
    assert left[0]["role"] == "user"
    assert not seed % 2 or is_summary(left[0])
    said = [each for each in left if not is_summary(each)]
    assert len(said) <= max(most, 3) and sum(len(each.get("content") or "") for each in left) <= most_chars + 1


def test_calls_are_counted_from_the_callers_last_words():
    messages = [message("user", "one"), *call_and_result(1), message("user", "two"), *call_and_result(2)]
    assert calls_since_caller([*messages, *call_and_result(3)]) == 2
    assert calls_since_caller([]) == 0


@pytest.mark.parametrize(
    ("told", "context_tokens"),
    [
        ({"max_model_len": 32768}, 32768),
        ({"meta": {"n_ctx": 4096}}, 4096),
        ({"context_length": 131072}, 131072),
        ({"max_model_len": "many"}, None),
        ({}, None),
    ],
)
async def test_the_endpoint_is_asked_for_its_context(endpoint: Endpoint, told: dict[str, Any], context_tokens: Any):
    endpoint.told = told
    brain = await brain_of(endpoint)
    assert brain.context_tokens == context_tokens
    assert (await brain_of(endpoint, context_tokens=1000)).context_tokens == 1000
    assert brain.history_chars == 2 * ((context_tokens or 8192) - 200 - 384)
