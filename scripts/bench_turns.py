#!/usr/bin/env python
"""How fast the agent answers: places one real call with generated questions and prints each stage.

    scripts/bench_turns.py [--turns 20] [--url http://127.0.0.1:7860] [--json]

Without `--url` it starts the embedded profile for itself. Times are in milliseconds, voice to voice at the caller.
"""

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
from rich.console import Console
from rich.table import Table

from scripts.questions import QUESTIONS, speak_questions
from scripts.served import served
from transports.caller import CallOptions, place_call

STAGES = ("vad_ms", "stt_ms", "turn_ms", "llm_ms", "tts_ms")
PERCENTILES = (50, 95, 99)


def percentiles(values: Sequence[float]) -> dict[str, float | None]:
    """p50, p95 and p99 of the values; None where there are none."""
    if not values:
        return {f"p{percent}": None for percent in PERCENTILES}
    return {f"p{percent}": round(float(np.percentile(values, percent)), 1) for percent in PERCENTILES}


def machine() -> str:
    """This machine, in words."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    return f"{os.cpu_count()} x {model}"


def measure(url: str, turns: int) -> dict[str, Any]:
    """Place the call and sum it up."""
    with tempfile.TemporaryDirectory() as folder:
        questions = tuple(QUESTIONS[number % len(QUESTIONS)] for number in range(turns))
        wavs = speak_questions(Path(folder), questions)
        before = os.getloadavg()[0]
        report = asyncio.run(place_call(CallOptions(url=url, wavs=wavs))).as_dict()
    answered: list[dict[str, Any]] = [turn for turn in report["turns"] if turn["voice_to_voice_ms"]]  # type: ignore
    return {
        "what": "turns",
        "machine": machine(),
        "load": f"1 call, {len(answered)} of {turns} turns answered, load average {before:.2f} before",
        "voice_to_voice_ms": percentiles([turn["voice_to_voice_ms"] for turn in answered]),
        "stages": {
            stage: percentiles([turn["stages"][stage] for turn in answered if turn["stages"][stage] is not None])
            for stage in STAGES
        },
        "turns": [{key: turn[key] for key in ("heard", "reply", "voice_to_voice_ms", "stages")} for turn in answered],
        "problems": report.get("problems", []),
    }


def show(result: dict[str, Any]) -> None:
    """Print the table for people."""
    console = Console()
    console.print(f"{result['machine']}; {result['load']}")
    table = Table("", "p50", "p95", "p99", box=None)
    for name, row in {"voice to voice": result["voice_to_voice_ms"], **result["stages"]}.items():
        table.add_row(
            name, *("–" if row[f"p{percent}"] is None else f"{row[f'p{percent}']:.0f}" for percent in PERCENTILES)
        )
    console.print(table)
    for problem in result["problems"]:
        console.print(f"note: {problem}")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--url", help="an agent that already runs")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with nullcontext(SimpleNamespace(url=options.url)) if options.url else served() as agent:
        result = measure(agent.url, options.turns)
    if options.json:
        print(json.dumps(result))
    else:
        show(result)


if __name__ == "__main__":
    main()
