"""Voice engines by their names, from the settings."""

import inspect
import sys
from typing import Any

import pytest

from configs.loading import load_settings
from configs.settings import TtsSettings
from engines.errors import EngineRefused, WeightsError
from engines.opening import open_voice
from engines.protocol import SpeechOptions


async def test_the_embedded_voice_is_opened_with_its_settings():
    engine = open_voice("hibari", **TtsSettings().engine_arguments)
    assert engine.name == "hibari heart" and engine.sample_rate == 24_000
    await engine.close()


def test_an_engine_that_is_not_known_is_refused():
    with pytest.raises(EngineRefused, match="expected hibari or chatterbox"):
        open_voice("parrot")


def test_without_its_packages_chatterbox_says_what_installs_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "engines.chatterbox.engine", None)
    with pytest.raises(WeightsError, match="make install-gpu"):
        open_voice("chatterbox")


def test_chatterbox_takes_exactly_what_the_settings_give(monkeypatch: pytest.MonkeyPatch):
    from engines.chatterbox import engine as module

    parameters = inspect.signature(module.ChatterboxEngine).parameters
    asked: dict[str, Any] = {}
    monkeypatch.setattr(module, "ChatterboxEngine", lambda **arguments: asked.update(arguments))
    settings = TtsSettings(engine="chatterbox", voice="default", watermark=False, trim_silence=False, min_p=0.1)
    open_voice("chatterbox", **settings.engine_arguments)
    assert set(asked) <= set(parameters)
    assert asked["watermark"] is False and asked["chunk_tokens"] == (25, 50, 75)
    assert asked["hygiene"] == module.Hygiene(trim_silence=False) and asked["sampling"] == SpeechOptions(min_p=0.1)


def test_the_profile_for_gpus_reaches_chatterbox_over_a_socket():
    settings = load_settings("gpu", env_file=None, environ={})
    assert settings.tts.urls == ["ws://127.0.0.1:8002"] and settings.tts.engine_model == "chatterbox-turbo"
    assert settings.tts.engine_device == "cuda:1" and settings.tts.voice == "default"
    assert TtsSettings(device="cuda:1").engine_device == "cpu", "the embedded voice knows no other"
