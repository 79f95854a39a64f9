"""Manners as a picture: what went wrong how often, and how long one waits, of both sides."""

from pathlib import Path
from typing import Any

from agent.bench.plot import OURS, PLAIN, check_plot, new_figure, save
from agent.bench.talk.report import RATES

SIDES = (("ours", OURS, -0.2), ("plain Pipecat", PLAIN, 0.2))


def draw(report: dict[str, Any], path: Path) -> None:
    """Write a PNG.

    Raises:
        BenchError: matplotlib is not installed, or the file cannot be written.
    """
    check_plot(path)
    figure = new_figure()
    rates, times = figure.subplots(1, 2)
    found = (report, report.get("baseline"))
    for (name, colour, shift), side in zip(SIDES, found, strict=True):
        if side:
            _bars(rates, [side["counts"][rate]["rate"] or 0 for rate in RATES], name, colour, shift)
            for number, rate in enumerate(RATES):
                told = side["counts"][rate]
                rates.text(
                    number + shift, told["rate"] or 0, f"{told['n']}/{told['of']}", ha="center", va="bottom", size=7
                )
            latencies = [*side["voice_to_voice_ms"].values(), *side["silence_after_barge_in_ms"].values()]
            _bars(times, [value or 0 for value in latencies], name, colour, shift)
    rates.set_xticks(range(len(RATES)), [name.replace("_", "\n") for name in RATES], fontsize=7)
    rates.set_ylim(0, 1)
    rates.set_title("share of turns", fontsize=10)
    times.set_xticks(range(2 * len(_PERCENT)), _PERCENT * 2, fontsize=8)
    times.set_title("voice to voice | silence after barge-in (ms)", fontsize=10)
    for axes in (rates, times):
        axes.grid(axis="y", alpha=0.3)
        axes.legend(fontsize=8)
    machine = report["machine"]
    figure.suptitle(f"{report['turns']} turns on {machine['cores']} x {machine['cpu']}", fontsize=10)
    save(figure, path)


_PERCENT = ("p50", "p95", "p99")


def _bars(axes: Any, values: list[float], name: str, colour: str, shift: float) -> None:
    axes.bar([number + shift for number in range(len(values))], values, width=0.38, color=colour, label=name)
