"""What the operator counts and what the caller is told when something goes wrong in a call."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from openai import APIConnectionError, APIStatusError, APITimeoutError
from pipecat.frames.frames import ErrorFrame
from pipecat.processors.frame_processor import FrameProcessor

from agent.brain import Brain
from agent.llm import BrainLLMService, BrainTimeout, new_client
from agent.problems import problem_of
from engines.errors import EngineBusy, EngineFailed
from engines.voices import HibariEngine
from engines.whisper import WhisperEngine
from processors.stt import EngineSTTService
from processors.tts import EngineTTSService

REQUEST: Any = httpx.Request("POST", "http://127.0.0.1:9/v1/chat/completions")


@pytest.fixture
async def brain() -> AsyncIterator[BrainLLMService]:
    asked = Brain(
        label="test",
        base_url="http://127.0.0.1:9/v1",
        model="test",
        api_key="none",
        small=False,
        system_prompt="Be brief.",
        temperature=None,
        max_tokens=10,
        max_sentences=None,
        history_messages=10,
        timeout_secs=1,
    )
    async with new_client(asked) as client:
        yield BrainLLMService(asked, client)


def frame(processor: Any, exception: Exception | None) -> ErrorFrame:
    return ErrorFrame(error="it failed", processor=processor, exception=exception)


def status(code: int) -> APIStatusError:
    response: Any = httpx.Response(code, request=REQUEST)
    return APIStatusError("refused", response=response, body=None)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (BrainTimeout("no answer"), "taking too long"),
        (APITimeoutError(REQUEST), "taking too long"),
        (TimeoutError(), "taking too long"),
        (APIConnectionError(request=REQUEST), "cannot reach my brain"),
        (status(401), "does not accept its key"),
        (status(403), "does not accept its key"),
        (status(404), "does not know its model"),
        (status(500), "something went wrong in my brain"),
        (status(429), "something went wrong in my brain"),
        (ValueError("?"), "something went wrong in my brain"),
        (None, "something went wrong in my brain"),
    ],
)
async def test_a_fault_of_the_brain(brain: BrainLLMService, error: Exception | None, words: str):
    problem = problem_of(frame(brain, error))
    assert problem is not None and problem.kind == "brain" and problem.spoken is not None
    assert words in problem.spoken and problem.spoken.startswith("Sorry, ")


@pytest.mark.parametrize(
    ("error", "words"), [(EngineBusy("full"), "too many people"), (EngineFailed("x"), "could not hear"), (None, "hear")]
)
async def test_a_fault_of_the_ears(whisper: WhisperEngine, error: Exception | None, words: str):
    problem = problem_of(frame(EngineSTTService(engine=whisper), error))
    assert problem is not None and problem.kind == "stt" and problem.spoken is not None and words in problem.spoken


async def test_a_fault_of_the_voice_is_shown(hibari: HibariEngine):
    problem = problem_of(frame(EngineTTSService(engine=hibari), EngineFailed("x")))
    assert (
        problem is not None
        and problem.kind == "tts"
        and problem.spoken is not None
        and "my voice failed" in problem.spoken
    )


async def test_a_sentence_that_is_silent_by_right_is_not_told(hibari: HibariEngine):
    assert problem_of(frame(EngineTTSService(engine=hibari), None)) is None


@pytest.mark.parametrize("processor", [None, FrameProcessor])
async def test_a_fault_of_anything_else_is_counted_only(processor: type[FrameProcessor] | None):
    problem = problem_of(frame(processor() if processor else None, RuntimeError("x")))
    assert problem is not None and (problem.kind, problem.spoken) == ("pipeline", None)


async def test_no_internals_are_spoken(brain: BrainLLMService):
    problem = problem_of(frame(brain, ValueError("sk-secret in settings.env")))
    spoken = problem and problem.spoken
    assert spoken is not None and "sk-secret" not in spoken and "settings.env" not in spoken
