"""STUN and TURN servers in the settings."""

import json

import pytest

from agent.calls import ice_config
from configs.loading import SettingsError, load_settings


def load(servers: object):
    environ = {"VOICE_AGENT_SERVER__ICE_SERVERS": json.dumps(servers)}
    return load_settings(env_file=None, environ=environ)


def test_they_reach_webrtc_as_they_were_given():
    servers = [
        {"urls": ["stun:stun.example.org:3478"]},
        {"urls": ["turn:turn.example.org?transport=udp"], "username": "u", "credential": "p4ssw0rd"},
    ]
    settings = load(servers)
    assert ice_config(settings.server) == servers
    assert "p4ssw0rd" not in repr(settings)


@pytest.mark.parametrize("url", ["http://stun.example.org", "stun:", "stun example", "turn:a?transport=sctp"])
def test_a_url_of_another_kind_is_refused(url: str):
    with pytest.raises(SettingsError, match=r"ice_servers.*expected URLs such as stun:"):
        load([{"urls": [url]}])
