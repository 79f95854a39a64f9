"""What was measured, summed up: percentiles, throughput, where the time went, errors, and the two engines compared."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from agent.bench.callers import UNANSWERED, Answer, Measured
from agent.bench.figures import milliseconds, over, percentiles, print_table, rounded
from engines.protocol import Transcript


def summary(measured: Measured) -> dict[str, Any]:
    """The figures of one engine.

    An utterance that was refused has no latency and counts only as an error. One that was given up has waited for so
    long at least: it counts as an error, and its wait among the latencies, or they would look best where it is worst.
    """
    answers = measured.answers
    answered = [answer for answer in answers if answer.transcript is not None]
    heard = [answer.transcript for answer in answers if answer.transcript is not None]
    errors = Counter(answer.error for answer in answers if answer.error)
    elapsed = measured.elapsed_secs
    audio_secs = sum(answer.utterance.secs for answer in answered)
    busy_secs = sum(_share_of_batch(item) for item in heard)
    asked = measured.partials.asked or measured.partials.no_room
    return {
        "latency_ms": percentiles([item.latency_secs for item in answers if item.error in (None, UNANSWERED)]),
        "throughput": {
            "utterances_per_sec": rounded(len(answered) / elapsed) if elapsed else None,
            "audio_secs_per_sec": rounded(audio_secs / elapsed) if elapsed else None,
            "real_time_factor": rounded(busy_secs / audio_secs) if audio_secs else None,
            "busy": rounded(busy_secs / elapsed) if elapsed else None,
        },
        "batch_sizes": batch_sizes(heard),
        "passes": {str(passes): count for passes, count in sorted(Counter(item.passes for item in heard).items())},
        "shares": {"latency": latency_shares(answered), "busy": busy_shares(heard)},
        "utterances": len(answers),
        "answered": len(answered),
        "empty": sum(not item.text for item in heard),
        "errors": dict(sorted(errors.items())),
        "word_error_rate": word_error_rate(answers),
        "partials": vars(measured.partials) if asked else None,
        "sent_late_ms": percentiles([answer.late_secs for answer in answers]),
    }


def batch_sizes(heard: Sequence[Transcript]) -> dict[str, float]:
    """How many utterances went through the model in a batch of each size, and the mean size of a batch."""
    if not heard:
        return {}
    counts = Counter(item.batch_size for item in heard)
    batches = sum(count / size for size, count in counts.items())
    return {**{str(size): counts[size] for size in sorted(counts)}, "mean": rounded(len(heard) / batches)}


def latency_shares(answered: Sequence[Answer]) -> dict[str, float]:
    """Where the latency went, 0 to 1; together 1.

    `features` is what the model's thread did before and after the model: the spectrograms that were not ready. `other`
    is between the caller and the engine: the event loop, a socket.
    """
    total = sum(answer.latency_secs for answer in answered)
    heard = [answer.transcript for answer in answered if answer.transcript is not None]
    if not total:
        return {}
    waiting = sum(item.queue_secs for item in heard)
    encode, decode = sum(item.encode_secs for item in heard), sum(item.decode_secs for item in heard)
    compute = sum(item.compute_secs for item in heard)
    parts = {"waiting": waiting, "features": max(0.0, compute - encode - decode), "encode": encode, "decode": decode}
    parts["other"] = max(0.0, total - waiting - compute)
    return {name: rounded(secs / total) for name, secs in parts.items()}


def busy_shares(heard: Sequence[Transcript]) -> dict[str, float]:
    """Where the model's own time went, 0 to 1; together 1. A batch's time counts once, however many shared it."""
    busy = sum(_share_of_batch(item) for item in heard)
    if not busy:
        return {}
    encode = sum(item.encode_secs / item.batch_size for item in heard)
    decode = sum(item.decode_secs / item.batch_size for item in heard)
    parts = {"features": max(0.0, busy - encode - decode), "encode": encode, "decode": decode}
    return {name: rounded(secs / busy) for name, secs in parts.items()}


def word_error_rate(answers: Sequence[Answer]) -> float | None:
    """Words that were wrong, missing or too many, over the words that were said; None where no text is known."""
    known = [
        (words(item.utterance.text), words(item.transcript.text))
        for item in answers
        if item.utterance.text and item.transcript is not None
    ]
    said = sum(len(reference) for reference, _ in known)
    if not said:
        return None
    return rounded(sum(distance(reference, heard) for reference, heard in known) / said)


def words(text: str) -> list[str]:
    """Lower-case words without punctuation, titles written out."""
    plain = re.sub(r"[^\w' ]+", " ", text.lower().replace("-", " "))
    return ["mister" if word == "mr" else word for word in plain.split()]


def distance(reference: Sequence[str], heard: Sequence[str]) -> int:
    """Fewest words to replace, remove and add (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for i, said in enumerate(reference, 1):
        previous, row = row, [i]
        for j, word in enumerate(heard, 1):
            row.append(min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (said != word)))
    return row[-1]


def ratio(ours: dict[str, Any], baseline: dict[str, Any]) -> dict[str, float | None]:
    """Ours over the baseline's: below 1 is better for the latencies, above 1 for the throughput."""
    pairs = {name: (ours["latency_ms"][name], baseline["latency_ms"][name]) for name in ("p50", "p95", "p99")}
    rates = [side["throughput"]["utterances_per_sec"] for side in (ours, baseline)]
    return {name: over(*pair) for name, pair in {**pairs, "throughput": tuple(rates)}.items()}


def table(reports: Sequence[dict[str, Any]]) -> list[list[str]]:
    """A head and one row for each number of callers and engine, for people."""
    rows = [["callers", "engine", "p50 ms", "p95", "p99", "max", "utt/s", "audio/s", "busy", "batch", "errors", "WER"]]
    for report in reports:
        for name, side in (("ours", report), ("plain", report.get("baseline"))):
            if side:
                rows.append([str(report["load"]["callers"]), name, *_row(side)])
    return rows


def show(report: dict[str, Any], machine: str) -> None:
    """Print the report for people."""
    reports = report.get("sweep") or [report]
    load, engine = reports[0]["load"], reports[0]["engine"]
    print(machine)
    pace = "each asks again once answered" if load["saturate"] else f"one in {load['period_secs']:g} s"
    print(f"{load['secs']:g} s, utterances of {load['utterance_secs_mean']} s on average, {pace}, seed {load['seed']}")
    print(", ".join(f"{name} {value}" for name, value in engine.items() if value is not None))
    print_table(table(reports))
    for item in reports:
        callers = item["load"]["callers"]
        shares = ", ".join(f"{name} {share:.0%}" for name, share in item["shares"]["latency"].items())
        again = sum(count for passes, count in item["passes"].items() if passes != "1")
        print(f"{callers} callers: where the latency went: {shares or 'nothing was answered'}")
        print(f"{callers} callers: {again} of {item['utterances']} went through the model more than once")
        for name, side in (("ours", item), ("plain faster-whisper", item.get("baseline"))):
            for kind, count in (side or {}).get("errors", {}).items():
                print(f"{callers} callers: {name}: {count} of {side['utterances']} {kind}")  # type: ignore
        if found := item.get("ratio"):
            print(f"{callers} callers: ours over plain: " + ", ".join(f"{k} {v}" for k, v in found.items()))


def _row(side: dict[str, Any]) -> list[str]:
    throughput = side["throughput"]
    return [
        *(milliseconds(value) for value in side["latency_ms"].values()),
        *("–" if throughput[name] is None else f"{throughput[name]:.2f}" for name in _RATES),
        "–" if throughput["busy"] is None else f"{throughput['busy']:.0%}",
        f"{side['batch_sizes'].get('mean', 0):.1f}",
        str(sum(side["errors"].values())),
        "–" if side["word_error_rate"] is None else f"{side['word_error_rate']:.1%}",
    ]


_RATES = ("utterances_per_sec", "audio_secs_per_sec")


def _share_of_batch(transcript: Transcript) -> float:
    return transcript.compute_secs / transcript.batch_size
