"""docs/protocol.md names everything that the code says."""

import dataclasses
from pathlib import Path
from typing import get_args

import pytest

from engines.protocol import Segment, Transcript, Word
from engines.wire import ERRORS, CloseCode
from services.asr.intake import SAMPLE_RATES
from services.asr.messages import Message

TEXT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
ENGINES_OF_OTHER_PLACES = {"weights", "unreachable"}
"""What a service that serves cannot meet: it has its weights, and no service behind it."""


def fields() -> list[str]:
    names = [field.name for kind in (Transcript, Segment, Word) for field in dataclasses.fields(kind)]
    return names + [name for kind in get_args(Message) for name in kind.model_fields]


@pytest.mark.parametrize("name", sorted(set(fields())))
def test_every_field_is_described(name: str):
    assert f"`{name}`" in TEXT or f"{name}," in TEXT or f"{name}}}" in TEXT


def test_every_code_is_described():
    assert [code for code in CloseCode if f"| {int(code)} |" not in TEXT] == []
    assert [code for code in ERRORS.keys() - ENGINES_OF_OTHER_PLACES if f"`{code}`" not in TEXT] == []
    assert all(str(rate) in TEXT for rate in SAMPLE_RATES)
