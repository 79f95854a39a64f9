"""Latency against callers as a picture."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.bench.speech import BenchError

SHADES = {"p50": 1.0, "p95": 0.65, "p99": 0.35}
OURS, PLAIN = "#1f6f54", "#b4572e"
LOG_FROM = 20
"""Where the slowest is so many times the fastest, a linear scale would hide the fast one."""


def check_plot(path: Path) -> None:
    """Say before the measurement, rather than after it, that it cannot be drawn.

    Raises:
        BenchError: matplotlib is not installed, or there is no such folder.
    """
    if not path.resolve().parent.is_dir():
        raise BenchError(f"--plot {path}: there is no folder {path.parent}")
    try:
        importlib.import_module("matplotlib")
    except ImportError:
        raise BenchError("--plot needs the package matplotlib: install it, or leave --plot away") from None


def draw(reports: Sequence[dict[str, Any]], path: Path, *, aim_ms: float | None = None) -> None:
    """Write a PNG: the percentiles of each engine against the number of callers.

    Raises:
        BenchError: matplotlib is not installed, or the file cannot be written.
    """
    check_plot(path)
    figure = new_figure()
    axes = figure.add_subplot()
    sides = {"ours": reports, "plain faster-whisper": [item.get("baseline") for item in reports]}
    callers = [item["load"]["callers"] for item in reports]
    draw_latencies(axes, {side: list(zip(callers, found, strict=True)) for side, found in sides.items()}, aim_ms=aim_ms)
    axes.set_xlabel("callers")
    axes.set_ylabel("end of utterance to text (ms)")
    axes.set_title(_title(reports[0]), fontsize=10)
    axes.set_xticks(sorted(set(callers)))
    save(figure, path)


def new_figure() -> Any:
    """An empty picture."""
    return importlib.import_module("matplotlib.figure").Figure(figsize=(8, 5), layout="constrained")


def draw_latencies(
    axes: Any, sides: Mapping[str, Sequence[tuple[int, dict[str, Any] | None]]], *, aim_ms: float | None
) -> None:
    """The percentiles of `latency_ms` of each engine, from its reports by the number of those who speak."""
    drawn: list[float] = []
    for (side, reports), (colour, style) in zip(sides.items(), ((OURS, "o-"), (PLAIN, "s--")), strict=True):
        for name, alpha in SHADES.items():
            points = [(count, of["latency_ms"][name]) for count, of in reports if of and of["latency_ms"][name]]
            if points:
                axes.plot(*zip(*points, strict=True), style, color=colour, alpha=alpha, label=f"{side} {name}")
                drawn += [value for _, value in points]
    if aim_ms:
        axes.axhline(aim_ms, color="black", linewidth=0.8, linestyle=":", label=f"aim {aim_ms:g} ms")
    if drawn and max(drawn) > LOG_FROM * min(drawn):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def save(figure: Any, path: Path) -> None:
    """Write the PNG.

    Raises:
        BenchError: The file cannot be written.
    """
    try:
        figure.savefig(path, dpi=150, format="png")
    except OSError as error:
        raise BenchError(f"--plot {path} cannot be written: {error}") from error


def _title(report: dict[str, Any]) -> str:
    machine, load, engine = report["machine"], report["load"], report["engine"]
    where = machine["gpu"] or f"{machine['cores']} x {machine['cpu']}"
    pace = f"{load['utterance_secs']:g} s in every {load['period_secs']:g} s"
    pace = "asking without pause" if load["saturate"] else pace
    return f"{engine['name']}, {engine.get('compute_type') or ''} on {where}\nspeech: {pace}"
