"""The installed command, as a person runs it."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent.cli import _summary

COMMAND = Path(sys.executable).with_name("voice-agent")
SECS = 30


def environment(**more: str) -> dict[str, str]:
    dropped = ("VOICE_AGENT_", "PYTHONDONTWRITEBYTECODE")  # Every process would compile all that it imports.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {**kept, "NO_COLOR": "1", "COLUMNS": "120", "VOICE_AGENT_BRAIN__OLLAMA_URL": "null", **more}


def run(folder: Path, *arguments: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=SECS,
        check=False,
    )


def dead_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return closed.getsockname()[1]


def test_help_names_every_subcommand(tmp_path: Path):
    ran = run(tmp_path, "--help")
    assert ran.returncode == 0 and ran.stderr == ""
    for name in ("serve", "call", "doctor", "bench", "voices"):
        assert name in ran.stdout
    for flag in ("--profile", "--host", "--port"):
        assert flag in run(tmp_path, "serve", "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "more", "words"),
    [
        (("--port", "99999"), {}, "server.port = 99999 (command line)"),
        (("--profile", "nope"), {}, "no such profile or file"),
        (("--host", "0.0.0.0"), {}, "VOICE_AGENT_SERVER__TOKEN"),
        (("--env-file", "gone.env"), {}, "--env-file gone.env: no such file"),
        ((), {"VOICE_AGENT_SERVER__PROT": "1"}, "did you mean VOICE_AGENT_SERVER__PORT?"),
        (
            ("--port", "0"),
            {"VOICE_AGENT_SERVER__ICE_SERVERS": '[{"urls": ["http://stun.example.org"]}]'},
            "ice_servers",
        ),
        (("--port", "0"), {"VOICE_AGENT_STT__MODEL": "/no/such/model"}, "no such folder"),
    ],
    ids=["port", "profile", "host", "env file", "unknown", "ice", "ears"],
)
def test_serve_refuses_what_it_cannot_use_with_a_sentence(
    tmp_path: Path, arguments: tuple[str, ...], more: dict[str, str], words: str
):
    ran = run(tmp_path, "serve", *arguments, **more)
    assert ran.returncode == 1
    assert words in ran.stderr and "voice-agent: " in ran.stderr
    assert "Traceback" not in ran.stderr + ran.stdout


def test_serve_on_a_taken_port_says_so(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = run(tmp_path, "serve", "--port", str(taken.getsockname()[1]))
    assert ran.returncode == 1 and "cannot listen on 127.0.0.1" in ran.stderr and "--port" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_settings_are_read_from_the_env_file_of_the_folder(tmp_path: Path):
    (tmp_path / ".env").write_text("VOICE_AGENT_SERVER__PORT=nonsense\n")
    ran = run(tmp_path, "serve")
    assert ran.returncode == 1 and "server.port = 'nonsense' (.env)" in ran.stderr


def test_serve_says_where_to_open_it_and_stops_when_it_is_told(tmp_path: Path):
    with subprocess.Popen(
        [COMMAND, "serve", "--port", "0"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as serving:
        try:
            assert serving.stdout is not None
            ready = next((line for line in serving.stdout if line.startswith("Ready.")), "")
            url = next((word for word in ready.split() if word.startswith("http://127.0.0.1:")), "")
            assert httpx.get(f"{url}/ready").json() == {"ready": True, "reason": None}
            assert "SmolLM2" in httpx.get(f"{url}/api/info").json()["brain"]["label"]
            serving.send_signal(signal.SIGINT)
            _, errors = serving.communicate(timeout=SECS)
        finally:
            serving.kill()
    assert serving.returncode == 0
    assert "Traceback" not in errors


def test_serve_stops_at_once_while_it_is_still_loading(tmp_path: Path):
    port = dead_port()
    with subprocess.Popen(
        [COMMAND, "serve", "--port", str(port)],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as serving:
        try:
            assert serving.stdout is not None
            serving.stdout.readline()
            serving.send_signal(signal.SIGTERM)
            output, errors = serving.communicate(timeout=SECS)
        finally:
            serving.kill()
    assert serving.returncode == 0 and "Ready" not in output
    assert "Traceback" not in errors


def test_several_turns_are_summed_up():
    turns: list[dict[str, Any]] = [{"voice_to_voice_ms": value} for value in (100.0, None, 200.0, 300.0)]
    assert _summary(turns) == "voice to voice of 3 turns: p50 200 ms, p95 290 ms, p99 298 ms"
    assert _summary(turns[:2]) is None


def test_a_call_to_nobody_gives_the_reason(tmp_path: Path, audio_folder: Path):
    wav = audio_folder / "librivox-0880.wav"
    ran = run(tmp_path, "call", f"http://127.0.0.1:{dead_port()}", "--wav", wav)
    assert ran.returncode != 0 and ran.stderr.startswith("voice-agent: ")
    assert "127.0.0.1" in ran.stderr and "Traceback" not in ran.stderr
    ran = run(tmp_path, "call", f"http://127.0.0.1:{dead_port()}", "--wav", wav, "--json")
    assert ran.returncode != 0 and json.loads(ran.stdout)["error"]


def test_a_call_without_a_file_gives_the_reason(tmp_path: Path):
    ran = run(tmp_path, "call", "http://127.0.0.1:9", "--wav", "gone.wav")
    assert ran.returncode != 0 and "gone.wav" in ran.stderr and "Traceback" not in ran.stderr


def test_doctor_exits_with_what_it_found(tmp_path: Path):
    ran = run(tmp_path, "doctor", VOICE_AGENT_SERVER__PORT="0")
    assert ran.returncode == 0 and "Everything that a call needs is there." in ran.stdout and ran.stderr == ""
    ran = run(tmp_path, "doctor", VOICE_AGENT_SERVER__PROT="0")
    assert ran.returncode == 1 and "✗ settings" in ran.stdout and ran.stderr == ""
