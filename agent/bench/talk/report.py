"""What was judged, summed up: rates with their counts, latencies, stages, what failed; and both sides compared."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from agent.bench.figures import PERCENTILES, milliseconds, percentiles, print_table, rounded
from agent.bench.talk.measure import Verdict
from agent.bench.talk.script import KINDS, PARTS
from transports.caller_report import STAGES

RATES = {
    "cut_off": "the bot spoke into an unfinished sentence",
    "stall": "no answer within 1.5 s",
    "false_interruption": "the answer broke off at no speech",
    "missed_interruption": "the bot spoke on for more than 1 s",
    "false_answer": "the bot spoke though nobody had",
}
FIELDS = {"cut_off": "cut_off", "stall": "stalled"}
"""Of `Verdict`, where it is called otherwise."""

DESIGNED = ("cut_off", "stall", "false_interruption", "missed_interruption")


@dataclass(frozen=True)
class Judged:
    """One turn that was played.

    Attributes:
        dialogue: Id of its dialogue.
        part: `tune` or `held-out`.
        number: Which turn of it, from 1.
        kind: One of `script.KINDS`.
        text: What was to be heard.
        heard: What the server understood.
        verdict: What became of it.
        stages: What the server says each stage took, in ms.
    """

    dialogue: str
    part: str
    number: int
    kind: str
    text: str
    heard: str
    verdict: Verdict
    stages: dict[str, float | None]


def summary(turns: Sequence[Judged]) -> dict[str, Any]:
    """The figures of one side over some turns."""
    verdicts = [turn.verdict for turn in turns]
    counts = {name: count(verdicts, FIELDS.get(name, name)) for name in RATES}
    return {
        "voice_to_voice_ms": three([it.voice_to_voice_secs for it in verdicts]),
        "turns": len(turns),
        **{f"{name}_rate": counts[name]["rate"] for name in DESIGNED},
        "silence_after_barge_in_ms": three([it.silence_secs for it in verdicts]),
        "stages": {name: three([_secs(turn.stages.get(name)) for turn in turns]) for name in STAGES},
        "counts": counts,
        "void": sum(verdict.void is not None for verdict in verdicts),
    }


def side(turns: Sequence[Judged]) -> dict[str, Any]:
    """The figures of one side: over all turns, over each part, by kind, and what failed."""
    parts = {part: [turn for turn in turns if turn.part == part] for part in PARTS}
    kinds = {kind: [turn for turn in turns if turn.kind == kind] for kind in KINDS}
    return {
        **summary(turns),
        "parts": {part: summary(found) for part, found in parts.items() if found},
        "kinds": {kind: _kind(found) for kind, found in kinds.items() if found},
        "failures": [_failure(turn) for turn in turns if turn.verdict.faults or turn.verdict.void],
    }


def count(verdicts: Iterable[Verdict], name: str) -> dict[str, Any]:
    """How many of those that could show a fault did: `n` of `of`, and `rate`, 0 to 1; None of none."""
    told = [bool(found) for verdict in verdicts if (found := getattr(verdict, name)) is not None]
    return {"n": sum(told), "of": len(told), "rate": rounded(sum(told) / len(told)) if told else None}


def three(secs: Iterable[float | None]) -> dict[str, float | None]:
    """p50, p95 and p99 in ms of what is not None."""
    found = percentiles([value for value in secs if value is not None])
    return {name: found[name] for name in (f"p{percent}" for percent in PERCENTILES)}


def differences(ours: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    """Ours less plain Pipecat's: below 0 is better, for all of them."""
    names = [f"{name}_rate" for name in DESIGNED]
    found: dict[str, Any] = {name: _less(ours[name], plain[name]) for name in names}
    for name in ("voice_to_voice_ms", "silence_after_barge_in_ms"):
        found[name] = {key: _less(ours[name][key], plain[name][key], 1) for key in ours[name]}
    return found


def show(report: dict[str, Any], machine: str) -> None:
    """Print the report for people."""
    load = report["load"]
    print(machine)
    print(f"{report['turns']} turns in {load['dialogues']} dialogues, one call at a time; brain: {load['brain']}")
    plain = report.get("baseline")
    print_table(_table(report, plain))
    print("ms; a rate is n of those turns that could show it. Beside ours, plain Pipecat. What went wrong, by kind:")
    for line in _kind_lines(report, plain):
        print(line)
    for problem in load["problems"]:
        print(f"problem: {problem}")


def _table(ours: dict[str, Any], plain: dict[str, Any] | None) -> list[list[str]]:
    """A column for each side over all turns, then for each part; fits 80 characters."""
    times = [f"{what} {percent}" for what in ("voice to voice", "silence") for percent in ("p50", "p95", "p99")]
    columns = [["", "turns", *(name.replace("_", " ") for name in RATES), "void", *times]]
    for part in ("all", *ours["parts"]):
        for name, found in ((part, ours), ("plain", plain)):
            if found and (figures := found if part == "all" else found["parts"].get(part)):
                columns.append([name, *_column(figures)])
    return [list(row) for row in zip(*columns, strict=True)]


def _column(figures: dict[str, Any]) -> list[str]:
    times = (*figures["voice_to_voice_ms"].values(), *figures["silence_after_barge_in_ms"].values())
    return [
        str(figures["turns"]),
        *(f"{it['n']} of {it['of']}" for it in (figures["counts"][name] for name in RATES)),
        str(figures["void"]),
        *(milliseconds(value) for value in times),
    ]


def _kind_lines(ours: dict[str, Any], plain: dict[str, Any] | None) -> list[str]:
    lines = []
    for kind, found in ours["kinds"].items():
        other = f"; plain Pipecat: {_faults(plain['kinds'].get(kind))}" if plain else ""
        lines.append(f"  {KINDS[kind]} ({found['turns']}): {_faults(found)}{other}")
    return lines


def _faults(kind: dict[str, Any] | None) -> str:
    if kind is None:
        return "–"
    return ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in kind["faults"].items()) or "none"


def _kind(turns: Sequence[Judged]) -> dict[str, Any]:
    faults: dict[str, int] = {}
    for turn in turns:
        for name in (*turn.verdict.faults, *(["void"] if turn.verdict.void else [])):
            faults[name] = faults.get(name, 0) + 1
    return {
        "turns": len(turns),
        "faults": faults,
        "voice_to_voice_ms": three([turn.verdict.voice_to_voice_secs for turn in turns]),
    }


def _failure(turn: Judged) -> dict[str, Any]:
    verdict = turn.verdict
    return {
        "dialogue": turn.dialogue,
        "part": turn.part,
        "turn": turn.number,
        "kind": turn.kind,
        "say": turn.text,
        "heard": turn.heard,
        "faults": verdict.faults,
        "void": verdict.void,
        "voice_to_voice_ms": _ms(verdict.voice_to_voice_secs),
        "silence_after_barge_in_ms": _ms(verdict.silence_secs),
    }


def _secs(ms: float | None) -> float | None:
    return None if ms is None else ms / 1000


def _ms(secs: float | None) -> float | None:
    return None if secs is None else round(secs * 1000, 1)


def _less(ours: float | None, plain: float | None, digits: int = 4) -> float | None:
    return None if ours is None or plain is None else round(ours - plain, digits)
