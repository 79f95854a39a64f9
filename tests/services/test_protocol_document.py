"""docs/protocol.md names everything that the code says."""

import dataclasses
from pathlib import Path
from typing import Any, get_args

import pytest

from engines.protocol import Mark, Segment, Transcript, Voice, Word
from engines.wire import ERRORS, CloseCode
from services.asr import messages as asr
from services.common.audio import SAMPLE_RATES
from services.tts import messages as tts
from services.tts.encoders import FORMATS
from services.tts.order import Order

TEXT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
ENGINES_OF_OTHER_PLACES = {"weights", "unreachable"}
"""What a service that serves cannot meet: it has its weights, and no service behind it."""


def fields() -> list[str]:
    names = [field.name for kind in (Transcript, Segment, Word, Mark, Voice) for field in dataclasses.fields(kind)]
    said = (*get_args(asr.Message), *get_args(tts.Message), Order)
    return names + [name for kind in said for name in kind.model_fields]


@pytest.mark.parametrize("name", sorted(set(fields())))
def test_every_field_is_described(name: str):
    assert f"`{name}`" in TEXT or f"{name}," in TEXT or f"{name}}}" in TEXT


def test_every_code_is_described():
    assert [code for code in CloseCode if f"| {int(code)} |" not in TEXT] == []
    assert [code for code in ERRORS.keys() - ENGINES_OF_OTHER_PLACES if f"`{code}`" not in TEXT] == []
    assert all(str(rate) in TEXT for rate in SAMPLE_RATES)


@pytest.mark.parametrize("kind", [kind.model_fields["type"].annotation for kind in get_args(tts.Message)], ids=str)
def test_every_message_of_the_voice_is_described(kind: Any):
    assert f"**`{get_args(kind)[0]}`**" in TEXT


def test_every_format_is_described():
    assert [name for name in FORMATS if f"`{name}`" not in TEXT] == []
