#!/usr/bin/env python
"""Writes `.env.example` from the settings."""

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from configs.loading import setting_names

HEAD = """\
# Settings of the agent. Copy to .env and take away the # before a line to change it.
# A profile's YAML comes first, then this file, then the environment, then flags; the last wins.
# Shown are the defaults; `null` means none.
"""


def example() -> str:
    """The file's text: each setting with its description and its default, commented out."""
    lines, section = [HEAD], ""
    for name, field in setting_names():
        if section and name.split("__")[0] != section:
            lines.append("")
        section = name.split("__")[0]
        lines += [f"# {line}" for line in textwrap.wrap(field.description, 116)]
        lines.append(f"#{name}={shown(field.default)}")
    return "\n".join(lines) + "\n"


def shown(default: Any) -> str:
    """A default as one writes it in the file."""
    if default is None:
        return "null"
    if isinstance(default, bool | list):
        return json.dumps(default)
    return f"{default:g}" if isinstance(default, float) else str(default)


if __name__ == "__main__":
    (ROOT / ".env.example").write_text(example())
