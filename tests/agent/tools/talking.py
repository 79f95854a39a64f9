"""A conversation through Pipecat's own aggregators with a brain that says and calls what a test wrote."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from openai import AsyncOpenAI
from pipecat.frames.frames import ErrorFrame, Frame, InterruptionFrame, LLMMessagesAppendFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import NOT_GIVEN, LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.workers.runner import WorkerRunner

from agent.brain import Brain
from agent.history import assistant_params
from agent.llm import BrainLLMService
from agent.tools.functions import function_tool
from agent.tools.guard import Bounds
from agent.tools.threads import ToolThreads
from agent.tools.toolbox import ToolBox
from tests.agent.conftest import until


@dataclass
class Step:
    """One answer: words, then calls as (name, arguments); arguments that are no dict go out as they are."""

    words: str = ""
    calls: Sequence[tuple[str, Any]] = ()
    status: int = 200
    error: str = "refused"
    pieces: list[dict[str, Any]] | None = None
    """Deltas to send as they are, in place of words and calls."""

    def deltas(self, number: int) -> list[dict[str, Any]]:
        if self.pieces is not None:
            return self.pieces
        deltas: list[dict[str, Any]] = [{"content": self.words}] if self.words else []
        for index, (name, arguments) in enumerate(self.calls):
            text = json.dumps(arguments) if isinstance(arguments, dict) else arguments
            half = len(text) // 2
            head = {"name": name, "arguments": text[:half]}
            deltas.append({"tool_calls": [{"index": index, "id": f"call_{number}_{index}", "function": head}]})
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": text[half:]}}]})
        return deltas


@dataclass
class Script:
    """An endpoint that gives these answers in turn, and refuses a history that OpenAI would refuse."""

    steps: list[Step] = field(default_factory=list)
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    summary: str = "Nothing of note."

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        if fault := fault_of(body["messages"]):
            self.faults.append(fault)
            return web.json_response({"error": {"message": fault}}, status=400)
        number = len(self.requests)
        step = self.steps.pop(0) if self.steps else Step("Well.")
        if step.status != 200:
            return web.json_response({"error": {"message": step.error}}, status=step.status)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for delta in step.deltas(number):
            choice = {"index": 0, "delta": {"role": "assistant", **delta}, "finish_reason": None}
            chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
            await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    def results(self) -> list[Any]:
        """What the tools gave, as the newest request has it."""
        return [_read(message["content"]) for message in self.requests[-1]["messages"] if message["role"] == "tool"]


def fault_of(messages: list[dict[str, Any]]) -> str | None:
    """What OpenAI would say against a history: every call has its result right behind it, every result its call."""
    open_calls: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                return f"result {message['tool_call_id']} without a call"
            open_calls.discard(message["tool_call_id"])
        elif open_calls:
            return f"calls without results: {', '.join(sorted(open_calls))}"
        if message.get("tool_calls"):
            open_calls = {call["id"] for call in message["tool_calls"]}
            for call in message["tool_calls"]:
                if not isinstance(json.loads(call["function"]["arguments"]), dict):
                    return "arguments are no object"
    return f"calls without results: {', '.join(sorted(open_calls))}" if open_calls else None


def _read(content: str) -> Any:
    try:
        return json.loads(content)
    except json.JSONDecodeError:
        return content


@asynccontextmanager
async def scripted(*steps: Step) -> AsyncIterator[Script]:
    script = Script(list(steps))
    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", script.chat)])
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    script.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield script
    finally:
        await runner.cleanup()


def brain_at(url: str, **given: Any) -> Brain:
    settings: dict[str, Any] = {
        "label": "test",
        "base_url": url,
        "model": "m",
        "api_key": "k",
        "small": False,
        "system_prompt": "Be kind.",
        "temperature": None,
        "max_tokens": 100,
        "max_sentences": None,
        "history_messages": 60,
        "timeout_secs": 5,
        **given,
    }
    return Brain(**settings)


def box(*functions: Callable[..., Any], timeout_secs: float = 5, cancel: bool = False, **given: Any) -> ToolBox:
    """A tool box of functions."""
    threads = ToolThreads(4)
    bounds = Bounds(timeout_secs=timeout_secs, cancel_on_interruption=cancel, max_result_chars=500)
    return ToolBox([function_tool(function, threads) for function in functions], bounds=bounds, **given)


class Talk:
    """A conversation that runs."""

    def __init__(self, worker: PipelineWorker, context: LLMContext, llm: BrainLLMService):
        self.worker = worker
        self.context = context
        self.llm = llm
        self.errors: list[ErrorFrame] = []

    @property
    def answers(self) -> list[str]:
        """What the agent has said so far."""
        return [
            str(message.get("content"))
            for message in self.context.get_messages()
            if isinstance(message, dict) and message["role"] == "assistant" and message.get("content")
        ]

    async def say(self, words: str) -> None:
        message: Any = {"role": "user", "content": words}
        await self.worker.queue_frame(LLMMessagesAppendFrame([message], run_llm=True))

    async def ask(self, words: str) -> str:
        """Say something and wait for the next words of the agent."""
        before = len(self.answers)
        await self.say(words)
        return await self.hear(before)

    async def hear(self, before: int) -> str:
        await until(lambda: len(self.answers) > before, secs=60)
        return self.answers[-1]

    async def interrupt(self) -> None:
        await self.worker.queue_frame(InterruptionFrame())


@asynccontextmanager
async def talking(
    brain: Brain, tools: ToolBox, *, control: Any = None, client: AsyncOpenAI | None = None
) -> AsyncIterator[Talk]:
    """A conversation with a brain that has tools."""
    made = client or AsyncOpenAI(api_key="k", base_url=brain.base_url, max_retries=0)
    llm = BrainLLMService(brain, made, tools)
    context = LLMContext(tools=tools.schema() or NOT_GIVEN)
    user, assistant = LLMContextAggregatorPair(context, assistant_params=assistant_params(brain, llm))
    worker = PipelineWorker(Pipeline([user, llm, assistant]), cancel_on_idle_timeout=False, app_resources=control)
    talk = Talk(worker, context, llm)
    started = asyncio.Event()

    @worker.event_handler("on_pipeline_started")
    async def _(*_: Any) -> None:
        started.set()

    @worker.event_handler("on_pipeline_error")
    async def _(_: PipelineWorker, frame: Frame) -> None:
        assert isinstance(frame, ErrorFrame)
        talk.errors.append(frame)

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    try:
        await started.wait()
        yield talk
    finally:
        await runner.cancel(reason="end of the test")
        await running
        await made.close()
