"""Runs the agent as users do, as a process of its own, for benchmarks and tests."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
COMMAND = Path(sys.executable).parent / "voice-agent"
START_SECS = 120
STOP_SECS = 20
READY = re.compile(r"Open (http://\S+) in a browser")


@dataclass
class ServedAgent:
    """A running agent: its address, its process, and the lines that it printed and logged."""

    url: str
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def resident_mib(self) -> float:
        """Memory that the process holds, in MiB (Linux)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # pyright: ignore[reportOptionalSubscript]


QUIET = {"VOICE_AGENT_BRAIN__OLLAMA_URL": "null", "VOICE_AGENT_CONVERSATION__GREETING": "null"}
"""What is measured are answers, of a brain that is known."""


@contextmanager
def served(environment: Mapping[str, str] | None = None, *flags: str) -> Iterator[ServedAgent]:
    """Start `voice-agent serve` on a free port, and stop it at the end.

    Args:
        environment: Settings, on top of those of the embedded profile alone.
        flags: More flags of `serve`.

    Raises:
        RuntimeError: It did not become ready; the message has what it printed.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith("VOICE_AGENT_")}
    command = [str(COMMAND), "serve", "--port", "0", *flags]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**clean, **QUIET, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    agent = ServedAgent("", process)
    ready = threading.Event()
    reader = threading.Thread(target=_read, args=(agent, ready), daemon=True)
    reader.start()
    try:
        if not ready.wait(START_SECS) or not agent.url:
            raise RuntimeError("the agent did not become ready:\n" + "\n".join(agent.lines))
        yield agent
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise RuntimeError("the agent did not stop when it was told to:\n" + "\n".join(agent.lines)) from None
        finally:
            reader.join()
            process.stdout.close()  # pyright: ignore[reportOptionalMemberAccess]


def _read(agent: ServedAgent, ready: threading.Event) -> None:
    for line in agent.process.stdout or ():
        agent.lines.append(line.rstrip())
        if found := READY.search(line):
            agent.url = found[1]
            ready.set()
    ready.set()  # The process has ended.
