"""Runs a service as operators do, as a process of its own."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
START_SECS = 60
STOP_SECS = 20
READY = re.compile(r"ready at (http://\S+), loaded in [\d.]+ s")


def command(kind: str, *flags: str) -> list[str]:
    """How a service is started."""
    return [sys.executable, f"services/{kind}/server.py", *flags]


def environment(**more: str) -> dict[str, str]:
    """The environment without settings, and with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VOICE_AGENT_")}
    return {**kept, "NO_COLOR": "1", **more}


@dataclass
class ServiceProcess:
    """A running service and the lines that it printed and logged."""

    process: subprocess.Popen[str]
    port: int
    kind: str
    lines: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """For HTTP."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket_url(self) -> str:
        """For the WebSocket."""
        return f"ws://127.0.0.1:{self.port}/v1/stream/{self.kind}"

    def end(self) -> int:
        """Wait for its end; its exit code."""
        return self.process.wait(STOP_SECS)


@contextmanager
def started(kind: str, port: int, *, section: str, **settings: str) -> Iterator[ServiceProcess]:
    """Start a service and wait until it is ready; at the end it is killed if it still runs.

    Args:
        kind: `asr` or `tts`.
        port: Where to listen.
        section: Of its settings.
        settings: Of that section.
    """
    named = {f"VOICE_AGENT_{section.upper()}__{name.upper()}": value for name, value in settings.items()}
    process = subprocess.Popen(
        command(kind, "--port", str(port)),
        cwd=ROOT,
        env=environment(**named),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running, ready = ServiceProcess(process, port, kind), threading.Event()
    reader = threading.Thread(target=_read, args=(running, ready), daemon=True)
    reader.start()
    try:
        if not ready.wait(START_SECS) or process.poll() is not None:
            raise RuntimeError("the service did not become ready:\n" + "\n".join(running.lines))
        yield running
    finally:
        process.kill()
        process.wait(STOP_SECS)
        reader.join()
        process.stdout.close()  # pyright: ignore[reportOptionalMemberAccess]


def _read(running: ServiceProcess, ready: threading.Event) -> None:
    for line in running.process.stdout or ():
        running.lines.append(line.rstrip())
        if READY.search(line):
            ready.set()
    ready.set()  # The process has ended.
