"""What `bench tts` measured, summed up, compared with upstream, and shown to people."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from agent.bench.figures import milliseconds, over, percentiles, print_table, rounded
from agent.bench.speakers import UNANSWERED, Heard, Measured

BATCHES = (("row", "step"), ("piece", "run"))
"""Counts of an engine of which one over the other is the size of a batch."""

LEVELS = ("open_streams", "most_open_streams")
"""What an engine tells beside its counts, and what does not add up."""


def summary(measured: Measured) -> dict[str, Any]:
    """The figures of one engine.

    Latency is from the first complete sentence to the first sound. One that was given up without any sound has waited
    for so long at least: it counts as an error, and its wait among the latencies, or they would look best where it is
    worst. Answers that were cut off count with what was heard of them.
    """
    answers, elapsed = measured.counted, measured.elapsed_secs
    sounded = [answer for answer in answers if answer.first_at is not None]
    whole = [answer for answer in sounded if not answer.cut and not answer.error and answer.secs]
    audio_secs = sum(secs for at, secs in measured.chunks if measured.begins_at <= at < measured.ends_at)
    return {
        "latency_ms": percentiles(_waits(answers, "ready_at")),
        "from_request_ms": percentiles(_waits(answers, "asked_at")),
        "underrun_rate": rounded(sum(bool(answer.gaps_secs) for answer in sounded) / len(sounded)) if sounded else None,
        "underruns": underruns(sounded),
        "throughput": {
            "audio_secs_per_sec": rounded(audio_secs / elapsed) if elapsed else None,
            "answers_per_sec": rounded(len(answers) / elapsed) if elapsed else None,
            "real_time_factor": _median([(item.closed_at - item.ready_at) / item.secs for item in whole]),
        },
        "streams_at_once": at_once(((item.asked_at, item.closed_at) for item in measured.answers), measured),
        "heard_at_once": at_once(
            ((item.first_at, item.ends_at) for item in measured.answers if item.first_at is not None and item.ends_at),
            measured,
        ),
        "ahead_secs": ahead(sounded),
        "answers": len(answers),
        "answered": len(sounded),
        "empty": sum(answer.first_at is None and not answer.error for answer in answers),
        "audio_secs_mean": rounded(sum(item.secs for item in whole) / len(whole)) if whole else None,
        "cancelled": cancelled(answers),
        "errors": dict(sorted(Counter(answer.error for answer in answers if answer.error).items())),
    }


def underruns(answers: Sequence[Heard]) -> dict[str, Any]:
    """How often listeners ran dry before the end, in how many answers, for how long in all and each time."""
    gaps = [gap for answer in answers for gap in answer.gaps_secs]
    return {
        "count": len(gaps),
        "answers": sum(bool(answer.gaps_secs) for answer in answers),
        "secs": rounded(sum(gaps)),
        "ms": percentiles(gaps),
    }


def ahead(answers: Sequence[Heard]) -> dict[str, float | None]:
    """Seconds that listeners had left whenever more came (5th percentile, median), and the most they ever had."""
    margins = [margin for answer in answers for margin in answer.margins_secs]
    low, middle = np.percentile(margins, (5, 50)) if margins else (None, None)
    return {
        "p5": None if low is None else round(float(low), 3),
        "p50": None if middle is None else round(float(middle), 3),
        "max": round(max(answer.most_secs for answer in answers), 3) if answers else None,
    }


def cancelled(answers: Sequence[Heard]) -> dict[str, Any]:
    """How many answers were cut off, how many of those while they were still being made, and how long closing took."""
    closing = [answer.close_secs for answer in answers if answer.close_secs is not None]
    return {
        "count": sum(answer.cut for answer in answers),
        "while_open": len(closing),
        "close_ms": percentiles(closing),
    }


def at_once(spans: Iterable[tuple[float, float]], measured: Measured) -> dict[str, float]:
    """How many of the spans lie over one instant of the time that counts: on average, and at most."""
    begins, ends = measured.begins_at, measured.ends_at
    within = [(max(start, begins), min(end, ends)) for start, end in spans if start < ends and end > begins]
    now = most = 0
    # What ends at an instant makes room for what begins at it.
    for _, change in sorted([(start, 1) for start, _ in within] + [(end, -1) for _, end in within]):
        now += change
        most = max(most, now)
    total = sum(end - start for start, end in within)
    return {"mean": rounded(total / (ends - begins)) if ends > begins else 0.0, "max": most}


def stages(grown: Mapping[str, Any], elapsed_secs: float) -> dict[str, Any]:
    """Where an engine's time went: what its own counts have grown by.

    Returns:
        `shares`: each stage's seconds over the time measured, 0 to 1 (several may run at once); `per_sec`: the other
        counts, a second; `batch_sizes`: the mean size of what went through a model together, and counts by size.
    """
    if not elapsed_secs:
        return {"shares": {}, "per_sec": {}, "batch_sizes": {}}
    numbers = {name: value for name, value in grown.items() if name not in LEVELS and not isinstance(value, Mapping)}
    secs = {name.removesuffix("_secs"): value for name, value in numbers.items() if name.endswith("_secs")}
    counts = {name: value for name, value in numbers.items() if not name.endswith("_secs")}
    return {
        "shares": {name: rounded(value / elapsed_secs) for name, value in secs.items()},
        "per_sec": {name: rounded(value / elapsed_secs) for name, value in counts.items()},
        "batch_sizes": {
            **{
                f"{what}s_per_{batch}": {"mean": rounded(counts[f"{what}s"] / counts[f"{batch}s"])}
                for what, batch in BATCHES
                if counts.get(f"{what}s") and counts.get(f"{batch}s")
            },
            **{name: _sizes(value) for name, value in grown.items() if isinstance(value, Mapping)},
        },
    }


def ratio(ours: Mapping[str, Any], baseline: Mapping[str, Any]) -> dict[str, float | None]:
    """Ours over the baseline's: below 1 is better but for `audio_secs_per_sec`, where above 1 is."""
    pairs = {name: (ours["latency_ms"][name], baseline["latency_ms"][name]) for name in ("p50", "p95", "p99")}
    for name in ("real_time_factor", "audio_secs_per_sec"):
        pairs[name] = (ours["throughput"][name], baseline["throughput"][name])
    return {name: over(*pair) for name, pair in pairs.items()}


def where_it_breaks(reports: Sequence[Mapping[str, Any]], aim_ms: float | None) -> dict[str, Any] | None:
    """The fewest speakers with whom something was wrong, and what; None where nothing was."""
    for report in sorted(reports, key=lambda report: report["load"]["speakers"]):
        if found := _faults(report, aim_ms):
            return {"speakers": report["load"]["speakers"], "because": found}
    return None


def _faults(report: Mapping[str, Any], aim_ms: float | None) -> list[str]:
    p95, found = report["latency_ms"]["p95"], []
    if count := report["underruns"]["count"]:
        found.append(f"{count} underruns in {report['underruns']['answers']} of {report['answered']} answers")
    if aim_ms is not None and (p95 is None or p95 > aim_ms):
        found.append(f"p95 of {milliseconds(p95)} ms, over the aim of {aim_ms:g} ms")
    if report["errors"]:
        found.append("errors: " + ", ".join(f"{count} {kind}" for kind, count in report["errors"].items()))
    return found


def table(reports: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """A head and one row for each number of speakers and engine, for people."""
    rows = [["N", "engine", "p50 ms", "p95", "p99", "max", "dry", "dry ms", "audio/s", "RTF", "open", "errors"]]
    plain: dict[int, Mapping[str, Any]] = {}
    for report in reports:
        rows.append([str(report["load"]["speakers"]), "ours", *_row(report)])
        for side in _sides(report.get("baseline")):
            plain[side["speakers"]] = side
    return rows + [[str(speakers), "upstream", *_row(side)] for speakers, side in sorted(plain.items())]


def _sides(baseline: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    return [side for side in (baseline, (baseline or {}).get("alone")) if side]


def _row(side: Mapping[str, Any]) -> list[str]:
    rate, throughput = side["underrun_rate"], side["throughput"]
    return [
        *(milliseconds(value) for value in side["latency_ms"].values()),
        "–" if rate is None else f"{rate:.1%}",
        milliseconds(side["underruns"]["ms"]["max"]),
        _figure(throughput["audio_secs_per_sec"], 1),
        _figure(throughput["real_time_factor"], 2),
        f"{side['streams_at_once']['mean']:.1f}",
        str(sum(side["errors"].values())),
    ]


def show(report: Mapping[str, Any], machine: str) -> None:
    """Print the report for people."""
    reports = report.get("sweep") or [report]
    load, engine = reports[0]["load"], reports[0]["engine"]
    print(machine)
    print(_load_in_words(load))
    print(", ".join(f"{name} {value}" for name, value in engine.items() if value is not None))
    print_table(table(reports))
    print(
        "p50 to max: first complete sentence to first sound. dry: share of answers with an underrun; dry ms: the "
        "longest.\naudio/s: sound made in a second. RTF: time to make over time to play, median. open: streams at once."
    )
    for item in reports:
        _show_one(item)
    found = report.get("breaks")
    print("nothing broke" if not found else f"breaks at {found['speakers']} speakers: {'; '.join(found['because'])}")


def _show_one(item: Mapping[str, Any]) -> None:
    head = f"{item['load']['speakers']} speakers:"
    left, cut, memory, gpu = item["ahead_secs"], item["cancelled"], item["memory"], item["gpu"]
    print(f"{head} {item['answers']} answers")
    print(
        f"{head} from the request p95 {milliseconds(item['from_request_ms']['p95'])} ms; left to play when more came: "
        f"{_figure(left['p5'], 2)} s (5 %), {_figure(left['p50'], 2)} s (median), {_figure(left['max'], 1)} s at most"
    )
    if shares := item["stages"]["shares"]:
        print(f"{head} where the time went: " + ", ".join(f"{name} {share:.1%}" for name, share in shares.items()))
    counts = {name: value for name, value in item["stages"]["per_sec"].items() if value}
    counts |= {name: sizes["mean"] for name, sizes in item["batch_sizes"].items() if "mean" in sizes}
    if counts:
        print(f"{head} a second, or mean: " + ", ".join(f"{name} {value:g}" for name, value in counts.items()))
    told = {**{name: value for name, value in memory.items() if value is not None}, **(gpu or {})}
    print(f"{head} loop lag p99 {item['loop_lag_ms']['p99']} ms; " + ", ".join(f"{k} {v:g}" for k, v in told.items()))
    if cut["count"]:
        print(
            f"{head} {cut['count']} cut off, {cut['while_open']} of them while being made; "
            f"closed in p50 {cut['close_ms']['p50']} ms, at most {cut['close_ms']['max']} ms"
        )
    if item["errors"]:
        print(f"{head} of {item['answers']} answers: {json.dumps(item['errors'])}")
    if found := item.get("ratio"):
        print(f"{head} ours over upstream's: " + ", ".join(f"{k} {v}" for k, v in found.items()))


def _load_in_words(load: Mapping[str, Any]) -> str:
    pace = "the next answer 0.3 to 1 s after the last was heard"
    if load["duty"]:
        pace = f"heard {load['duty']:.0%} of the time"
    elif load["period_secs"]:
        pace = f"one answer in {load['period_secs']:g} s"
    written = "given whole" if load["instant"] else f"written at {load['tokens_per_sec']:g} tokens/s"
    return f"{load['secs']:g} s, {pace}, text {written}, buffer {load['buffer_ms']:g} ms, seed {load['seed']}"


def _waits(answers: Sequence[Heard], since: str) -> list[float]:
    sounded = [answer.first_at - getattr(answer, since) for answer in answers if answer.first_at is not None]
    given_up = [item for item in answers if item.first_at is None and item.error == UNANSWERED]
    return sounded + [answer.closed_at - getattr(answer, since) for answer in given_up]


def _sizes(counts: Mapping[str, Any]) -> dict[str, Any]:
    """Only those that happened; the mean where the names are sizes."""
    happened = {name: value for name, value in counts.items() if isinstance(value, int | float) and value}
    total = sum(happened.values())
    if not total or not all(name.isdecimal() for name in happened):
        return happened
    return {**happened, "mean": rounded(sum(int(name) * value for name, value in happened.items()) / total)}


def _median(values: Sequence[float]) -> float | None:
    return rounded(float(np.median(values))) if values else None


def _figure(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
