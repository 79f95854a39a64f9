"""The doctor finds what would keep a call from working, and says how to mend it."""

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

import agent.doctor as doctor
from agent.doctor import Finding, examine, show
from engines.weights import PACKAGED
from tests.agent.conftest import DEAD, Endpoint


@pytest.fixture(autouse=True)
def settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An env file of its own, on a port of its own; Ollama is not looked for."""
    path = tmp_path / "settings.env"
    path.write_text("VOICE_AGENT_SERVER__PORT=0\nVOICE_AGENT_BRAIN__OLLAMA_URL=null\n")
    for name in ("SERVER__TOKEN", "SERVER__PORT", "BRAIN__BASE_URL"):
        monkeypatch.delenv(f"VOICE_AGENT_{name}", raising=False)
    return path


def findings(env_file: Path, *lines: str, profile: str = "embedded") -> dict[str, Finding]:
    with env_file.open("a") as stream:
        stream.writelines(f"VOICE_AGENT_{line}\n" for line in lines)
    return {finding.what: finding for finding in examine(profile, env_file)}


def test_on_a_machine_that_has_everything_nothing_is_bad(settings_file: Path):
    found = findings(settings_file)
    assert not [finding for finding in found.values() if finding.verdict == "bad"]
    assert {"Python", "CPU", "memory", "GPU", "settings", "weights", "page", "port 0", "brain"} <= set(found)
    assert "SmolLM2" in found["brain"].found and found["brain"].mend is not None


def test_settings_that_cannot_be_used_are_found_and_the_rest_is_still_looked_at(settings_file: Path):
    found = findings(settings_file, "SERVER__PROT=1")
    assert found["settings"].verdict == "bad" and "VOICE_AGENT_SERVER__PORT" in found["settings"].found
    assert found["weights"].verdict == "ok" and "brain" not in found


def test_a_profile_that_does_not_exist_is_found(settings_file: Path):
    assert findings(settings_file, profile="nope")["settings"].verdict == "bad"


def test_a_port_that_is_taken_is_found(settings_file: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finding = findings(settings_file, f"SERVER__PORT={port}")[f"port {port}"]
    assert finding.verdict == "bad" and str(port) in finding.found
    assert finding.mend is not None and "--port" in finding.mend


def test_a_host_that_is_not_of_this_machine_is_found(settings_file: Path):
    finding = findings(settings_file, "SERVER__HOST=192.0.2.1", "SERVER__TOKEN=long-enough-token")["port 0"]
    assert finding.verdict == "bad" and "192.0.2.1" in finding.found


def test_weights_that_are_not_the_pinned_ones_are_found(
    settings_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor, "PACKAGED", (replace(PACKAGED[1], sha256="0" * 64),))
    finding = findings(settings_file)["weights"]
    assert finding.verdict == "bad" and "0" * 64 in finding.found and finding.mend == "make install"


def test_a_brain_that_is_down_is_found(settings_file: Path):
    finding = findings(settings_file, f"BRAIN__BASE_URL={DEAD}/v1")["brain"]
    assert finding.verdict == "bad" and DEAD in finding.found
    assert finding.mend is not None and "VOICE_AGENT_BRAIN__BASE_URL" in finding.mend


async def test_a_brain_that_is_there_is_named(settings_file: Path, endpoint: Endpoint):
    found = await asyncio.to_thread(findings, settings_file, f"BRAIN__BASE_URL={endpoint.url}/v1")
    assert found["brain"].verdict == "ok" and "first-model" in found["brain"].found


async def test_a_model_that_the_brain_does_not_have_is_found(settings_file: Path, endpoint: Endpoint):
    lines = (f"BRAIN__BASE_URL={endpoint.url}/v1", "BRAIN__MODEL=other")
    finding = (await asyncio.to_thread(findings, settings_file, *lines))["brain"]
    assert finding.verdict == "bad" and finding.mend is not None and "first-model" in finding.mend


async def test_an_ollama_is_found(settings_file: Path, endpoint: Endpoint):
    found = await asyncio.to_thread(findings, settings_file, f"BRAIN__OLLAMA_URL={endpoint.url}")
    assert found["brain"] == Finding("brain", "ok", "Ollama with first-model, second-model")


async def test_a_model_that_ollama_does_not_have_is_found(settings_file: Path, endpoint: Endpoint):
    """`serve` refuses to start with these settings."""
    lines = (f"BRAIN__OLLAMA_URL={endpoint.url}", "BRAIN__MODEL=third-model")
    assert (await asyncio.to_thread(findings, settings_file, *lines))["brain"].verdict == "bad"


def test_a_gguf_that_is_gone_is_found(settings_file: Path):
    assert findings(settings_file, "BRAIN__GGUF=/no/such.gguf")["brain"].verdict == "bad"


@pytest.mark.parametrize(
    ("url", "health"),
    [
        ("ws://127.0.0.1:8001", "http://127.0.0.1:8001/health"),
        ("ws://127.0.0.1:8001/v1/stream/asr", "http://127.0.0.1:8001/health"),
        ("wss://asr.example.org/ears?x=1", "https://asr.example.org/health"),
        ("ws://[::1]:8001/", "http://[::1]:8001/health"),
    ],
)
def test_a_speech_service_is_asked_at_its_host_whatever_the_path_of_its_websocket(
    settings_file: Path, monkeypatch: pytest.MonkeyPatch, url: str, health: str
):
    asked: list[str] = []

    def get(url: str, timeout: float, headers: dict[str, str] | None = None) -> httpx.Response:
        assert timeout > 0
        asked.append(url)
        return httpx.Response(200, json={"status": "ok", "model": "tiny.en"})

    monkeypatch.setattr(doctor.httpx, "get", get)
    finding = findings(settings_file, f'STT__URLS=["{url}"]')[f"speech to text at {url}"]
    assert finding.verdict == "ok" and "tiny.en" in finding.found
    assert asked == [health, health.replace("/health", "/v1/models")]


@pytest.mark.parametrize("token", [None, "secret-token"])
def test_a_speech_service_that_wants_a_token_is_found(
    settings_file: Path, monkeypatch: pytest.MonkeyPatch, token: str | None
):
    def get(url: str, timeout: float, headers: dict[str, str] | None = None) -> httpx.Response:
        welcome = url.endswith("/health") or (headers or {}).get("Authorization") == "Bearer secret-token"
        return httpx.Response(200 if welcome else 401, json={"status": "ok", "model": "tiny.en"})

    monkeypatch.setattr(doctor.httpx, "get", get)
    given = [f"STT__TOKEN={token}"] if token else []
    finding = findings(settings_file, 'STT__URLS=["ws://127.0.0.1:8001"]', *given)[
        "speech to text at ws://127.0.0.1:8001"
    ]
    assert finding.verdict == ("ok" if token else "bad")


def test_a_service_of_the_voice_is_asked_too_with_its_own_token(settings_file: Path, monkeypatch: pytest.MonkeyPatch):
    shown: list[str | None] = []

    def get(url: str, timeout: float, headers: dict[str, str] | None = None) -> httpx.Response:
        shown.append((headers or {}).get("Authorization"))
        return httpx.Response(200, json={"status": "ok", "model": "chatterbox-turbo"})

    monkeypatch.setattr(doctor.httpx, "get", get)
    lines = ('TTS__URLS=["ws://127.0.0.1:8002"]', "TTS__TOKEN=token-of-the-voice")
    finding = findings(settings_file, *lines)["text to speech at ws://127.0.0.1:8002"]
    assert finding.verdict == "ok" and "chatterbox-turbo" in finding.found
    assert shown == [None, "Bearer token-of-the-voice"]


def test_a_service_of_the_voice_that_is_not_there_is_found(settings_file: Path):
    finding = findings(settings_file, 'TTS__URLS=["ws://127.0.0.1:9"]')["text to speech at ws://127.0.0.1:9"]
    assert finding.verdict == "bad" and finding.mend is not None
    assert "services/tts/server.py" in finding.mend and "VOICE_AGENT_TTS__URLS" in finding.mend


@pytest.mark.parametrize("url", ["ws://127.0.0.1:9/ears", "ws://127.0.0.1:99999", "ws://[x"])
def test_a_speech_service_that_is_not_there_is_found(settings_file: Path, url: str):
    assert findings(settings_file, f'STT__URLS=["{url}"]')[f"speech to text at {url}"].verdict == "bad"


def test_tools_are_named_and_what_they_lack_is_found(settings_file: Path):
    found = findings(settings_file, """TOOLS__MCP='[{"name": "sky", "command": "/no/such/program"}]'""")
    assert found["tools"].found == "current_time, hang_up"
    assert found["MCP server sky"].verdict == "bad" and "/no/such/program" in found["MCP server sky"].found


def test_a_module_of_tools_that_is_not_there_is_found(settings_file: Path):
    found = findings(settings_file, """TOOLS__MODULES='["no_such_tools"]'""")["tools"]
    assert found.verdict == "bad" and "no_such_tools" in found.found and found.mend is not None


def some(*verdicts: doctor.Verdict) -> Iterator[Finding]:
    return (Finding(f"part {number}", verdict, "as found", "mend it") for number, verdict in enumerate(verdicts))


def test_the_exit_status_tells_whether_something_must_be_mended(capsys: pytest.CaptureFixture[str]):
    assert show(some("ok", "note")) == 0
    printed = capsys.readouterr().out
    assert printed.count("mend it") == 1 and "Everything that a call needs is there." in printed
    assert show(some("ok", "bad", "bad")) == 1
    assert "2 found that must be mended." in capsys.readouterr().out
