"""The figures of a report: arithmetic that one can do by hand."""

import json
import sys
from pathlib import Path
from typing import Any

import jiwer
import pytest

from agent.bench.callers import UNANSWERED, Answer, Measured, Partials
from agent.bench.load import Utterance
from agent.bench.machine import describe, in_words
from agent.bench.plot import draw
from agent.bench.report import (
    batch_sizes,
    busy_shares,
    distance,
    latency_shares,
    percentiles,
    ratio,
    show,
    summary,
    table,
    word_error_rate,
    words,
)
from agent.bench.speech import BenchError
from engines.protocol import Transcript


def transcript(text: str = "yes", *, batch_size: int = 1, **secs: float) -> Transcript:
    timings: dict[str, Any] = {"queue_secs": 0.0, "compute_secs": 0.1, **secs}
    return Transcript(text, "en", -0.1, 0.0, audio_secs=2.0, batch_size=batch_size, **timings)


def answer(latency_secs: float, heard: Transcript | None = None, *, said: str | None = None, error: str | None = None):
    heard = heard if heard or error else transcript()
    return Answer(Utterance("a", b"", 2.0, said), latency_secs, 0.001, heard, error)


def report(callers: int, p50: float, baseline: bool = True) -> dict[str, Any]:
    side = summary(Measured([answer(p50 / 1000), answer(p50 / 500)], 10.0))
    load = {
        "callers": callers,
        "secs": 10,
        "utterance_secs": 3,
        "utterance_secs_mean": 2.0,
        "period_secs": 8,
        "seed": 0,
    }
    return {
        "machine": describe(),
        "load": {**load, "seed": 0, "saturate": False},
        "engine": {"name": "whisper", "compute_type": "int8"},
        **side,
        "baseline": side if baseline else None,
        "ratio": ratio(side, side) if baseline else None,
    }


def test_percentiles_are_in_milliseconds():
    assert percentiles([number / 1000 for number in range(101)]) == {"p50": 50, "p95": 95, "p99": 99, "max": 100}
    assert percentiles([]) == {"p50": None, "p95": None, "p99": None, "max": None}


def test_throughput_counts_what_was_answered_over_the_time_it_took():
    found = summary(Measured([answer(0.2)] * 30 + [answer(0.01, error="EngineBusy")] * 10, 20.0))
    assert found["throughput"] == {
        "utterances_per_sec": 1.5,
        "audio_secs_per_sec": 3.0,
        "real_time_factor": 0.05,  # 0.1 s of the model for 2 s of speech.
        "busy": 0.15,
    }
    assert (found["utterances"], found["answered"]) == (40, 30)


def test_the_time_of_a_batch_counts_once():
    batch = [answer(0.4, transcript(batch_size=4, compute_secs=0.4))] * 4
    assert summary(Measured(batch, 1.0))["throughput"]["busy"] == 0.4


def test_errors_are_counted_by_type_and_do_not_make_the_latency_look_better():
    answers = [answer(0.1)] * 8 + [answer(0.001, error="EngineBusy")] + [answer(30.0, error=UNANSWERED)]
    found = summary(Measured(answers, 40.0))
    assert found["errors"] == {"EngineBusy": 1, UNANSWERED: 1}
    assert found["latency_ms"]["max"] == 30_000 and found["latency_ms"]["p50"] == 100


def test_nothing_answered_is_no_figure_rather_than_a_zero():
    found = summary(Measured([answer(0.001, error="EngineClosed")] * 3, 1.0))
    assert found["latency_ms"]["p50"] is None and found["throughput"]["real_time_factor"] is None
    assert found["shares"] == {"latency": {}, "busy": {}} and found["batch_sizes"] == {}


def test_batches_are_counted_by_their_size():
    heard = [transcript(batch_size=4)] * 8 + [transcript()] * 2
    assert batch_sizes(heard) == {"1": 2, "4": 8, "mean": 2.5}  # Ten utterances in four batches.


def test_shares_of_the_latency_add_up():
    heard = transcript(queue_secs=0.2, compute_secs=0.7, encode_secs=0.4, decode_secs=0.25)
    shares = latency_shares([answer(1.0, heard)])
    assert shares == {"waiting": 0.2, "features": 0.05, "encode": 0.4, "decode": 0.25, "other": 0.1}


def test_shares_of_the_busy_time_add_up():
    large = transcript(batch_size=2, compute_secs=1.0, encode_secs=0.5, decode_secs=0.4)
    small = transcript(compute_secs=1.0, encode_secs=0.3, decode_secs=0.6)
    assert busy_shares([large, large, small]) == {"features": 0.1, "encode": 0.4, "decode": 0.5}


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("he was not an ill disposed young man", "he was not an ill-disposed young man."),
        ("and mister john dashwood", "and Mr. John dash would"),
        ("one two three", ""),
        ("one two three", "zero one three four"),
    ],
)
def test_word_errors_are_those_of_jiwer(said: str, heard: str):
    expected = jiwer.process_words(" ".join(words(said)), " ".join(words(heard)))
    errors = expected.substitutions + expected.deletions + expected.insertions
    assert distance(words(said), words(heard)) == errors


def test_the_word_error_rate_is_over_all_words_whose_text_is_known():
    answers = [answer(0.1, transcript("one two"), said="one two three"), answer(0.1, transcript("six"), said="six")]
    assert word_error_rate([*answers, answer(0.1, transcript("anything"))]) == 0.25
    assert word_error_rate([answer(0.1)]) is None


def test_rounds_add_up():
    measured = Measured([answer(0.1)], 10.0, Partials(asked=2, answered=1, errors={"EngineBusy": 1}))
    measured.add(Measured([answer(0.3)], 11.0, Partials(asked=3, overtaken=1, errors={"EngineBusy": 2})))
    assert len(measured.answers) == 2 and measured.elapsed_secs == 21
    assert measured.partials == Partials(asked=5, answered=1, overtaken=1, errors={"EngineBusy": 3})


def test_the_ratio_is_ours_over_the_baseline():
    ours, plain = summary(Measured([answer(0.1)] * 4, 1.0)), summary(Measured([answer(0.4)] * 2, 1.0))
    assert ratio(ours, plain) == {"p50": 0.25, "p95": 0.25, "p99": 0.25, "throughput": 2.0}
    nothing = summary(Measured([], 1.0))
    assert ratio(ours, nothing) == {"p50": None, "p95": None, "p99": None, "throughput": None}


def test_the_machine_is_described_and_can_be_written_as_json():
    machine = describe()
    assert (
        machine["cores"] and machine["cpu"] and set(machine["versions"]) >= {"ctranslate2", "faster-whisper", "torch"}
    )
    assert json.loads(json.dumps(machine)) == machine and str(machine["cores"]) in in_words(machine)


@pytest.mark.parametrize("without_rich", [False, True])
def test_the_table_is_for_people(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, without_rich: bool
):
    monkeypatch.setenv("COLUMNS", "160")
    if without_rich:
        monkeypatch.setitem(sys.modules, "rich.console", None)
    reports = [report(10, 100), report(20, 200, baseline=False)]
    assert [row[:3] for row in table(reports)[1:]] == [
        ["10", "ours", "150"],
        ["10", "plain", "150"],
        ["20", "ours", "300"],
    ]
    show({"what": "asr", "sweep": reports}, "a machine")
    shown = capsys.readouterr().out
    assert "a machine" in shown and "plain" in shown and "300" in shown


def test_the_plot_is_a_picture(tmp_path: Path):
    pytest.importorskip("matplotlib")
    draw([report(10, 100), report(100, 9000)], tmp_path / "a.png", aim_ms=250)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(BenchError, match="there is no folder"):
        draw([report(10, 100)], tmp_path / "gone" / "a.png")


def test_without_matplotlib_the_plot_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(BenchError, match="needs the package matplotlib"):
        draw([report(10, 100)], tmp_path / "a.png")
