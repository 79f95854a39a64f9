"""What an owner reads when the settings cannot be used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from configs.loading import SettingsError, load_settings


def faults_of(
    profile: str = "embedded",
    *,
    environ: Mapping[str, str] | None = None,
    env_file: Path | None = None,
    flags: Mapping[str, Any] | None = None,
) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(profile, environ=environ or {}, env_file=env_file, flags=flags)
    assert str(caught.value) == "\n".join(caught.value.faults)
    return caught.value.faults


def profile_with(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text)
    return str(path)


def test_an_unknown_variable_is_named_with_what_was_meant():
    (fault,) = faults_of(environ={"VOICE_AGENT_SERVER__PROT": "8080"})
    assert fault == (
        "VOICE_AGENT_SERVER__PROT = '8080' (environment): unknown setting; did you mean VOICE_AGENT_SERVER__PORT?"
    )


def test_an_unknown_variable_like_no_other_points_to_the_list_of_all():
    (fault,) = faults_of(environ={"VOICE_AGENT_QWYX_JFPZK": "1"})
    assert "VOICE_AGENT_QWYX_JFPZK = '1' (environment): unknown setting" in fault and ".env.example" in fault


def test_an_unknown_line_of_the_env_file_is_named_with_its_file(tmp_path: Path):
    env_file = tmp_path / "production.env"
    env_file.write_text("VOICE_AGENT_BRAIN__MODLE=qwen\n")
    (fault,) = faults_of(env_file=env_file)
    assert "VOICE_AGENT_BRAIN__MODLE = 'qwen'" in fault
    assert f"({env_file})" in fault and "did you mean VOICE_AGENT_BRAIN__MODEL?" in fault


def test_an_unknown_key_of_a_profile_is_named_with_the_known_ones(tmp_path: Path):
    (fault,) = faults_of(profile_with(tmp_path, "server:\n  prot: 8080\n"))
    assert fault.startswith("server.prot = 8080 (mine.yaml): unknown setting")
    assert "host, port, token" in fault


def test_an_unknown_section_of_a_profile_is_named_with_the_known_ones(tmp_path: Path):
    (fault,) = faults_of(profile_with(tmp_path, "sever:\n  port: 8080\n"))
    assert "sever" in fault and "(mine.yaml): unknown setting" in fault
    assert "server, stt, tts, brain, tools, turn, conversation, asr, tts_service, log" in fault


def test_an_unknown_flag_is_named_with_the_known_ones():
    (fault,) = faults_of(flags={"server.prot": 1})
    assert fault.startswith("server.prot = 1 (command line): unknown setting; expected one of host, port")


def test_an_unknown_key_inside_a_list_is_named(tmp_path: Path):
    text = 'server:\n  ice_servers:\n    - urls: ["stun:a.example"]\n      user: bob\n'
    (fault,) = faults_of(profile_with(tmp_path, text))
    assert "server.ice_servers.0.user" in fault and "unknown key" in fault


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("SERVER__PORT", "http", "valid integer"),
        ("SERVER__PORT", "70000", "less than or equal to 65535"),
        ("SERVER__MAX_CALLS", "0", "greater than or equal to 1"),
        ("SERVER__IDLE_SECS", "-1", "greater than 0"),
        ("SERVER__IDLE_SECS", "nan", "greater than 0"),
        ("SERVER__ALLOWED_ORIGINS", "https://a.example", "valid list"),
        ("SERVER__ALLOWED_ORIGINS", "7", "valid list"),
        ("STT__WINDOWS_SECS", "[5]", "expected windows from 10 to 30 seconds"),
        ("STT__DEVICE", "gpu", "match"),
        ("STT__COMPUTE_TYPE", "int4", "'int8'"),
        ("STT__LANGUAGE", "english", "match"),
        ("TTS__ENGINE", "espeak", "'hibari'"),
        ("TTS__SPEED", "9", "less than or equal to 2"),
        ("BRAIN__BASE_URL", "localhost:8000", "match"),
        ("BRAIN__TEMPERATURE", "hot", "valid number"),
        ("TURN__SMART_TURN", "perhaps", "valid boolean"),
        ("TURN__VAD_CONFIDENCE", "1", "less than 1"),
        ("LOG__LEVEL", "LOUD", "'INFO'"),
    ],
)
def test_a_bad_value_is_named_with_its_key_source_and_what_was_expected(variable: str, text: str, expected: str):
    (fault,) = faults_of(environ={f"VOICE_AGENT_{variable}": text})
    key = variable.lower().replace("__", ".")
    assert fault.startswith(key) and "(environment)" in fault
    assert text in fault and expected in fault


def test_null_is_no_value_for_a_setting_that_needs_one():
    (fault,) = faults_of(environ={"VOICE_AGENT_SERVER__PORT": "null"})
    assert fault.startswith("server.port = 'null' (environment):")


def test_a_bad_value_is_blamed_on_the_source_that_won(tmp_path: Path):
    profile = profile_with(tmp_path, "server: {port: -1}\n")
    (fault,) = faults_of(profile, flags={"server.port": 99999})
    assert fault.startswith("server.port = 99999 (command line)")
    assert load_settings(profile, env_file=None, environ={}, flags={"server.port": 1}).server.port == 1


def test_all_faults_of_all_sources_are_told_at_once(tmp_path: Path):
    env_file = tmp_path / "my.env"
    env_file.write_text("VOICE_AGENT_STT__THREADS=0\n")
    faults = faults_of(
        profile_with(tmp_path, "log: {level: LOUD}\ntts: {voise: a}\n"),
        env_file=env_file,
        environ={"VOICE_AGENT_SERVER__PORT": "x", "VOICE_AGENT_SERVER__PORTS": "1"},
    )
    text = "\n".join(faults)
    assert len(faults) == 5
    for key in ("log.level", "tts.voise", "stt.threads", "server.port", "VOICE_AGENT_SERVER__PORTS"):
        assert key in text


def test_a_missing_profile_is_named_with_those_that_exist():
    (fault,) = faults_of("embeded")
    assert "'embeded'" in fault and "embedded" in fault and "YAML" in fault


def test_a_missing_profile_file_is_named(tmp_path: Path):
    (fault,) = faults_of(str(tmp_path / "gone.yaml"))
    assert "gone.yaml" in fault and "no such profile or file" in fault


@pytest.mark.parametrize("text", ["server: [1\n", "server:\n\tport: 1\n", "a: b: c\n"])
def test_a_broken_profile_is_named_with_the_line(tmp_path: Path, text: str):
    (fault,) = faults_of(profile_with(tmp_path, text))
    assert "mine.yaml" in fault and "YAML" in fault and "line" in fault


def test_a_profile_that_is_not_text_is_named(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xff\xfe\x00\x01")
    (fault,) = faults_of(str(path))
    assert "mine.yaml" in fault


@pytest.mark.parametrize("text", ["- server\n", "hello\n", "42\n"])
def test_a_profile_without_sections_is_refused(tmp_path: Path, text: str):
    (fault,) = faults_of(profile_with(tmp_path, text))
    assert "mine.yaml" in fault and "server:" in fault


def test_a_section_that_holds_one_value_is_refused(tmp_path: Path):
    (fault,) = faults_of(profile_with(tmp_path, "server: 8080\n"))
    assert fault.startswith("server = 8080 (mine.yaml)")


@pytest.mark.parametrize("name", ["mine.yaml", "mine.yml"])
def test_a_path_is_a_profile_too(tmp_path: Path, name: str):
    path = tmp_path / name
    path.write_text("server:\n  port: 8081\n")
    assert load_settings(str(path), env_file=None, environ={}).server.port == 8081


def test_an_empty_profile_leaves_the_defaults(tmp_path: Path):
    profile = profile_with(tmp_path, "# nothing\n")
    assert load_settings(profile, env_file=None, environ={}) == load_settings(env_file=None, environ={})


def test_a_shortest_wait_that_is_longer_than_the_longest_names_both():
    (fault,) = faults_of(
        environ={"VOICE_AGENT_SERVER__JITTER_MIN_SECS": "0.2", "VOICE_AGENT_SERVER__JITTER_MAX_SECS": "0.1"}
    )
    assert "jitter_min_secs is 0.2 and jitter_max_secs 0.1: expected jitter_max_secs to be at least as long" in fault
