"""What a decoder takes and refuses, and which slots it gives."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from engines.chatterbox.t3.decoder import T3Decoder
from engines.chatterbox.t3.request import T3Request
from engines.errors import EngineBusy, EngineRefused
from tests.engines.chatterbox.t3_cases import text, voice


@pytest.fixture
def turbo(tiny_turbo: Any) -> T3Decoder:
    return T3Decoder(tiny_turbo[0], slots=3, max_positions=430)


@pytest.fixture
def base(tiny_base: Any) -> T3Decoder:
    return T3Decoder(tiny_base[0], slots=2, max_positions=128)


def request_of(decoder: T3Decoder, tokens: int = 10, max_tokens: int = 5, **settings: Any) -> T3Request:
    spoken = decoder.condition(voice(decoder.variant))
    return T3Request(text(decoder.variant, tokens), spoken, max_tokens, **settings)


def test_memory_is_said_and_reserved_once(turbo: T3Decoder, base: T3Decoder):
    assert turbo.max_positions == 448 and base.max_positions == 128
    per_position = 3 * 2 * 64 * 4  # Layers, keys and values, width, bytes of a float32.
    assert turbo.bytes_per_slot == 448 * per_position and base.bytes_per_slot == 2 * 128 * per_position
    assert turbo.reserved_bytes == 3 * turbo.bytes_per_slot


def test_the_lowest_free_slot_is_taken(turbo: T3Decoder):
    asked = request_of(turbo)
    assert turbo.admit([asked] * 3) == [0, 1, 2]
    turbo.release(2)
    turbo.release(0)
    assert turbo.free_slots == 2
    assert turbo.admit([asked]) == [0]
    assert turbo.admit([asked]) == [2]


def test_more_than_there_is_room_for_is_refused_whole(turbo: T3Decoder):
    asked = request_of(turbo)
    turbo.admit([asked] * 2)
    with pytest.raises(EngineBusy, match="2 texts were given, 1 of 3 slots are free"):
        turbo.admit([asked] * 2)
    assert turbo.free_slots == 1


def test_what_does_not_fit_is_refused_with_its_numbers(turbo: T3Decoder, base: T3Decoder):
    turbo.check(request_of(turbo, 60, 12))
    with pytest.raises(EngineRefused, match="376 .* 13 speech tokens needs 449 positions; a slot has 448"):
        turbo.admit([request_of(turbo), request_of(turbo, 60, 13)])
    assert turbo.free_slots == 3
    base.check(request_of(base, 40, 51))
    with pytest.raises(EngineRefused, match="43 positions after a voice of 34 .* 52 .* needs 129 .* has 128"):
        base.check(request_of(base, 40, 52))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"temperature": 0.0}, "temperature 0.0: expected more than 0"),
        ({"temperature": float("nan")}, "temperature nan"),
        ({"top_p": 1.5}, "top_p 1.5: expected at least 0, at most 1"),
        ({"top_k": -1}, "top_k -1"),
        ({"min_p": 2.0}, "min_p 2.0"),
        ({"repetition_penalty": 0.0}, "repetition_penalty 0.0"),
        ({"cfg_weight": -0.1}, "cfg_weight -0.1"),
        ({"seed": -1}, "seed -1"),
        ({"max_tokens": 0}, "max_tokens 0"),
    ],
)
def test_settings_out_of_range_are_refused(turbo: T3Decoder, settings: dict[str, Any], said: str):
    with pytest.raises(EngineRefused, match=said):
        turbo.check(replace(request_of(turbo), **settings))


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (torch.zeros(0, dtype=torch.int64), "a text of 0 tokens"),
        (torch.zeros(1, 4, dtype=torch.int64), r"shape \(1, 4\)"),
        (torch.zeros(4), "torch.float32"),
        (torch.tensor([255, 704, 0]), "from 0 to 704: expected 0 to 703"),
        (torch.tensor([255, 9, 9]), "without its token 0"),
        (torch.tensor([9, 9, 0]), "without its token 255"),
    ],
)
def test_texts_that_are_none_are_refused(base: T3Decoder, tokens: torch.Tensor, said: str):
    with pytest.raises(EngineRefused, match=said):
        base.check(replace(request_of(base), text_tokens=tokens))


@pytest.mark.parametrize("slots", [[], [1], [0, 0], [0, 5]])
def test_only_slots_in_use_can_be_launched(turbo: T3Decoder, slots: list[int]):
    turbo.admit([request_of(turbo)])
    with pytest.raises(ValueError, match="expected different ones of \\[0\\]"):
        turbo.launch(slots)


def test_a_slot_can_be_decoded_to_its_last_position_and_beyond(turbo: T3Decoder):
    """A step more is launched before the host knows that the text has ended."""
    slots = turbo.admit([request_of(turbo, 67, 5)])
    steps = [turbo.launch(slots) for _ in range(8)]
    assert all(step.ready() and step.tokens().shape == (1,) for step in steps)


def test_preparing_comes_first(turbo: T3Decoder):
    turbo.prepare(slots=[1, 3], text_tokens=[16, 5000])
    turbo.admit([request_of(turbo)])
    with pytest.raises(ValueError, match=r"slots \[0\] are in use"):
        turbo.prepare()
