"""Who goes first, who waits, and how long the pieces are."""

from typing import Any

import pytest

from engines.chatterbox.busy import BusyMeter
from engines.chatterbox.listener import Listener
from engines.chatterbox.sampling_options import OWN, resolve
from engines.chatterbox.schedule import (
    LOOKAHEAD_TOKENS,
    Candidate,
    Pace,
    in_order,
    is_due,
    next_piece,
    to_decode,
    to_sound,
)
from engines.errors import EngineRefused
from engines.protocol import SpeechOptions

PACE = Pace(
    first_tokens=10,
    chunk_tokens=(20, 40),
    max_ahead_secs=6.0,
    most_tokens=100,
    quick_rows=2,
    urgent_secs=0.6,
    gather_secs=0.1,
    quick_pieces=2,
)


def fresh(name: str) -> Candidate[str]:
    return Candidate(name, fresh=True, buffered_secs=0.0)


def has(name: str, secs: float) -> Candidate[str]:
    return Candidate(name, fresh=False, buffered_secs=secs)


def file(name: str, secs: float = 0.0) -> Candidate[str]:
    return Candidate(name, fresh=secs == 0.0, buffered_secs=secs, live=False)


def test_who_has_heard_nothing_goes_first_then_who_has_least_left():
    assert in_order([has("much", 3), file("file"), has("little", 0.1), fresh("new")]) == [
        "new",
        "little",
        "much",
        "file",
    ]


def test_all_decode_but_those_far_ahead():
    assert to_decode([has("much", 3), has("far", 6.5), file("file", 60)], PACE) == ["much", "file"]


def test_while_somebody_has_heard_nothing_only_the_most_urgent_decode():
    assert to_decode([has("much", 3), has("little", 0.5), fresh("new"), file("file")], PACE) == ["new", "little"]


def test_a_piece_waits_a_moment_for_others():
    assert to_sound([has("much", 3), has("more", 4)], PACE, most=4) == []
    late = Candidate("late", fresh=False, buffered_secs=3, waited_secs=0.11)
    assert to_sound([has("much", 4), late], PACE, most=4) == ["late", "much"]
    assert to_sound([has("much", 3), has("dry", 0.5)], PACE, most=4) == ["dry", "much"]
    assert to_sound([has("much", 3), has("more", 4)], PACE, most=2) == ["much", "more"]


def test_a_first_piece_waits_for_nobody_and_takes_few_along():
    assert to_sound([has("much", 3), has("more", 4), fresh("new")], PACE, most=4) == ["new", "much"]
    assert to_sound([fresh(name) for name in "abc"], PACE, most=4) == ["a", "b", "c"]
    assert to_sound([], PACE, most=4) == []


def test_a_file_waits_for_others_but_not_for_ever():
    assert to_sound([file("file")], PACE, most=4) == []
    assert to_sound([Candidate("file", fresh=True, buffered_secs=0, live=False, waited_secs=1)], PACE, most=4) == [
        "file"
    ]


def test_nobody_to_decode():
    assert to_decode([], PACE) == []
    assert to_decode([has("far", 7)], PACE) == []


@pytest.mark.parametrize(
    ("pieces", "buffered", "is_fresh", "tokens"),
    [
        (0, 0.0, True, 10),
        (0, 0.3, False, 20),
        (1, 0.3, False, 20),
        (2, 0.3, False, 40),
        (9, 0.3, False, 40),
        (2, 4.0, False, 50),
        (2, 60.0, False, 100),
    ],
)
def test_pieces_grow_and_are_longer_with_more_sound_left(pieces: int, buffered: float, is_fresh: bool, tokens: int):
    assert next_piece(pieces, buffered, is_fresh, PACE) == tokens


def test_pieces_grow_with_the_vocoders_load():
    calm, full = (next_piece(1, 0.3, False, PACE, busy=busy) for busy in (PACE.calm, 1.0))
    assert (calm, full) == (20, 60)
    assert next_piece(0, 0.0, True, PACE, busy=1.0) == 20
    assert next_piece(9, 0.3, False, PACE, busy=1.0) == PACE.most_tokens


def test_how_busy_it_was_of_late():
    meter = BusyMeter()
    assert meter.share(5.0) == 0.0
    for second in range(20):
        meter.turn(True, second)
        meter.turn(False, second + 0.25)
    assert meter.share(20.0) == pytest.approx(0.25, abs=0.05)
    assert meter.share(40.0) == pytest.approx(0.0, abs=0.01)


def test_a_piece_waits_for_its_lookahead_but_not_at_the_end():
    assert not is_due(known=10 + LOOKAHEAD_TOKENS - 1, used=0, ended=False, wanted=10)
    assert is_due(known=10 + LOOKAHEAD_TOKENS, used=0, ended=False, wanted=10)
    assert is_due(known=2, used=0, ended=True, wanted=10)


def test_a_listener_plays_at_the_pace_of_time():
    listener = Listener()
    assert listener.buffered_secs(5.0) == 0.0 and not listener.has_heard
    listener.receive(2.0, now=10.0)
    listener.receive(1.0, now=11.0)
    assert listener.has_heard
    assert listener.buffered_secs(11.0) == pytest.approx(2.0)
    assert listener.buffered_secs(14.0) == 0.0 and listener.underruns == 0


def test_sound_that_comes_too_late_is_an_underrun_and_plays_from_then_on():
    listener = Listener()
    listener.receive(1.0, now=10.0)
    listener.receive(1.0, now=12.0)
    assert listener.underruns == 1
    assert listener.buffered_secs(12.5) == pytest.approx(0.5)


def test_each_variant_has_upstreams_values():
    assert resolve(SpeechOptions(), OWN["turbo"]).top_k == 1000
    assert resolve(SpeechOptions(), OWN["base"]).cfg_weight == 0.5
    chosen = resolve(SpeechOptions(temperature=0.3, cfg_weight=0.0), OWN["base"])
    assert (chosen.temperature, chosen.cfg_weight, chosen.min_p) == (0.3, 0.0, 0.05)


@pytest.mark.parametrize(("name", "value"), [("temperature", 0.0), ("top_p", 1.5), ("cfg_weight", 3), ("top_k", -1)])
def test_a_value_out_of_range_is_refused_by_name(name: str, value: Any):
    with pytest.raises(EngineRefused, match=f"{name} .*{value}.* is out of range; expected"):
        resolve(SpeechOptions(**{name: value}), OWN["turbo"])
