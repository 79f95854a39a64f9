"""Which source of a setting wins."""

from pathlib import Path

from configs.loading import load_settings


def test_without_any_source_the_embedded_profile_serves_this_machine_only():
    settings = load_settings(env_file=None, environ={})
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 7860)
    assert settings.stt.model == "tiny.en" and settings.tts.engine == "hibari"


def test_each_source_overrides_the_one_before(tmp_path: Path):
    profile = tmp_path / "mine.yaml"
    profile.write_text("server: {port: 1, max_calls: 1, idle_secs: 1, connect_secs: 1}\n")
    env_file = tmp_path / ".env"
    env_file.write_text(
        "VOICE_AGENT_SERVER__PORT=2\nVOICE_AGENT_SERVER__MAX_CALLS=2\nVOICE_AGENT_SERVER__IDLE_SECS=2\n"
    )
    environ = {"VOICE_AGENT_SERVER__PORT": "3", "VOICE_AGENT_SERVER__MAX_CALLS": "3"}
    settings = load_settings(str(profile), flags={"server.port": 4}, env_file=env_file, environ=environ)
    server = settings.server
    assert (server.port, server.max_calls, server.idle_secs, server.connect_secs) == (4, 3, 2, 1)


def test_a_flag_that_was_not_given_changes_nothing():
    environ = {"VOICE_AGENT_SERVER__PORT": "8001"}
    settings = load_settings(flags={"server.port": None, "server.host": None}, env_file=None, environ=environ)
    assert settings.server.port == 8001


def test_a_variable_changes_one_field_and_leaves_the_others_of_its_section(tmp_path: Path):
    profile = tmp_path / "mine.yaml"
    profile.write_text("brain:\n  model: qwen\n  max_tokens: 99\n")
    settings = load_settings(str(profile), env_file=None, environ={"VOICE_AGENT_BRAIN__MAX_TOKENS": "50"})
    assert (settings.brain.model, settings.brain.max_tokens) == ("qwen", 50)


def test_an_empty_variable_is_not_set(tmp_path: Path):
    env_file = tmp_path / ".env"
    env_file.write_text("VOICE_AGENT_SERVER__PORT=8002\nVOICE_AGENT_BRAIN__MODEL=\n")
    environ = {"VOICE_AGENT_SERVER__PORT": "", "VOICE_AGENT_SERVER__TOKEN": ""}
    settings = load_settings(env_file=env_file, environ=environ)
    assert settings.server.port == 8002
    assert settings.server.token is None and settings.brain.model is None


def test_null_takes_a_setting_away():
    environ = {"VOICE_AGENT_BRAIN__OLLAMA_URL": "null", "VOICE_AGENT_STT__LANGUAGE": "NULL"}
    settings = load_settings(env_file=None, environ=environ)
    assert settings.brain.ollama_url is None and settings.stt.language is None


def test_services_are_asked_for_a_voice_only_where_one_was_chosen():
    for profile in ("embedded", "gpu"):
        assert load_settings(profile, env_file=None, environ={}).tts.asked_voice is None
        environ = {"VOICE_AGENT_TTS__VOICE": "anna"}
        assert load_settings(profile, env_file=None, environ=environ).tts.asked_voice == "anna"
    environ = {"VOICE_AGENT_TTS__ENGINE": "chatterbox"}
    assert load_settings(env_file=None, environ=environ).tts.asked_voice is None


def test_lists_are_json():
    environ = {
        "VOICE_AGENT_SERVER__ALLOWED_ORIGINS": '["https://a.example", "https://b.example"]',
        "VOICE_AGENT_SERVER__ICE_SERVERS": '[{"urls": ["stun:stun.example.org:3478"]}, '
        '{"urls": ["turn:turn.example.org"], "username": "u", "credential": "p"}]',
    }
    server = load_settings(env_file=None, environ=environ).server
    assert server.allowed_origins == ["https://a.example", "https://b.example"]
    assert [ice.urls[0] for ice in server.ice_servers] == ["stun:stun.example.org:3478", "turn:turn.example.org"]
    credential = server.ice_servers[1].credential
    assert credential is not None and credential.get_secret_value() == "p"


def test_the_names_of_variables_may_be_in_any_case():
    settings = load_settings(env_file=None, environ={"voice_agent_server__port": "8003"})
    assert settings.server.port == 8003


def test_other_programs_variables_are_none_of_ours():
    load_settings(env_file=None, environ={"PATH": "/bin", "VOICE": "x", "OPENAI_API_KEY": "k"})


def test_an_env_file_that_does_not_exist_is_passed_over(tmp_path: Path):
    assert load_settings(env_file=tmp_path / "none", environ={}).server.port == 7860


def test_the_process_environment_is_read_unless_another_is_given(monkeypatch):
    monkeypatch.setenv("VOICE_AGENT_SERVER__PORT", "8004")
    assert load_settings(env_file=None).server.port == 8004
