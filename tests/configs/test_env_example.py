"""`.env.example` is the one list of every setting, and it is true."""

import re
from pathlib import Path

import pytest
from dotenv import dotenv_values

from configs.loading import load_settings, setting_names

EXAMPLE = Path(__file__).parents[2] / ".env.example"


def uncommented() -> str:
    return re.sub(r"^#(VOICE_AGENT_)", r"\1", EXAMPLE.read_text(), flags=re.MULTILINE)


def test_as_it_stands_it_sets_nothing():
    assert dotenv_values(EXAMPLE) == {}


def test_it_names_every_setting_once_in_the_order_of_the_sections():
    assert re.findall(r"^#(VOICE_AGENT_\w+)=", EXAMPLE.read_text(), flags=re.MULTILINE) == [
        name for name, _ in setting_names()
    ]


def test_uncommented_it_equals_the_defaults(tmp_path: Path):
    env_file = tmp_path / ".env"
    env_file.write_text(uncommented())
    assert len(dotenv_values(env_file)) == len(list(setting_names()))
    defaults = load_settings(env_file=None, environ={})
    assert load_settings(env_file=env_file, environ={}) == defaults
    assert load_settings(str(_empty_profile(tmp_path)), env_file=env_file, environ={}) == defaults


@pytest.mark.parametrize(
    ("name", "field"), list(setting_names()), ids=lambda value: value if type(value) is str else ""
)
def test_each_setting_is_explained_in_its_own_words(name: str, field):
    if field.description is None:
        return
    lines = EXAMPLE.read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith(f"#{name}="))
    assert lines[at - 1] == f"# {field.description}"


def _empty_profile(folder: Path) -> Path:
    path = folder / "empty.yaml"
    path.write_text("")
    return path
