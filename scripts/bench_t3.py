#!/usr/bin/env python
"""Times Chatterbox's token model with random weights: a step of many streams, the reading of texts, the captures.

scripts/bench_t3.py [--device cuda] [--variant turbo base] [--attention triton sdpa] [--keys 700] [--json OUT.json]

Prints a table and one JSON object. A step is timed as it is used: the next one is launched before the last one's tokens
are read. `launch_ms` is what launching takes of the host's time.
"""

import argparse
import contextlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from engines.chatterbox.t3.decoder import T3Decoder
from engines.chatterbox.t3.request import Conditioning, T3Request

STREAMS = {"turbo": (1, 8, 32, 64, 100), "base": (1, 8, 32)}
TEXTS = (16, 64, 256)
"""Lengths of texts whose reading is timed."""

LEAST_POSITIONS = 720
"""Room for the longest of them after a voice."""

REPEATS = 10


class Bench:
    """One decoder of one variant."""

    def __init__(self, options: argparse.Namespace, t3: Any, variant: str, attention: str):
        """Make it with room for the most streams."""
        from chatterbox.models.t3.modules.cond_enc import T3Cond

        from scripts.random_chatterbox import random_conditionals

        self.options, self.variant, self.attention = options, variant, attention
        self.streams = options.streams or STREAMS[variant]
        self.decoder = T3Decoder(
            t3,
            slots=max(self.streams),
            max_positions=max(options.keys + 2 * options.steps, LEAST_POSITIONS),
            device=options.device,
            dtype=options.dtype and getattr(torch, options.dtype),
            noise=options.noise,
            attention=attention,  # pyright: ignore[reportArgumentType]
        )
        self.voice: Conditioning = self.decoder.condition(T3Cond(**random_conditionals(variant)["t3"]))

    def run(self) -> list[dict[str, Any]]:
        """All measurements, one dictionary each."""
        return [*(self.steps(streams) for streams in self.streams), *(self.reading(text) for text in TEXTS)]

    def steps(self, streams: int) -> dict[str, Any]:
        """Steps of so many streams whose keys are about as many as was asked for."""
        text = max(8, self.options.keys - self.voice.positions - self.options.steps // 2)
        slots = self.decoder.admit([self.request(text, seed) for seed in range(streams)])
        self.finish()
        first = timed(lambda: self.decoder.launch(slots).tokens())
        for _ in range(3):
            self.decoder.launch(slots).tokens()
        launches, took = [], []
        before = self.decoder.launch(slots)
        for _ in range(self.options.steps):
            began = time.perf_counter()
            following = self.decoder.launch(slots)
            launches.append(1000 * (time.perf_counter() - began))
            before.tokens()
            took.append(1000 * (time.perf_counter() - began))
            before = following
        before.tokens()
        for slot in slots:
            self.decoder.release(slot)
        return self.row(
            "step", streams=streams, keys=self.voice.positions + text + self.options.steps // 2, capture_ms=first
        ) | {"ms": statistics.median(took), "worst_ms": max(took), "launch_ms": statistics.median(launches)}

    def reading(self, text: int) -> dict[str, Any]:
        """One text, and four together, from being admitted until the device is done."""
        found = self.row("read", text=text)
        for count in sorted({1, min(4, self.decoder.slots)}):
            first = timed(lambda count=count: self.read(count, text))
            took = [timed(lambda count=count: self.read(count, text)) for _ in range(REPEATS)]
            found |= {f"ms_{count}": statistics.median(took), f"capture_ms_{count}": first}
        return found

    def read(self, count: int, text: int) -> None:
        slots = self.decoder.admit([self.request(text, seed) for seed in range(count)])
        for slot in slots:
            self.decoder.release(slot)
        self.finish()

    def profile(self) -> str:
        """Where the time of a step of the most streams goes."""
        activities = [torch.profiler.ProfilerActivity.CPU]
        if self.options.device.startswith("cuda"):
            activities = [torch.profiler.ProfilerActivity.CUDA]
        slots = self.decoder.admit([self.request(64, seed) for seed in range(max(self.streams))])
        self.decoder.launch(slots).tokens()
        with torch.profiler.profile(activities=activities) as profiler:
            for _ in range(REPEATS):
                self.decoder.launch(slots).tokens()
        for slot in slots:
            self.decoder.release(slot)
        by = "self_device_time_total" if self.options.device.startswith("cuda") else "self_cpu_time_total"
        return profiler.key_averages().table(sort_by=by, row_limit=30, max_name_column_width=70)

    def request(self, text: int, seed: int) -> T3Request:
        tokens = torch.randint(3, 250, (text,), generator=torch.Generator().manual_seed(seed))
        if self.variant == "base":
            tokens[0], tokens[-1] = 255, 0
        room = self.decoder.max_positions - self.voice.positions - text - 1
        return T3Request(tokens, self.voice, max_tokens=room, seed=seed)

    def row(self, what: str, **more: Any) -> dict[str, Any]:
        return {"what": what, "variant": self.variant, "attention": self.attention, **more}

    def finish(self) -> None:
        if self.options.device.startswith("cuda"):
            torch.cuda.synchronize()


def timed(work: Callable[[], Any]) -> float:
    """Milliseconds that `work` takes."""
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


def table(rows: list[dict[str, Any]]) -> str:
    """One line for each row."""

    def shown(value: Any) -> Any:
        return f"{value:.2f}" if isinstance(value, float) else value

    return "\n".join("  ".join(f"{name} {shown(value)}" for name, value in row.items()) for row in rows)


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """All variants and kinds of attention."""
    from scripts.random_chatterbox import build, tiny_architecture

    rows: list[dict[str, Any]] = []
    for variant in options.variant:
        with tiny_architecture() if options.size == "tiny" else contextlib.nullcontext():
            t3 = build(variant)[0]
        for attention in options.attention:
            bench = Bench(options, t3, variant, attention)
            found = bench.run()
            print(table(found), flush=True)
            rows += found
            if options.profile:
                print(bench.profile(), flush=True)
    return rows


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--variant", nargs="+", choices=("turbo", "base"), default=["turbo", "base"])
    parser.add_argument("--attention", nargs="+", choices=("triton", "sdpa"), default=["triton"])
    parser.add_argument("--noise", choices=("counter", "generator"), default="counter")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--size", choices=("full", "tiny"), default="full")
    parser.add_argument("--streams", nargs="+", type=int, help="streams at a time, in place of the usual ones")
    parser.add_argument("--keys", type=int, default=700, help="positions that a step looks back on")
    parser.add_argument("--steps", type=int, default=50, help="steps that are timed")
    parser.add_argument("--profile", action="store_true", help="show where the time of the largest step goes")
    parser.add_argument("--stub-missing", action="store_true", help="stand in for optional packages that are missing")
    parser.add_argument("--json", type=Path, help="file for the measurements")
    return parser.parse_args()


def main() -> None:
    """Entry point."""
    options = arguments()
    if options.stub_missing:
        from scripts.stub_optional import stub_optional

        print("stubbed:", ", ".join(stub_optional()) or "nothing")
    machine = torch.cuda.get_device_name() if options.device.startswith("cuda") else "CPU"
    found = json.dumps({"what": "t3", "machine": machine, "torch": torch.__version__, "rows": measure(options)})
    print(found)
    if options.json:
        options.json.write_text(found, encoding="utf-8")


if __name__ == "__main__":
    main()
