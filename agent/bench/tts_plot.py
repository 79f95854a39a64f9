"""First sound and underruns against speakers as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.bench.plot import OURS, PLAIN, check_plot, draw_latencies, new_figure, save


def draw(reports: Sequence[dict[str, Any]], path: Path, *, aim_ms: float | None = None) -> None:
    """Write a PNG: above the percentiles of each engine, below the share of answers with underruns.

    Raises:
        BenchError: matplotlib is not installed, or the file cannot be written.
    """
    check_plot(path)
    figure = new_figure()
    latency, dry = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    ours = [(item["load"]["speakers"], item) for item in reports]
    plain = _plain(reports)
    draw_latencies(latency, {"ours": ours, "upstream": plain}, aim_ms=aim_ms)
    for side, colour, style in ((ours, OURS, "o-"), (plain, PLAIN, "s--")):
        points = [(speakers, 100 * of["underrun_rate"]) for speakers, of in side if of["underrun_rate"] is not None]
        if points:
            dry.plot(*zip(*points, strict=True), style, color=colour)
    latency.set_ylabel("first sentence to first sound (ms)")
    latency.set_title(_title(reports[0]), fontsize=10)
    dry.set_ylabel("answers with\nunderruns (%)")
    dry.set_ylim(0, max(1.0, dry.get_ylim()[1]))
    dry.set_xlabel("speakers")
    dry.set_xticks(sorted({speakers for speakers, _ in ours + plain}))
    dry.grid(alpha=0.3)
    save(figure, path)


def _plain(reports: Sequence[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    """What was measured of upstream, by its own numbers of speakers."""
    found: dict[int, dict[str, Any]] = {}
    for baseline in (item["baseline"] for item in reports if item.get("baseline")):
        for side in (baseline, baseline["alone"]):
            if side:
                found[side["speakers"]] = side
    return sorted(found.items())


def _title(report: dict[str, Any]) -> str:
    machine, load, engine = report["machine"], report["load"], report["engine"]
    where = machine["gpu"] or f"{machine['cores']} x {machine['cpu']}"
    pace = "text given whole" if load["instant"] else f"text at {load['tokens_per_sec']:g} tokens/s"
    kind = ", random weights" if load["random_weights"] else ""
    return f"{engine['name']}{kind} on {where}\nspeakers at real pace, {pace}"
