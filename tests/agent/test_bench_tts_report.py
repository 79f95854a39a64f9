"""The figures of a report of speech: arithmetic that one can do by hand."""

import sys
from pathlib import Path
from typing import Any

import pytest

from agent.bench.listener import Listener
from agent.bench.speakers import UNANSWERED, Heard, Measured
from agent.bench.tts_lengths import fixed_tokens
from agent.bench.tts_plot import draw
from agent.bench.tts_report import at_once, ratio, show, stages, summary, table, where_it_breaks
from agent.bench.watch import GpuWatch, LoopLag, Memory, differences, gpu_figures

RATE = 1000


def pcm(secs: float) -> bytes:
    return bytes(2 * int(secs * RATE))


def heard(first: float | None = 0.1, secs: float = 2.0, *, asked: float = 0.0, **more: Any) -> Heard:
    """Asked for at `asked`, first sentence 0.05 s later, first sound `first` after that, made in half its time."""
    first_at = None if first is None else asked + 0.05 + first
    facts: dict[str, Any] = {"closed_at": asked + 0.05 + secs / 2, "ends_at": first_at and first_at + secs}
    if first is None:
        facts |= {"closed_at": asked + 30.05}
        secs = 0.0
    return Heard(asked_at=asked, ready_at=asked + 0.05, first_at=first_at, secs=secs, **{**facts, **more})


def measured(*answers: Heard, secs: float = 10.0) -> Measured:
    chunks = [(answer.first_at, answer.secs) for answer in answers if answer.first_at is not None]
    return Measured(list(answers), chunks, 0.0, secs)


def report(speakers: int, *answers: Heard, **more: Any) -> dict[str, Any]:
    load: dict[str, Any] = {"speakers": speakers, "secs": 10, "duty": None, "period_secs": None, "instant": False}
    load |= {"tokens_per_sec": 60, "buffer_ms": 0, "seed": 0, "random_weights": None}
    gpu = {"utilization": 0.4, "utilization_max": 0.9, "memory_used_mib": 9000.0, "power_watts": 250.0}
    watched = {"memory": {"host_mib": 800.0, "torch_allocated_mib": 5000.0, "torch_reserved_mib": None}, "gpu": gpu}
    watched |= {"loop_lag_ms": {"p50": 0, "p95": 1, "p99": 2, "max": 3}, "stages": stages({"flow_secs": 4.0}, 10)}
    head = {"load": load, "engine": {"name": "chatterbox turbo"}, "machine": {"gpu": "a GPU"}}
    return {**head, **summary(measured(*answers)), **watched, "batch_sizes": {}, "baseline": None, **more}


def test_nobody_runs_dry_who_always_has_something_left():
    listener = Listener(RATE)
    for at, secs in ((5.0, 1.0), (5.5, 1.0), (7.0, 1.0)):
        listener.receive(pcm(secs), at)
    assert listener.gaps_secs == [] and (listener.first_at, listener.ends_at) == (5.0, 8.0)
    assert listener.margins_secs == [0.5, 0.0] and listener.most_secs == 1.5 and listener.secs == 3.0


def test_after_an_underrun_it_goes_on_at_once():
    listener = Listener(RATE)
    for at, secs in ((0.0, 1.0), (1.25, 0.5), (2.0, 1.0)):
        listener.receive(pcm(secs), at)
    assert listener.gaps_secs == [0.25, 0.25] and listener.margins_secs == [0, 0] and listener.ends_at == 3.0


def test_no_samples_are_no_sound_and_the_end_is_no_underrun():
    listener = Listener(RATE)
    listener.receive(b"", 1.0)
    assert listener.first_at is None and listener.ends_at is None
    listener.receive(pcm(1.0), 2.0)
    listener.receive(b"", 9.0)
    assert (listener.first_at, listener.ends_at) == (2.0, 3.0) and listener.gaps_secs == []


def test_who_stops_listening_while_dry_has_waited():
    listener = Listener(RATE, buffer_secs=0.5)
    listener.receive(pcm(1.0), 0.0)
    listener.stop(2.0)
    assert listener.gaps_secs == [0.5] and listener.ends_at == 1.5
    listener = Listener(RATE)
    listener.receive(pcm(4.0), 0.0)
    listener.stop(2.0)
    assert listener.gaps_secs == [] and listener.ends_at == 2.0


def test_latency_is_from_the_first_sentence_and_from_the_request():
    found = summary(measured(*[heard(0.1)] * 9, heard(0.3)))
    assert found["latency_ms"]["p50"] == 100 and found["latency_ms"]["max"] == 300
    assert found["from_request_ms"]["p50"] == 150
    assert found["throughput"] == {"audio_secs_per_sec": 2.0, "answers_per_sec": 1.0, "real_time_factor": 0.5}


def test_underruns_are_counted_with_their_lengths():
    found = summary(measured(heard(gaps_secs=(0.1, 0.3)), heard(), heard(gaps_secs=(0.2,)), heard()))
    assert found["underrun_rate"] == 0.5
    assert (found["underruns"]["count"], found["underruns"]["answers"], found["underruns"]["secs"]) == (3, 2, 0.6)
    assert found["underruns"]["ms"]["p50"] == 200 and found["underruns"]["ms"]["max"] == 300


def test_errors_do_not_make_the_latency_look_better():
    found = summary(measured(heard(), heard(None, error=UNANSWERED), heard(None, error="EngineBusy"), heard(None)))
    assert found["latency_ms"]["max"] == 30_000 and found["answered"] == 1 and found["answers"] == 4
    assert found["errors"] == {"EngineBusy": 1, UNANSWERED: 1} and found["empty"] == 1


def test_those_that_were_cut_off_are_counted_by_themselves():
    found = summary(measured(heard(), heard(cut=True, close_secs=0.004), heard(cut=True)))
    assert (found["cancelled"]["count"], found["cancelled"]["while_open"]) == (2, 1)
    assert found["cancelled"]["close_ms"]["max"] == 4


def test_what_was_asked_for_before_or_after_does_not_count():
    found = summary(measured(heard(0.1), heard(9.0, asked=-5.0), heard(9.0, asked=10.0)))
    assert found["answers"] == 1 and found["latency_ms"]["max"] == 100
    nothing = summary(Measured([], [], 0, 10))
    assert nothing["latency_ms"]["p50"] is None and nothing["underrun_rate"] is None and nothing["answers"] == 0


def test_how_many_at_once():
    spans = [(-5.0, 2.0), (1.0, 5.0), (5.0, 6.0), (9.0, 99.0), (-3.0, -1.0), (10.0, 11.0)]
    assert at_once(spans, measured()) == {"mean": 0.8, "max": 2}
    assert at_once([], measured()) == {"mean": 0.0, "max": 0}


def test_where_the_time_went_is_what_the_counts_have_grown_by():
    before = {"flow_secs": 1.0, "steps": 100, "rows_per_step": {"1": 10, "8": 5}, "model": "x", "on": True}
    after = {"flow_secs": 3.0, "steps": 350, "rows_per_step": {1: 20}, "t3_secs": 5.0, "model": "x", "on": True}
    grown = differences(before, after | {"rows_per_step": {"1": 20, "8": 35}})
    assert grown == {"flow_secs": 2.0, "steps": 250, "rows_per_step": {"1": 10, "8": 30}, "t3_secs": 5.0}
    found = stages(grown, 10)
    assert found["shares"] == {"flow": 0.2, "t3": 0.5} and found["per_sec"] == {"steps": 25}
    assert found["batch_sizes"] == {"rows_per_step": {"1": 10, "8": 30, "mean": 6.25}}
    batches = stages({"rows": 90, "steps": 30, "runs": 0, "open_streams": 3}, 10)["batch_sizes"]
    assert batches == {"rows_per_step": {"mean": 3}}


def test_it_breaks_at_the_fewest_speakers_with_whom_something_is_wrong():
    fine, slow, dry = report(1, heard(0.1)), report(32, heard(0.3)), report(100, heard(0.1, gaps_secs=(0.2,)))
    assert where_it_breaks([dry, fine, slow], None) == {"speakers": 100, "because": ["1 underruns in 1 of 1 answers"]}
    found = where_it_breaks([dry, fine, slow], 200)
    assert found == {"speakers": 32, "because": ["p95 of 300 ms, over the aim of 200 ms"]}
    assert where_it_breaks([fine], 200) is None
    refused = where_it_breaks([report(2, heard(), heard(None, error="EngineBusy"))], None)
    assert refused == {"speakers": 2, "because": ["errors: 1 EngineBusy"]}


def test_the_ratio_is_ours_over_upstreams():
    found = ratio(report(1, heard(0.1)), report(1, heard(0.4, secs=1.0)))
    assert found["p50"] == 0.25 and found["audio_secs_per_sec"] == 2.0 and found["real_time_factor"] == 1.0


@pytest.mark.parametrize("without_rich", [False, True])
def test_the_table_is_for_people(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, without_rich: bool
):
    monkeypatch.setenv("COLUMNS", "80")
    if without_rich:
        monkeypatch.setitem(sys.modules, "rich.console", None)
    plain = {"speakers": 4, **summary(measured(heard(2.0, gaps_secs=(1.5,))))}
    alone = {"speakers": 1, **summary(measured(heard(1.0)))}
    baseline = {**plain, "alone": alone}
    reports = [report(1, heard(0.1, cut=True, close_secs=0.01)), report(100, heard(0.3), baseline=baseline)]
    assert [row[:3] for row in table(reports)[1:]] == [
        ["1", "ours", "100"],
        ["100", "ours", "300"],
        ["1", "upstream", "1000"],
        ["4", "upstream", "2000"],
    ]
    show({"sweep": reports, "breaks": where_it_breaks(reports, 200)}, "a machine")
    lines = capsys.readouterr().out.splitlines()
    assert "breaks at 100 speakers: p95 of 300 ms, over the aim of 200 ms" in lines
    assert any("flow 40.0%" in line for line in lines) and any("1 cut off, 1 of them" in line for line in lines)
    rows = [line for line in lines if line.split()[:2] in (["100", "ours"], ["4", "upstream"])]
    assert len(rows) == 2 and all(len(row) <= 80 and "…" not in row for row in rows)


def test_the_plot_is_a_picture(tmp_path: Path):
    pytest.importorskip("matplotlib")
    baseline = {"speakers": 4, **summary(measured(heard(2.0))), "alone": None}
    machine = {"machine": {"gpu": None, "cores": 2, "cpu": "x"}, "baseline": baseline}
    reports = [report(1, heard(0.1), **machine), report(100, heard(0.4, gaps_secs=(1.0,)), **machine)]
    draw(reports, tmp_path / "a.png", aim_ms=400)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_random_weights_get_sentences_as_long_as_speakers_say_them():
    text = "This sentence has about fifty characters in it, no?"
    assert fixed_tokens(text) == fixed_tokens(text) and fixed_tokens("Hi.") == 8
    drawn = [fixed_tokens(text, seed=seed) for seed in range(300)]
    usual = len(text) / 14 * 25
    assert usual / 1.15 - 1 <= min(drawn) < usual / 1.1 and usual / 0.9 < max(drawn) <= usual / 0.85 + 1
    assert sum(drawn) / len(drawn) == pytest.approx(usual, rel=0.03)


def test_the_gpu_is_read_from_what_the_drivers_tool_tells():
    told = "40, 9000, 200.00\n[N/A], [N/A], [N/A]\n60, 9500, 300.00\n80, 9"
    found = {"utilization": 0.5, "utilization_max": 0.6, "memory_used_mib": 9500, "power_watts": 250}
    assert gpu_figures(told) == found and gpu_figures("no devices") is None


def test_the_gpu_of_a_service_is_that_which_cuda_sees(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-abc")
    assert [GpuWatch(device)._gpu for device in ("cuda", "cuda:0", "cuda:1", "cuda:2")] == ["3", "3", "GPU-abc", "2"]
    watch = GpuWatch("cpu")
    watch.start()
    assert watch.stop() is None


async def test_the_loop_and_the_memory_are_watched():
    import asyncio
    import time

    lag, memory = LoopLag(), Memory()
    lag.start()
    memory.start()
    await asyncio.sleep(0.03)
    time.sleep(0.1)  # noqa: ASYNC251 - holds up the loop
    await asyncio.sleep(0.05)
    assert (lag.stop()["max"] or 0) >= 70 and (memory.stop()["host_mib"] or 0) > 20
