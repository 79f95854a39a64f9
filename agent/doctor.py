"""`voice-agent doctor`: what this machine lacks for the agent, and how to mend it."""

import asyncio
import importlib.metadata
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from agent.brain import PROBE_SECS, gguf_path
from agent.endpoint import describe
from agent.errors import StartError
from configs.loading import SettingsError, load_settings
from configs.settings import BrainSettings, Settings, ToolSettings
from engines.errors import WeightsError
from engines.weights import PACKAGED, verified

Verdict = Literal["ok", "note", "bad"]
SIGNS = {"ok": "✓", "note": "–", "bad": "✗"}
MIN_PYTHON = (3, 11)
MIN_CORES = 2
MIN_MEMORY_GIB = 2.0
GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what it is, how it stands, and how to mend it where it is not well."""

    what: str
    verdict: Verdict
    found: str
    mend: str | None = None


@dataclass(frozen=True)
class ServiceKind:
    """A kind of service: what it does, what starts it, and what the settings that lead to it begin with."""

    what: str
    script: str
    variables: str


HEARING = ServiceKind("speech to text", "services/asr/server.py", "VOICE_AGENT_STT")
VOICE = ServiceKind("text to speech", "services/tts/server.py", "VOICE_AGENT_TTS")


def examine(profile: str, env_file: Path) -> Iterator[Finding]:
    """Look at everything, one finding after the other."""
    yield _python()
    yield from _machine()
    yield _gpu()
    try:
        settings = load_settings(profile, env_file=env_file)
    except SettingsError as error:
        for fault in error.faults:
            yield Finding("settings", "bad", fault, "`.env.example` lists every setting")
        settings = None
    else:
        yield Finding("settings", "ok", f"profile {profile}")
    for file in PACKAGED:
        try:
            yield Finding("weights", "ok", f"{verified(file).name} of {file.distribution} is the pinned file")
        except WeightsError as error:
            yield Finding("weights", "bad", str(error), "make install")
    yield _page()
    if settings is not None:
        yield _port(settings)
        for url in settings.stt.urls:
            yield _service(HEARING, url, settings.stt.token)
        for url in settings.tts.urls:
            yield _service(VOICE, url, settings.tts.token)
        yield asyncio.run(_brain(settings.brain))
        yield from _tools(settings.tools)


def show(findings: Iterator[Finding]) -> int:
    """Print the findings as they come; returns the exit status, 1 if one is bad."""
    bad = 0
    for finding in findings:
        bad += finding.verdict == "bad"
        print(f"{SIGNS[finding.verdict]} {finding.what}: {finding.found}", flush=True)
        if finding.mend and finding.verdict != "ok":
            print(f"    → {finding.mend}", flush=True)
    print("Everything that a call needs is there." if not bad else f"{bad} found that must be mended.", flush=True)
    return 1 if bad else 0


def _python() -> Finding:
    found = platform.python_version()
    if sys.version_info < MIN_PYTHON:
        return Finding("Python", "bad", found, "install Python 3.11 or newer, remove .venv, run `make install`")
    return Finding("Python", "ok", found)


def _machine() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    enough = cores >= MIN_CORES
    yield Finding(
        "CPU",
        "ok" if enough else "note",
        f"{cores} cores, {platform.machine()}",
        None if enough else "answers will be slow on one core; two or more are advised",
    )
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB
        enough = memory >= MIN_MEMORY_GIB
        yield Finding(
            "memory",
            "ok" if enough else "bad",
            f"{memory:.1f} GiB",
            None if enough else f"the embedded models need {MIN_MEMORY_GIB:.0f} GiB",
        )


def _gpu() -> Finding:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Finding("GPU", "note", "none found; the embedded profile runs on CPU")
    try:
        query = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"]
        names = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (subprocess.SubprocessError, OSError) as error:
        return Finding(
            "GPU",
            "note",
            f"nvidia-smi does not answer ({describe(error)}); the embedded profile runs on CPU",
            "check the NVIDIA driver if this machine has a GPU",
        )
    return Finding("GPU", "ok", "; ".join(names.splitlines()))


def _page() -> Finding:
    from agent.server import PAGE, prebuilt_client

    if not (PAGE / "index.html").is_file():
        return Finding("page", "bad", f"{PAGE} has no index.html", "git checkout transports/web/dist")
    if not prebuilt_client().is_dir():
        return Finding("page", "bad", "pipecat-ai-prebuilt has no built client", "make install")
    return Finding("page", "ok", f"voice-agent {importlib.metadata.version('voice-agent')}")


def _port(settings: Settings) -> Finding:
    host, port = settings.server.host, settings.server.port
    what = f"port {port}"
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return Finding(
            what,
            "bad",
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            "stop what listens there (perhaps an agent that already runs), or choose another with --port",
        )
    return Finding(what, "ok", f"free on {host}")


def _service(kind: ServiceKind, url: str, token: SecretStr | None) -> Finding:
    """Whether a service answers, and with which model."""
    what = f"{kind.what} at {url}"
    try:
        # The path is that of the WebSocket; the service's health is not below it.
        parts = urlsplit(url)
        base = f"{'https' if parts.scheme == 'wss' else 'http'}://{parts.netloc}"
        found = httpx.get(f"{base}/health", timeout=PROBE_SECS).json()
        status, model = found["status"], found["model"]
        shown = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
        is_welcome = httpx.get(f"{base}/v1/models", headers=shown, timeout=PROBE_SECS).status_code != 401
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
        return Finding(
            what,
            "bad",
            f"does not answer: {describe(error)}",
            f"start it there (`python {kind.script}`), or correct {kind.variables}__URLS",
        )
    if status != "ok":
        return Finding(what, "bad", f"says that it is {status}", "wait until it is ready, or look at its log")
    if not is_welcome:
        return Finding(what, "bad", "wants an access token", f"set {kind.variables}__TOKEN to the service's own")
    return Finding(what, "ok", f"{model} is ready")


def _tools(settings: ToolSettings) -> Iterator[Finding]:
    """Whether the functions can be tools, and the programs of MCP servers are there."""
    from agent.tools.toolbox import load_toolbox

    try:
        names = [tool.name for tool in load_toolbox(settings).tools()]
    except StartError as error:
        yield Finding("tools", "bad", str(error), "correct VOICE_AGENT_TOOLS__MODULES or VOICE_AGENT_TOOLS__ENABLED")
    else:
        yield Finding("tools", "ok", ", ".join(names) or "none")
    for server in settings.mcp:
        if server.command is not None and shutil.which(server.command) is None:
            yield Finding(
                f"MCP server {server.name}",
                "bad",
                f"there is no program {server.command!r}",
                "install it, or correct VOICE_AGENT_TOOLS__MCP",
            )


async def _brain(settings: BrainSettings) -> Finding:
    from agent.brain import CHECK_SECS
    from agent.endpoint import model_names

    if settings.base_url:
        key = settings.api_key.get_secret_value() if settings.api_key else "none"
        try:
            names = await model_names(settings.base_url.rstrip("/"), key, CHECK_SECS)
        except Exception as error:
            return Finding(
                "brain",
                "bad",
                f"{settings.base_url} does not answer: {describe(error)}",
                "start it, or correct VOICE_AGENT_BRAIN__BASE_URL and VOICE_AGENT_BRAIN__API_KEY",
            )
        if settings.model and names and settings.model not in names:
            return Finding(
                "brain",
                "bad",
                f"{settings.base_url} has no model {settings.model!r}",
                f"set VOICE_AGENT_BRAIN__MODEL to one of {', '.join(names[:8])}",
            )
        if not settings.model and not names:
            return Finding("brain", "bad", f"{settings.base_url} lists no model", "set VOICE_AGENT_BRAIN__MODEL")
        return Finding("brain", "ok", f"{settings.model or names[0]} at {settings.base_url}")
    if settings.gguf:
        try:
            return Finding("brain", "ok", gguf_path(settings.gguf))
        except WeightsError as error:
            return Finding("brain", "bad", str(error), "correct VOICE_AGENT_BRAIN__GGUF")
    if settings.ollama_url:
        try:
            names = await model_names(f"{settings.ollama_url.rstrip('/')}/v1", "ollama", PROBE_SECS)
        except Exception:
            names = []
        if names and settings.model and settings.model not in names:
            return Finding(
                "brain",
                "bad",
                f"Ollama has no model {settings.model!r}, it has {', '.join(names[:8])}",
                f"`ollama pull {settings.model}`, or correct VOICE_AGENT_BRAIN__MODEL",
            )
        if names:
            return Finding("brain", "ok", f"Ollama with {', '.join(names[:8])}")
    return Finding(
        "brain",
        "note",
        "the packaged SmolLM2, which is quick but often wrong",
        "for a better mind start Ollama (`ollama pull llama3.2`), or set VOICE_AGENT_BRAIN__BASE_URL or "
        "VOICE_AGENT_BRAIN__GGUF",
    )
