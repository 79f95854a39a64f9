"""The processes that a measurement needs: the agent, plain Pipecat, the scripted brain. On the loopback, and stopped
with it.
"""

import asyncio
import contextlib
import os
import re
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import httpx

from agent.bench.speech import BenchError
from agent.bench.talk.answers import is_same_answer
from agent.bench.talk.brain import READY as BRAIN_READY

ROOT = Path(__file__).parents[3]
OURS = ("-c", "from agent.cli import main; main()", "serve", "--port", "0", "--host", "127.0.0.1")
PLAIN = ("-m", "agent.bench.talk.baseline")
BRAIN = ("-m", "agent.bench.talk.brain")
READY = re.compile(r"Open (http://\S+) in a browser")
BRAIN_ADDRESS = re.compile(rf"{BRAIN_READY}(http://\S+)")

START_SECS = 120.0
STOP_SECS = 15.0
LINES = 40
"""So many of the last lines of a process are kept, for the message of its failure."""


class Running:
    """A process that was started; `address` waits until it is ready."""

    def __init__(self, command: Sequence[str], ready: re.Pattern[str], process: asyncio.subprocess.Process):
        self._command = command
        self._ready = ready
        self._process = process
        self._lines: deque[str] = deque(maxlen=LINES)
        self._address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read())

    @property
    def number(self) -> int:
        """The system's number of it."""
        return self._process.pid

    async def address(self) -> str:
        """What it printed when it was ready.

        Raises:
            BenchError: It ended, or was not ready in time; the message has its last lines.
        """
        # Cancelled by the timeout, the future would stay so.
        await asyncio.wait([self._address], timeout=START_SECS)
        if self._address.done() and (found := self._address.result()):
            return found
        said = "\n  ".join(self._lines) or "it printed nothing"
        raise BenchError(f"{' '.join(self._command)} did not become ready:\n  {said}")

    async def stop(self) -> None:
        """End it, by force where it does not by itself."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_SECS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reader

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for raw in self._process.stdout:
            self._lines.append(raw.decode(errors="replace").rstrip())
            if (found := self._ready.search(self._lines[-1])) and not self._address.done():
                self._address.set_result(found[1])
        if not self._address.done():
            self._address.set_result("")


@contextlib.asynccontextmanager
async def process(
    command: Sequence[str], ready: re.Pattern[str], environment: Mapping[str, str]
) -> AsyncIterator[Running]:
    """A Python process until the end of the block.

    Args:
        command: What follows the name of the interpreter.
        ready: What it prints when it is ready; the first group is its address.
        environment: All of its environment.
    """
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        env=dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    running = Running(command, ready, started)
    try:
        yield running
    finally:
        await running.stop()


def environment(brain_url: str | None) -> dict[str, str]:
    """That of this process, with what the measurement decides: the brain, and a server on the loopback for one call.

    Without a brain's address, the packaged one answers.
    """
    decided = {
        "VOICE_AGENT_SERVER__HOST": "127.0.0.1",
        "VOICE_AGENT_SERVER__PORT": "0",
        "VOICE_AGENT_SERVER__TOKEN": "null",
        "VOICE_AGENT_BRAIN__API_KEY": "null",
        "VOICE_AGENT_BRAIN__OLLAMA_URL": "null",
        "VOICE_AGENT_BRAIN__GGUF": "null",
        "VOICE_AGENT_BRAIN__BASE_URL": f"{brain_url}/v1" if brain_url else "null",
        "VOICE_AGENT_BRAIN__MODEL": "null",
        # What the agent says of its own accord would be taken for an answer.
        "VOICE_AGENT_CONVERSATION__GREETING": "null",
        "VOICE_AGENT_CONVERSATION__REPROMPT_SECS": "0",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }
    return {**os.environ, **decided}


class ScriptedBrain:
    """The scripted brain in its own process, and what `play` asks of it."""

    knows_lengths = True

    def __init__(self, url: str, http: httpx.AsyncClient):
        self.url = url
        self._http = http

    async def next_answer(self, *, long: bool) -> None:
        """See `play.Prompter`."""
        (await self._http.post(f"{self.url}/next", json={"long": long})).raise_for_status()

    def is_same_answer(self, one: str, other: str) -> bool:
        """See `play.Prompter`."""
        return is_same_answer(one, other)


@contextlib.asynccontextmanager
async def scripted_brain(first_token_ms: float, tokens_per_sec: float) -> AsyncIterator[ScriptedBrain]:
    """Start it. Raises `BenchError` if it does not."""
    flags = ("--first-token-ms", str(first_token_ms), "--tokens-per-sec", str(tokens_per_sec))
    async with (
        process((*BRAIN, *flags), BRAIN_ADDRESS, environment(None)) as running,
        httpx.AsyncClient(timeout=5.0) as http,
    ):
        yield ScriptedBrain(await running.address(), http)
