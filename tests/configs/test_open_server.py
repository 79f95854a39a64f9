"""A server that other machines can reach needs an access token."""

import pytest

from configs.loading import SettingsError, load_settings

TOKEN = "a-long-enough-token"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "voice.example.org", "127.0.0.1.example.org"])
def test_without_a_token_it_is_refused_with_how_to_mend_it(host: str):
    with pytest.raises(SettingsError) as caught:
        load_settings(flags={"server.host": host}, env_file=None, environ={})
    (fault,) = caught.value.faults
    assert host in fault and "VOICE_AGENT_SERVER__TOKEN" in fault and "127.0.0.1" in fault
    assert "command line" in fault


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "voice.example.org"])
def test_with_a_token_it_may_listen_anywhere(host: str):
    settings = load_settings(flags={"server.host": host}, env_file=None, environ={"VOICE_AGENT_SERVER__TOKEN": TOKEN})
    assert settings.server.host == host and not settings.server.is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_on_the_loopback_no_token_is_needed(host: str):
    settings = load_settings(flags={"server.host": host}, env_file=None, environ={})
    assert settings.server.is_loopback and settings.server.token is None
