"""Reads the settings: a profile's YAML, then `.env`, then the environment, then flags; the last wins.

Every fault is named at once, each with its key, its value, where it stood and what was expected.
"""

import difflib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from dotenv import dotenv_values
from pydantic import BaseModel, SecretStr, ValidationError

from configs.settings import PROFILES, Settings

PREFIX = "VOICE_AGENT_"
SECRET_PARTS = ("tok", "key", "cred", "secret", "pass", "header", "ice_servers", "mcp")
"""Parts of keys whose values errors do not show, also where the key is misspelled."""

Path_ = tuple[str, ...]
Layer = tuple[str, dict[Path_, Any]]


class SettingsError(Exception):
    """The settings cannot be used. `faults` has one plain line for each fault."""

    def __init__(self, faults: list[str]):
        self.faults = faults
        super().__init__("\n".join(faults))


def load_settings(
    profile: str = "embedded",
    *,
    flags: Mapping[str, Any] | None = None,
    env_file: Path | None = Path(".env"),
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Join the sources into settings.

    Args:
        profile: Name of a profile (`configs/<name>.yaml`) or path of a YAML file.
        flags: Values given on the command line, by dotted key (`server.port`); None values are not given.
        env_file: A dotenv file; one that does not exist is passed over. None reads none.
        environ: The environment, `os.environ` when None.

    Raises:
        SettingsError: A file is missing or broken, a key is unknown, or a value is bad.
    """
    faults: list[str] = []
    profile_path = _profile_path(profile)
    layers: list[Layer] = [(str(profile_path.name), dict(_flatten(_read_yaml(profile_path))))]
    if env_file is not None and env_file.is_file():
        layers.append((str(env_file), _from_environment(dotenv_values(env_file), str(env_file), faults)))
    layers.append(("environment", _from_environment(os.environ if environ is None else environ, "environment", faults)))
    given = {tuple(key.split(".")): value for key, value in (flags or {}).items() if value is not None}
    layers.append(("command line", given))
    merged = _merge(layers)
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        faults += [_describe(fault, layers) for fault in error.errors()]
    if faults:
        raise SettingsError(faults)
    return settings  # pyright: ignore[reportPossiblyUnboundVariable]


def setting_names() -> Iterator[tuple[str, Any]]:
    """Every setting as (environment variable, its field), in the order of the sections."""
    for section, field in Settings.model_fields.items():
        for name, inner in _section(field.annotation).model_fields.items():
            yield f"{PREFIX}{section}__{name}".upper(), inner


def _profile_path(profile: str) -> Path:
    named = PROFILES / f"{profile}.yaml"
    if named.is_file():
        return named
    if Path(profile).suffix in (".yaml", ".yml") and Path(profile).is_file():
        return Path(profile)
    known = ", ".join(sorted(path.stem for path in PROFILES.glob("*.yaml")))
    raise SettingsError(
        [
            f"profile = {profile!r} (command line): no such profile or file; expected one of {known}, "
            "or the path of a YAML file"
        ]
    )


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        # The error's own text quotes the line, which may hold a secret.
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SettingsError([f"{path}{line}: not readable as YAML: {error.problem}"]) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError([f"{path}: not readable as YAML: {' '.join(str(error).split())}"]) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError([f"{path}: expected sections such as `server:` at the top, got a {type(content).__name__}"])
    return content


def _flatten(tree: Mapping[Any, Any], path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    for key, value in tree.items():
        here = (*path, str(key))
        if isinstance(value, dict) and len(here) < 2:
            yield from _flatten(value, here)
        else:
            yield here, value


def _from_environment(environ: Mapping[str, str | None], source: str, faults: list[str]) -> dict[Path_, Any]:
    fields = dict(setting_names())
    found: dict[Path_, Any] = {}
    for name, text in environ.items():
        if not name.upper().startswith(PREFIX):
            continue
        if name.upper() not in fields:
            bare = {known.removeprefix(PREFIX): known for known in fields}
            close = difflib.get_close_matches(name.upper().removeprefix(PREFIX), bare, n=1, cutoff=0.6)
            hint = f"did you mean {bare[close[0]]}?" if close else "`.env.example` lists every setting"
            faults.append(f"{name} = {_shown(name, text)} ({source}): unknown setting; {hint}")
            continue
        section, _, key = name[len(PREFIX) :].lower().partition("__")
        # An empty variable is the way to say "not set" where a variable cannot be removed, as in a compose file.
        if text:
            found[section, key] = _decode(text, fields[name.upper()].annotation)
    return found


def _decode(text: str, annotation: Any) -> Any:
    """JSON for lists, None for `null` where that is allowed, else the text, which pydantic converts."""
    if get_origin(annotation) is list:
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text
    if text.lower() == "null" and type(None) in get_args(annotation):
        return None
    return text


def _merge(layers: list[Layer]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for _, values in layers:
        for path, value in values.items():
            if len(path) == 1:
                merged[path[0]] = value
            else:
                section = merged.setdefault(path[0], {})
                if isinstance(section, dict):
                    section[path[1]] = value
    return merged


def _describe(fault: Any, layers: list[Layer]) -> str:
    location: tuple[Any, ...] = fault["loc"]
    path = tuple(str(part) for part in location[:2])
    key = ".".join(str(part) for part in location)
    reason = _expected(fault)
    for source, values in reversed(layers):
        if path in values:
            return f"{key} = {_shown(key, values[path])} ({source}): {reason}"
        if len(path) == 1 and any(set_path[0] == path[0] for set_path in values):
            return f"{key} ({source}): {reason}"
    return f"{key}: {reason}"


def _expected(fault: Any) -> str:
    if fault["type"] == "extra_forbidden":
        location = fault["loc"]
        if len(location) > 2:
            return "unknown key"
        names = list(Settings.model_fields)
        if len(location) == 2:
            names = list(_section(Settings.model_fields[location[0]].annotation).model_fields)
        return f"unknown setting; expected one of {', '.join(names)}"
    message: str = fault["msg"].removeprefix("Value error, ")
    return message[0].lower() + message[1:]


def _section(annotation: Any) -> type[BaseModel]:
    assert isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return annotation


def _shown(key: str, value: Any) -> str:
    """The value as an error may show it: a secret stays out of terminals and logs."""
    secret = isinstance(value, SecretStr) or any(part in key.lower() for part in SECRET_PARTS)
    return "'…'" if secret and value else repr(value)
