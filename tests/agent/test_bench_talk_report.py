"""The figures of a report of manners: arithmetic that one can do by hand."""

from pathlib import Path
from typing import Any

import pytest

from agent.bench.machine import describe, in_words
from agent.bench.talk.measure import Verdict
from agent.bench.talk.plot import draw
from agent.bench.talk.report import Judged, count, differences, show, side, three
from transports.caller_report import STAGES

KEYS = {
    "voice_to_voice_ms",
    "turns",
    "cut_off_rate",
    "stall_rate",
    "false_interruption_rate",
    "missed_interruption_rate",
    "silence_after_barge_in_ms",
    "stages",
}


def judged(kind: str, verdict: Verdict, part: str = "tune", **stages: float) -> Judged:
    return Judged("d", part, 1, kind, "Hi.", "hi", verdict, {name: stages.get(name) for name in STAGES})


def answered(secs: float, **more: Any) -> Verdict:
    return Verdict(secs, True, more.pop("cut_off", False), stalled=secs > 1.5, **more)


TURNS = [
    judged("question", answered(1.0), vad_ms=200, llm_ms=400),
    judged("pause", answered(2.0, cut_off=True), "held-out", vad_ms=300),
    judged("backchannel", Verdict(false_interruption=True)),
    judged("backchannel", Verdict(false_interruption=False), "held-out"),
    judged("barge_in", answered(1.2, missed_interruption=False, silence_secs=0.4)),
    judged("barge_in", Verdict(missed_interruption=True, silence_secs=2.0), "held-out"),
    judged("early", Verdict(void="the bot was not speaking any more"), "held-out"),
    judged("sound_in_silence", Verdict(false_answer=False)),
]


def report() -> dict[str, Any]:
    ours, plain = side(TURNS), side(TURNS[:4])
    load = {"dialogues": 1, "brain": "scripted", "problems": ["somebody was late"]}
    head = {"what": "talk", "machine": describe(), "load": load}
    return {**head, **ours, "baseline": plain, "differences": differences(ours, plain)}


def test_each_rate_is_of_those_turns_that_could_show_it():
    found = side(TURNS)
    assert set(found) >= KEYS
    assert found["turns"] == 8 and found["void"] == 1
    assert found["counts"]["cut_off"] == {"n": 1, "of": 3, "rate": 0.3333}
    assert found["counts"]["stall"] == {"n": 1, "of": 3, "rate": 0.3333}
    assert found["counts"]["false_answer"] == {"n": 0, "of": 1, "rate": 0.0}
    assert (found["false_interruption_rate"], found["missed_interruption_rate"]) == (0.5, 0.5)
    assert found["silence_after_barge_in_ms"] == {"p50": 1200.0, "p95": 1920.0, "p99": 1984.0}
    assert found["voice_to_voice_ms"]["p50"] == 1200.0
    assert found["stages"]["vad_ms"]["p50"] == 250.0
    assert found["stages"]["tts_ms"] == {"p50": None, "p95": None, "p99": None}


def test_the_parts_are_told_apart():
    parts = side(TURNS)["parts"]
    assert {name: part["turns"] for name, part in parts.items()} == {"tune": 4, "held-out": 4}
    assert all(set(part) >= KEYS for part in parts.values())
    assert (parts["tune"]["cut_off_rate"], parts["held-out"]["cut_off_rate"]) == (0.0, 1.0)
    assert list(side(TURNS[:1])["parts"]) == ["tune"]


def test_what_failed_is_listed_with_its_place():
    failures = side(TURNS)["failures"]
    assert [(it["kind"], it["faults"]) for it in failures] == [
        ("pause", ["cut_off", "stalled"]),
        ("backchannel", ["false_interruption"]),
        ("barge_in", ["missed_interruption"]),
        ("early", []),
    ]
    assert failures[0]["voice_to_voice_ms"] == 2000.0 and failures[2]["silence_after_barge_in_ms"] == 2000.0
    assert side(TURNS)["kinds"]["barge_in"]["faults"] == {"missed_interruption": 1}


def test_a_rate_of_nothing_is_unknown():
    assert count([Verdict()], "cut_off") == {"n": 0, "of": 0, "rate": None}
    assert three([]) == {"p50": None, "p95": None, "p99": None}


def test_differences_are_ours_less_plain():
    ours, plain = side(TURNS[:1]), side(TURNS[:4])
    found = differences(ours, plain)
    assert found["cut_off_rate"] == -0.5
    assert found["voice_to_voice_ms"]["p50"] == -500.0
    assert found["false_interruption_rate"] is None  # Ours had none that could show it.


def test_people_see_both_sides_with_their_counts(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "200")
    shown = report()
    show(shown, in_words(shown["machine"]))
    printed = capsys.readouterr().out
    for words in (
        "plain Pipecat",
        "1 of 3",
        "held-out",
        "1 false interruption",
        "1 void",
        "problem: somebody was late",
    ):
        assert words in printed, words
    del shown["baseline"]
    show(shown, "a machine")
    assert "1 of 3" in capsys.readouterr().out


def test_the_picture_is_drawn(tmp_path: Path):
    draw(report(), tmp_path / "talk.png")
    assert (tmp_path / "talk.png").read_bytes().startswith(b"\x89PNG")
