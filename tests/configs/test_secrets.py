"""Secrets stay out of what is printed, also when they are wrong."""

from pathlib import Path

import pytest

from configs.loading import SettingsError, load_settings

SECRET = "hunter2-hunter2"
SHORT = "hunter2"


def error_text(profile: str = "embedded", environ: dict[str, str] | None = None, env_file: Path | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(profile, environ=environ or {}, env_file=env_file)
    return str(caught.value)


def test_loaded_secrets_do_not_print():
    environ = {"VOICE_AGENT_SERVER__TOKEN": SECRET, "VOICE_AGENT_BRAIN__API_KEY": SECRET}
    settings = load_settings(env_file=None, environ=environ)
    assert settings.server.token is not None and settings.server.token.get_secret_value() == SECRET
    assert SECRET not in repr(settings) + str(settings) + settings.model_dump_json()


def test_a_token_that_is_too_short_is_refused_and_not_shown():
    text = error_text(environ={"VOICE_AGENT_SERVER__TOKEN": SHORT})
    assert "server.token" in text and "8 characters" in text
    assert SHORT not in text


def test_a_token_of_blanks_is_no_token():
    assert "8 characters" in error_text(environ={"VOICE_AGENT_SERVER__TOKEN": " " * 12})


@pytest.mark.parametrize(
    "yaml",
    [
        f"server: {{token: [{SECRET}]}}",
        f"brain: {{api_key: {{a: {SECRET}}}}}",
        f"server: {{ice_servers: [{{urls: [], credential: {SECRET}}}]}}",
        f"server: {{ice_servers: [{{urls: ['turn:a'], credential: [{SECRET}]}}]}}",
        f"server: {{ice_servers: {{credential: {SECRET}}}}}",
    ],
)
def test_a_secret_of_the_wrong_type_is_not_shown(tmp_path: Path, yaml: str):
    (tmp_path / "mine.yaml").write_text(yaml)
    assert SECRET not in error_text(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize("text", [f"{SECRET}", f'[{{"urls": ["turn:a"], "credential": "{SECRET}"'])
def test_ice_servers_that_are_not_json_are_not_shown(text: str):
    assert SECRET not in error_text(environ={"VOICE_AGENT_SERVER__ICE_SERVERS": text})


@pytest.mark.parametrize(
    "variable",
    [
        "VOICE_AGENT_TOKEN",
        "VOICE_AGENT_SERVER_TOKEN",
        "VOICE_AGENT_SERVER__TOKENS",
        "VOICE_AGENT_SERVER__TOKE",
        "VOICE_AGENT_BRAIN__API_KEYS",
        "VOICE_AGENT_BRAIN__APIKEY",
        "VOICE_AGENT_BRAIN__KEY",
    ],
)
def test_a_secret_under_a_misspelled_name_is_not_shown(tmp_path: Path, variable: str):
    assert SECRET not in error_text(environ={variable: SECRET})
    env_file = tmp_path / "my.env"
    env_file.write_text(f"{variable}={SECRET}\n")
    assert SECRET not in error_text(env_file=env_file)


@pytest.mark.parametrize(
    "place", ["server: {tokn", "server: {access_token", "brain: {apikey", "brain: {key", "sever: {token"]
)
def test_a_secret_under_a_misspelled_key_of_a_profile_is_not_shown(tmp_path: Path, place: str):
    (tmp_path / "mine.yaml").write_text(f"{place}: {SECRET}}}\n")
    assert SECRET not in error_text(str(tmp_path / "mine.yaml"))


def test_a_profile_that_breaks_beside_a_secret_does_not_show_it(tmp_path: Path):
    (tmp_path / "mine.yaml").write_text(f'server:\n  token: "{SECRET}" extra\n')
    text = error_text(str(tmp_path / "mine.yaml"))
    assert "line 2" in text and SECRET not in text
