"""How calls end, and that nothing of them is left."""

import asyncio
import os
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest
import uvicorn

from agent.calls import Calls
from agent.engines import load_engines
from agent.metrics import Metrics
from agent.server import create_app
from configs.loading import load_settings
from scripts.served import COMMAND, ServedAgent
from tests.e2e.conftest import channels, word_error_rate
from tests.e2e.echo_brain import EchoBrain
from transports.caller import CallDropped, CallOptions, CallRefused, NoAnswer, place_call

ServedWith = Callable[..., AbstractContextManager[ServedAgent]]
WARM_CALLS = 3
ROW_OF_CALLS = 12
ROW_GROWTH_MIB = 18
ONE_CALL_MIB = 1228
FURTHER_CALL_MIB = 35


def calls_now(agent: ServedAgent) -> int:
    return int(httpx.get(f"{agent.url}/health").json()["active_calls"])


async def until(condition: Callable[[], bool], secs: float) -> bool:
    """Whether the condition became true within `secs`."""
    deadline = time.monotonic() + secs
    while time.monotonic() < deadline:
        if await asyncio.to_thread(condition):
            return True
        await asyncio.sleep(0.1)
    return False


def open_files() -> set[str]:
    """What this process has open, sockets among it, but for what libraries keep for the process' life."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            continue
        found.add(f"{number}:{target}")
    return found


async def test_a_hang_up_leaves_no_task_thread_or_socket(brain: EchoBrain, questions: list[Path]) -> None:
    settings = load_settings(env_file=None, environ={"VOICE_AGENT_BRAIN__BASE_URL": brain.url})
    metrics = Metrics()
    calls = Calls(settings.server, metrics)
    engines = await load_engines(settings, lambda _: None)
    config = uvicorn.Config(create_app(settings, calls, metrics, dict), port=0, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    calls.open(engines)

    async def converse() -> tuple[set[asyncio.Task[object]], set[threading.Thread], set[str]]:
        await place_call(CallOptions(url, [questions[0]]))
        while calls.count:
            await asyncio.sleep(0.05)
        await asyncio.sleep(2.5)  # The HTTP connections of the caller and of the brain's client close on their own.
        workers = {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}
        return asyncio.all_tasks(), workers, open_files()

    # The first call builds what the process keeps, such as the loop's own executor.
    await converse()
    tasks, threads, files = await converse()
    tasks_after, threads_after, files_after = await converse()
    assert {task.get_name() for task in tasks_after - tasks} == set()
    assert {thread.name for thread in threads_after - threads} == set()
    assert len(files_after) <= len(files), files_after - files

    await calls.close()
    server.should_exit = True
    await serving
    await engines.close()


async def test_a_caller_that_vanishes_is_noticed(echo_agent: ServedAgent, questions: list[Path]) -> None:
    command = [str(COMMAND), "call", echo_agent.url, "--wav", str(questions[0]), "--hold", "60"]
    caller = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert await until(lambda: calls_now(echo_agent) == 1, 15)
        await asyncio.sleep(4)
    finally:
        caller.kill()
        caller.wait()
    assert await until(lambda: calls_now(echo_agent) == 0, 10)
    assert any("call ended" in line and "vanished" in line for line in echo_agent.lines)


async def test_a_full_server_says_so_at_once(served_with: ServedWith, questions: list[Path]) -> None:
    with served_with(server__max_calls="1") as agent:
        running = asyncio.create_task(place_call(CallOptions(agent.url, [questions[0]], hold_secs=3)))
        assert await until(lambda: calls_now(agent) == 1, 15)
        with pytest.raises(CallRefused, match="busy"):
            await place_call(CallOptions(agent.url, [questions[0]]))
        async with httpx.AsyncClient() as client:
            refused = await client.post(f"{agent.url}/start", json={})
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert refused.json()["error"]["code"] == "server_full"
        # The call that was running noticed nothing.
        assert (await running).turns[0].reply


async def test_a_call_that_is_too_long_is_told_and_ended(
    served_with: ServedWith, questions: list[Path], tmp_path: Path, transcribe: Callable[..., str]
) -> None:
    with served_with(server__max_call_secs="9", log__format="json") as agent:
        options = CallOptions(agent.url, [questions[0]], hold_secs=30, record=tmp_path / "call.wav")
        report = await place_call(options)
        assert report.ending == "time_limit"
        _, heard, rate = channels(tmp_path / "call.wav")
        assert "time limit" in transcribe(heard, rate).lower()


async def test_a_silent_caller_is_told_and_hung_up(
    served_with: ServedWith, questions: list[Path], tmp_path: Path, transcribe: Callable[..., str]
) -> None:
    with served_with(server__idle_secs="4") as agent:
        options = CallOptions(agent.url, [questions[0]], hold_secs=40, record=tmp_path / "call.wav")
        report = await place_call(options)
        assert report.ending == "idle"
        _, heard, rate = channels(tmp_path / "call.wav")
        assert "hanging up" in transcribe(heard, rate).lower()


async def test_a_server_that_stops_says_farewell(served_with: ServedWith, questions: list[Path]) -> None:
    with served_with(server__shutdown_secs="10") as agent:
        running = asyncio.create_task(place_call(CallOptions(agent.url, [questions[0]], hold_secs=40)))
        assert await until(lambda: calls_now(agent) == 1, 15)
        await asyncio.sleep(6)
        agent.process.terminate()
        report = await running
        assert report.ending == "shutdown"
        assert await until(lambda: agent.process.poll() is not None, 15)
        assert agent.process.returncode == 0


@pytest.mark.parametrize(
    ("mode", "sentence"),
    [("refuse", "my brain does not accept its key"), ("stall", "my brain is taking too long")],
)
async def test_a_brain_that_fails_is_told_aloud_and_the_call_goes_on(
    served_with: ServedWith,
    brain: EchoBrain,
    questions: list[Path],
    tmp_path: Path,
    transcribe: Callable[..., str],
    mode: str,
    sentence: str,
) -> None:
    with served_with(brain__timeout_secs="2") as agent:
        brain.mode = mode
        try:
            broken = CallOptions(agent.url, [questions[0]], record=tmp_path / "call.wav")
            report = await place_call(broken)
        finally:
            brain.mode = "echo"
        _, heard, rate = channels(tmp_path / "call.wav")
        assert sentence in transcribe(heard, rate).lower()
        assert any(sentence in problem for problem in report.problems)
        assert any("brain failed" in line for line in agent.lines)
        mended = await place_call(CallOptions(agent.url, [questions[0]]))
        assert word_error_rate(f"You said {mended.turns[0].heard}", mended.turns[0].reply) <= 0.2


async def test_a_brain_that_is_down_keeps_the_agent_from_being_ready(
    served_with: ServedWith, questions: list[Path], tmp_path: Path, transcribe: Callable[..., str]
) -> None:
    with served_with(brain__base_url="http://127.0.0.1:9/v1") as agent:
        ready = httpx.get(f"{agent.url}/ready")
        assert ready.status_code == 503
        assert "does not answer" in ready.json()["reason"]
        await place_call(CallOptions(agent.url, [questions[0]], record=tmp_path / "call.wav"))
        _, heard, rate = channels(tmp_path / "call.wav")
        assert "cannot reach my brain" in transcribe(heard, rate).lower()


async def test_malformed_requests_cost_a_running_call_nothing(echo_agent: ServedAgent, questions: list[Path]) -> None:
    running = asyncio.create_task(place_call(CallOptions(echo_agent.url, [questions[0], questions[1]])))
    async with httpx.AsyncClient(base_url=echo_agent.url) as client:
        while not running.done():
            for body in ({}, {"type": "offer", "sdp": "v=0"}, {"type": "answer", "sdp": ""}, [], "x" * 400_000):
                response = await client.post("/api/offer", json=body)
                assert 400 <= response.status_code < 500
                assert response.json()["error"]["where"]
            await asyncio.sleep(0.2)
    report = await running
    assert [turn.interrupted for turn in report.turns] == [False, False]
    assert all(turn.reply for turn in report.turns)


async def test_a_row_of_calls_does_not_grow_memory(echo_agent: ServedAgent, questions: list[Path]) -> None:
    async def short_call() -> None:
        try:
            await place_call(CallOptions(echo_agent.url, [questions[3]], settle_secs=0.2, lead_secs=0.2))
        except (NoAnswer, CallDropped) as error:
            raise AssertionError(str(error)) from error

    for _ in range(WARM_CALLS):
        await short_call()
    before = echo_agent.resident_mib()
    for _ in range(ROW_OF_CALLS):
        await short_call()
    assert await until(lambda: calls_now(echo_agent) == 0, 10)
    assert echo_agent.resident_mib() - before < ROW_GROWTH_MIB


async def test_memory_of_calls_that_run_at_once(agent: ServedAgent, questions: list[Path]) -> None:
    resident = []
    running = []
    for count in range(1, 4):
        options = CallOptions(agent.url, [questions[0]], hold_secs=90, answer_timeout_secs=60)
        running.append(asyncio.create_task(place_call(options)))
        assert await until(lambda count=count: calls_now(agent) == count, 15)
        await asyncio.sleep(5)
        resident.append(agent.resident_mib())
    for call in running:
        call.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert resident[0] <= ONE_CALL_MIB
    assert (resident[2] - resident[0]) / 2 <= FURTHER_CALL_MIB, resident
    assert await until(lambda: calls_now(agent) == 0, 12)
