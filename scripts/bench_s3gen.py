#!/usr/bin/env python
"""Times S3Gen with random weights: a chunk of many streams, its flow, its vocoder, and the host's time to launch it.

scripts/bench_s3gen.py [--variant turbo base] [--batches 1 4 16 32] [--tokens 25 75 150] [--prompt 75 250]
                       [--device cuda] [--json OUT]

Prints a table and one JSON object. Every row is a run in which each stream's last `--chunk` tokens are new, after the
last `prompt` tokens of a voice's prompt. `flow_ms` and `vocoder_ms` are the device's time, `launch_ms` the host's until
it can go on, `total_ms` the time until the samples are there; `capture_ms` what the first such run took. `tflop` is
what all of its rows take at full size without padding, by the operations that `S3GenDecoder` counts.
"""

import argparse
import contextlib
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

import engines.chatterbox.upstream  # noqa: F401 - makes Chatterbox importable.
from engines.chatterbox.s3gen.decoder import S3GenDecoder
from engines.chatterbox.s3gen.fused import fused_by_torch
from engines.chatterbox.s3gen.stream import Stream, Window

SPEECH_TOKENS = 6561
SIZES = ("prompt", "batch", "tokens", "padded", "frames")
COLUMNS = (*SIZES, "tflop", "flow_ms", "vocoder_ms", "launch_ms", "total_ms", "capture_ms")


def operations(frames: int, passes: int, window: int) -> float:
    """Floating-point operations of one row: `frames` of prompt and speech, `window` of them vocoded."""
    estimator = 130e6 * frames + 115e3 * frames**2
    return passes * estimator + 50e6 * frames + 0.6e9 * window


class Bench:
    """One decoder of one variant."""

    def __init__(self, options: argparse.Namespace, s3gen: Any, variant: str):
        """Make it with room for the largest batch."""
        from scripts.random_chatterbox import random_conditionals

        self.options, self.variant = options, variant
        self.is_cuda = options.device.startswith("cuda")
        self.decoder = S3GenDecoder(
            s3gen,
            device=options.device,
            dtype=options.dtype and getattr(torch, options.dtype),
            vocoder_dtype=getattr(torch, options.vocoder_dtype),
            attention=options.attention,
            max_batch=max(options.batches),
            max_prompt=max(options.prompt),
            channels_last=None if options.layout == "auto" else options.layout == "last",
            tune=options.tune,
        )
        if options.no_triton:
            self.decoder._vocoder._hift._fused = fused_by_torch
        gen = random_conditionals(variant, ref_seconds=max(options.prompt) / 25)["gen"]
        self.prompt = self.decoder.voice(gen)
        self.passes = self.decoder._flow.steps * (1 if s3gen.meanflow else 2)

    def run(self) -> list[dict[str, Any]]:
        """All measurements, one dictionary each; batches that are too large for a length are left out."""
        sizes = itertools.product(self.options.prompt, self.options.tokens, self.options.batches)
        rows = [self.chunk(prompt, tokens, batch) for prompt, tokens, batch in sizes]
        return [row for row in rows if row]

    @torch.no_grad()
    def chunk(self, prompt: int, tokens: int, batch: int) -> dict[str, Any]:
        """A run of so many streams that have so many tokens each."""
        decoder = self.decoder
        work = [self.stream(prompt, tokens, seed) for seed in range(batch)]
        bucket = decoder._joint(work)
        found: dict[str, Any] = {}
        if batch <= decoder.largest(bucket):
            rows = decoder._plan.batch(batch)
            captured = self.timed(lambda: self.total(work))
            found = {"variant": self.variant, "prompt": prompt, "batch": batch, "tokens": tokens}
            found |= {"padded": bucket.tokens, "frames": bucket.frames, "capture_ms": captured}
            window = work[0][1]
            made = 2 * (prompt + window.usable)
            found["tflop"] = batch * operations(made, self.passes, window.frames) / 1e12
            found["flow_ms"] = self.median(lambda: decoder._flow.run(rows, bucket.tokens))
            found["vocoder_ms"] = self.median(lambda: decoder._vocoder.run(rows, bucket.frames))
            totals = [self.total(work) for _ in range(self.options.repeats)]
            found["launch_ms"] = statistics.median(launch for launch, _ in totals)
            found["total_ms"] = statistics.median(total for _, total in totals)
        for stream, _ in work:
            decoder.close(stream)
        return found

    def stream(self, prompt: int, tokens: int, seed: int) -> tuple[Stream, Window]:
        """A stream that has spoken all but its last chunk."""
        stream = self.decoder.open(self.prompt, seed, prompt_tokens=prompt)
        drawn = torch.randint(SPEECH_TOKENS, (tokens,), generator=torch.Generator().manual_seed(seed)).tolist()
        for end in (tokens - self.options.chunk, tokens):
            window = stream.window(end, False, context=14, hold=self.decoder._hold)
            stream.take(drawn[:end], window, False)
        if window is None:
            raise SystemExit(f"--tokens {tokens} leaves nothing to speak after lookahead and what is held back")
        return stream, window

    def total(self, work: list[tuple[Stream, Window]]) -> tuple[float, float]:
        """Milliseconds until the host can go on, and until the samples are there."""
        self.finish()
        began = time.perf_counter()
        counts: list[int | None] = [480 * (window.until - window.spoken) for _, window in work]
        run = self.decoder._fetch(self.decoder._run(work), counts)
        launched = time.perf_counter()
        run.audio()
        return 1000 * (launched - began), 1000 * (time.perf_counter() - began)

    def median(self, work: Callable[[], None]) -> float:
        return statistics.median(self.timed(work) for _ in range(self.options.repeats))

    def timed(self, work: Callable[[], Any]) -> float:
        """Milliseconds until the device is done."""
        self.finish()
        began = time.perf_counter()
        work()
        self.finish()
        return 1000 * (time.perf_counter() - began)

    def profile(self) -> str:
        """Where the device's time goes in the largest run."""
        tokens, batch = max(self.options.tokens), max(self.options.batches)
        work = [self.stream(max(self.options.prompt), tokens, seed) for seed in range(batch)]
        work = work[: self.decoder.largest(self.decoder._joint(work))]
        self.total(work)
        activity = torch.profiler.ProfilerActivity.CUDA if self.is_cuda else torch.profiler.ProfilerActivity.CPU
        with torch.profiler.profile(activities=[activity]) as profiler:
            for _ in range(3):
                self.total(work)
        by = "self_device_time_total" if self.is_cuda else "self_cpu_time_total"
        return profiler.key_averages().table(sort_by=by, row_limit=40, max_name_column_width=80)

    def finish(self) -> None:
        if self.is_cuda:
            torch.cuda.synchronize()


def measure(options: argparse.Namespace, variant: str) -> list[dict[str, Any]]:
    """All rows of a variant."""
    from scripts.random_chatterbox import build, tiny_architecture

    with tiny_architecture() if options.tiny else contextlib.nullcontext():
        s3gen = build(variant)[1]
    bench = Bench(options, s3gen, variant)
    if options.prepare:
        began = time.perf_counter()
        reserved = bench.decoder.prepare(min_tokens=min(options.prompt))
        secs, graphs = time.perf_counter() - began, len(bench.decoder._graphs)
        print(f"{variant}: {graphs} graphs prepared in {secs:.1f} s, {reserved / 2**20:.0f} MiB reserved")
    rows = bench.run()
    print_table(variant, rows)
    if bench.is_cuda:
        print(f"{variant}: {torch.cuda.max_memory_reserved() / 2**20:.0f} MiB reserved at most")
    if options.profile:
        print(bench.profile())
    return rows


def print_table(variant: str, rows: list[dict[str, Any]]) -> None:
    """One line a measurement."""
    print(variant.ljust(8), *(name.rjust(11) for name in COLUMNS))
    for row in rows:
        print(" " * 8, *(f"{row[name]:11d}" if name in SIZES else f"{row[name]:11.2f}" for name in COLUMNS))


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Time Chatterbox's S3Gen with random weights.")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--variant", nargs="+", choices=("turbo", "base"), default=["turbo", "base"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 4, 16, 32])
    parser.add_argument("--tokens", nargs="+", type=int, default=[25, 75, 150], help="speech tokens of each stream")
    parser.add_argument("--chunk", type=int, default=25, help="of which so many are new")
    parser.add_argument("--prompt", nargs="+", type=int, default=[75, 250], help="tokens of the voice's prompt")
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), help="of the flow")
    parser.add_argument("--vocoder-dtype", choices=("float32", "float16", "bfloat16"), default="float32")
    parser.add_argument("--attention", choices=("full", "chunked"), default="full")
    parser.add_argument(
        "--layout", choices=("auto", "first", "last"), default="auto", help="where HiFT has its channels"
    )
    parser.add_argument("--no-triton", action="store_true", help="HiFT's element-wise work by torch")
    parser.add_argument("--tune", action="store_true", help="let cuDNN time its algorithms")
    parser.add_argument("--prepare", action="store_true", help="capture all usual graphs first, and time that")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--tiny", action="store_true", help="a small model, to try this script")
    parser.add_argument("--stub-missing", action="store_true", help="stand in for optional packages that are missing")
    parser.add_argument("--profile", action="store_true", help="print where the largest run's time goes")
    parser.add_argument("--json", type=Path, help="write the rows here too")
    return parser.parse_args()


def main() -> None:
    """Entry point."""
    options = parsed()
    if options.stub_missing:
        from scripts.stub_optional import stub_optional

        print("stubbed:", ", ".join(stub_optional()) or "nothing")
    name = torch.cuda.get_device_name() if options.device.startswith("cuda") else "CPU"
    rows = [row for variant in options.variant for row in measure(options, variant)]
    found = {"what": "s3gen", "machine": name, "torch": torch.__version__, "rows": rows}
    print(json.dumps(found))
    if options.json:
        options.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
