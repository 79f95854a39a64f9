#!/usr/bin/env python
"""Memory of speech to text over many utterances: of this process and, on a GPU, of the whole card.

With random weights (`scripts/random_whisper.py`) give `--fixed-tokens 24`. Prints a line at each tenth and one JSON
object.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from engines.whisper import WhisperEngine
from engines.whisper.features import SAMPLE_RATE
from engines.whisper.gates import Gates

PAGE = 4096
MIB = 2**20
SHAPES = 64


def host_mib() -> float:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / MIB


def gpu_mib() -> float | None:
    """Memory in use on the first GPU, by everybody."""
    with contextlib.suppress(Exception):
        import pynvml  # pyright: ignore[reportMissingImports]

        pynvml.nvmlInit()
        return float(pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(0)).used) / MIB
    return None


def utterances(seed: int, shortest_secs: float, longest_secs: float) -> list[bytes]:
    """Noise of many lengths: what it says does not matter for memory."""
    random = np.random.default_rng(seed)
    lengths = random.uniform(shortest_secs, longest_secs, SHAPES)
    return [random.normal(0, 2000, int(secs * SAMPLE_RATE)).astype("<i2").tobytes() for secs in lengths]


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Load the engine, fill the largest batches of both windows, then hear many short utterances."""
    engine = WhisperEngine(
        options.model,
        device=options.device,
        compute_type=options.compute_type,
        backend=options.backend,
        max_batch=options.max_batch,
        max_queue=4 * options.max_batch,
        gates=Gates.off() if options.fixed_tokens else None,
        fixed_tokens=options.fixed_tokens,
    )
    await engine.warm_up()
    marks: list[dict[str, Any]] = []

    def mark(what: str) -> None:
        marks.append({"what": what, "host_mib": round(host_mib(), 1), "gpu_mib": gpu_mib()})
        print(f"{what:>24}  host {marks[-1]['host_mib']:8.1f} MiB   GPU {marks[-1]['gpu_mib']} MiB", file=sys.stderr)

    mark("warm")
    long = utterances(1, 12, 25)[: 2 * options.max_batch]
    batches = await asyncio.gather(*(engine.transcribe(pcm) for pcm in long))
    mark(f"30 s window, batch {max(item.batch_size for item in batches)}")
    short = utterances(2, 0.6, 4.9)
    began_at, done, largest = time.perf_counter(), 0, 0

    async def caller() -> None:
        nonlocal done, largest
        while done < options.utterances:
            done += 1
            number = done
            heard = await engine.transcribe(short[number % SHAPES])
            largest = max(largest, heard.batch_size)
            if number % (options.utterances // 10) == 0:
                mark(f"{number} utterances")

    await asyncio.gather(*(caller() for _ in range(2 * options.max_batch)))
    mark(f"10 s window, batch {largest}")
    secs = time.perf_counter() - began_at
    await engine.close()
    tenths = [item["host_mib"] for item in marks if item["what"].endswith("utterances")]
    return {
        "what": "asr memory",
        "engine": {"model": options.model, "backend": engine.backend, "max_batch": options.max_batch},
        "utterances": done,
        "utterances_per_sec": round(done / secs, 1),
        "host_growth_mib": round(tenths[-1] - tenths[0], 1),
        "marks": marks,
    }


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compute-type", default="int8")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--max-batch", type=int, default=16)
    parser.add_argument("--utterances", type=int, default=10_000)
    parser.add_argument("--fixed-tokens", type=int)
    print(json.dumps(asyncio.run(measure(parser.parse_args()))))


if __name__ == "__main__":
    main()
