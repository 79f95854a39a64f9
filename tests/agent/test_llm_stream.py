"""The brain of a call against a real endpoint: its words, its silence, its faults."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from openai import APIConnectionError, APIStatusError, AsyncOpenAI
from pipecat.frames.frames import ErrorFrame, LLMContextFrame, LLMFullResponseEndFrame, LLMTextFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.tests.utils import run_test

from agent.brain import Brain, open_brain
from agent.llm import BrainLLMService, BrainTimeout, new_client
from configs.settings import BrainSettings
from tests.agent.conftest import Endpoint


async def brain_at(endpoint: Endpoint, **settings: Any) -> Brain:
    return await open_brain(BrainSettings.model_validate({"base_url": f"{endpoint.url}/v1", **settings}))


async def ask(brain: Brain, *messages: Any) -> tuple[str, list[ErrorFrame]]:
    context = LLMContext(messages=[*messages] or [{"role": "user", "content": "Hello?"}])
    async with new_client(brain) as client:
        return await ask_through(client, brain, context)


async def ask_through(client: AsyncOpenAI, brain: Brain, context: LLMContext) -> tuple[str, list[ErrorFrame]]:
    down, up = await run_test(BrainLLMService(brain, client), frames_to_send=[LLMContextFrame(context)])
    assert any(isinstance(frame, LLMFullResponseEndFrame) for frame in down)
    words = "".join(frame.text for frame in down if isinstance(frame, LLMTextFrame))
    return words, [frame for frame in up if isinstance(frame, ErrorFrame)]


async def test_the_words_come_as_the_endpoint_says_them(endpoint: Endpoint):
    brain = await brain_at(endpoint, api_key="sk-1", temperature=0.3, max_tokens=77, system_prompt="Be kind.")
    assert await ask(brain) == ("Hello there.", [])
    (request,) = endpoint.requests
    assert request["model"] == "first-model" and request["stream"] is True
    assert (request["temperature"], request["max_tokens"]) == (0.3, 77)
    assert request["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello?"},
    ]
    assert endpoint.keys[-1] == "Bearer sk-1"


async def test_an_unset_temperature_is_left_to_the_endpoint(endpoint: Endpoint):
    await ask(await brain_at(endpoint))
    assert "temperature" not in endpoint.requests[0]


async def test_a_long_answer_is_cut_after_its_sentences_and_the_endpoint_told_to_stop(endpoint: Endpoint):
    endpoint.words = ["One. ", "Two. ", "Three. ", *["More. "] * 50]
    endpoint.stall_before = 10
    words, errors = await ask(await brain_at(endpoint, max_sentences=2))
    assert words.strip() == "One. Two." and errors == []
    await asyncio.wait_for(endpoint.hung_up.wait(), 5)


@pytest.mark.parametrize("stall_before", [0, 1])
async def test_an_endpoint_that_falls_silent_is_given_up_and_hung_up_on(endpoint: Endpoint, stall_before: int):
    endpoint.stall_before = stall_before
    words, (error, *more) = await ask(await brain_at(endpoint, timeout_secs=0.3))
    assert words == "Hello"[: 5 * stall_before] and more == []
    assert isinstance(error.exception, BrainTimeout) and not error.fatal
    await asyncio.wait_for(endpoint.hung_up.wait(), 5)


@pytest.mark.parametrize("status", [401, 404, 429, 500])
async def test_a_refusal_is_told_after_one_try(endpoint: Endpoint, status: int):
    endpoint.chat_status = status
    words, (error,) = await ask(await brain_at(endpoint))
    assert words == "" and not error.fatal
    assert isinstance(error.exception, APIStatusError) and error.exception.status_code == status
    assert len(endpoint.requests) == 1


async def test_an_endpoint_that_is_down_is_told(endpoint: Endpoint):
    brain = replace(await brain_at(endpoint), base_url="http://127.0.0.1:9/v1")
    _, (error,) = await ask(brain)
    assert isinstance(error.exception, APIConnectionError)


async def test_only_the_latest_of_a_long_conversation_is_sent(endpoint: Endpoint):
    brain = replace(await brain_at(endpoint), history_messages=6, examples=(("Hi.", "Hello."),))
    turns = [{"role": role, "content": f"{role} {number}"} for number in range(10) for role in ("user", "assistant")]
    await ask(brain, *brain.opening_messages(), *turns, {"role": "user", "content": "last"})
    sent = [message["content"] for message in endpoint.requests[0]["messages"][1:]]
    assert sent[:2] == ["Hi.", "Hello."]
    assert sent[2:] == ["user 9", "assistant 9", "last"]


async def test_calls_share_one_client_and_the_end_of_one_leaves_it_open(endpoint: Endpoint):
    brain = await brain_at(endpoint)
    context = LLMContext(messages=[{"role": "user", "content": "Hello?"}])
    async with new_client(brain) as client:
        for _ in range(2):
            assert await ask_through(client, brain, context) == ("Hello there.", [])
    assert len(endpoint.requests) == 2


async def test_what_one_call_says_does_not_reach_another(endpoint: Endpoint):
    brain = await brain_at(endpoint)
    contexts = [LLMContext(messages=[{"role": "user", "content": name}]) for name in ("Ann", "Bob")]
    async with new_client(brain) as client:
        await asyncio.gather(*(ask_through(client, brain, context) for context in contexts))
    assert sorted(request["messages"][-1]["content"] for request in endpoint.requests) == ["Ann", "Bob"]
    assert all(len(request["messages"]) == 2 for request in endpoint.requests)
