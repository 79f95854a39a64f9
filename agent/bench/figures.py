"""Figures of a report, and how people are shown them."""

import math
from collections.abc import Sequence

import numpy as np

PERCENTILES = (50, 95, 99)


def percentiles(values_secs: Sequence[float]) -> dict[str, float | None]:
    """p50, p95, p99 and the largest in milliseconds, from seconds; None where there are no values."""
    names = [*(f"p{percent}" for percent in PERCENTILES), "max"]
    if not values_secs:
        return dict.fromkeys(names)
    found = [*np.percentile(values_secs, PERCENTILES), max(values_secs)]
    return {name: round(1000 * float(value), 1) for name, value in zip(names, found, strict=True)}


def rounded(value: float, digits: int = 4) -> float:
    """Four significant digits: the rest is noise."""
    if not value:
        return 0.0
    return round(value, digits - 1 - math.floor(math.log10(abs(value))))


def over(ours: float | None, baseline: float | None) -> float | None:
    """The ratio; None where there is nothing to compare."""
    return rounded(ours / baseline) if ours is not None and baseline else None


def milliseconds(value: float | None) -> str:
    """For a table, without the unit."""
    return "–" if value is None else f"{value:.0f}"


def print_table(rows: list[list[str]]) -> None:
    """Print rows of cells, the first of them the head, the second column of words."""
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            print(" ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))
        return
    # Fits 80 columns, which is what a pipe is taken for.
    shown = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for column, name in enumerate(rows[0]):
        shown.add_column(name, justify="left" if column == 1 else "right", no_wrap=True)
    for row in rows[1:]:
        shown.add_row(*row)
    Console().print(shown)
