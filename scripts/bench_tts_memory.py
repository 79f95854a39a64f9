#!/usr/bin/env python
"""Memory of the voice over many requests: of this process and, on a GPU, of what torch holds there.

    scripts/bench_tts_memory.py --random-weights tiny --requests 5000
    scripts/bench_tts_memory.py --model FOLDER --device cuda:0

A share of the requests is cut off, as callers do. Prints a line at each tenth and one JSON object. With random weights,
whose speech never ends, each sentence has a length drawn as real ones have.
"""

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch

from agent.bench.tts_lengths import fixed_tokens
from engines.chatterbox.engine import ChatterboxEngine
from engines.protocol import SpeechOptions
from scripts.bench_asr_memory import host_mib
from scripts.random_chatterbox import tiny_architecture, write_checkpoint

MIB = 2**20
TEXT = "well the train to town leaves at half past nine and I will be there before you with the keys"


@contextlib.contextmanager
def weights(options: argparse.Namespace) -> Iterator[str | None]:
    """The folder of the weights; random ones go when it is over."""
    if options.random_weights is None:
        yield options.model
        return
    with contextlib.ExitStack() as stack:
        if options.random_weights == "tiny":
            stack.enter_context(tiny_architecture())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chatterbox-")))
        write_checkpoint(folder, options.variant)
        yield str(folder)


async def speak(engine: ChatterboxEngine, drawn: random.Random, words: int, cut: bool) -> None:
    """One request of a few words."""

    async def text() -> AsyncIterator[str]:
        yield " ".join(drawn.choices(TEXT.split(), k=drawn.randint(1, words))) + "."

    stream = engine.synthesize(text(), SpeechOptions(seed=drawn.randrange(1000)))
    async for _ in stream:
        if cut:
            break
    await stream.aclose()  # pyright: ignore[reportAttributeAccessIssue]


async def measure(engine: ChatterboxEngine, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Say them all, a few at a time, and note the memory at each tenth."""
    marks: list[dict[str, Any]] = []
    asked = 0

    async def caller(seed: int) -> None:
        nonlocal asked
        drawn = random.Random(seed)
        while asked < options.requests:
            asked += 1
            if asked % max(1, options.requests // 10) == 0:
                marks.append(mark(asked, engine, options.device))
            await speak(engine, drawn, options.words, cut=drawn.random() < options.cut)

    await asyncio.gather(*(caller(seed) for seed in range(options.callers)))
    return marks


def mark(requests: int, engine: ChatterboxEngine, device: str) -> dict[str, Any]:
    """Memory now."""
    reserved = torch.cuda.memory_reserved(device) / MIB if device.startswith("cuda") else None
    found = {"requests": requests, "host_mib": round(host_mib(), 1), "gpu_mib": reserved}
    open_streams = engine.stats()["open_streams"]
    print(
        f"{requests:>8} requests  host {found['host_mib']:8.1f} MiB   GPU {reserved} MiB   open {open_streams:.0f}",
        file=sys.stderr,
    )
    return found


async def main(options: argparse.Namespace) -> None:
    """Load, measure, print."""
    with weights(options) as folder:
        engine = ChatterboxEngine(
            variant=options.variant,
            model=folder,
            device=options.device,
            slots=max(4, options.callers),
            exact_tokens=fixed_tokens if options.random_weights else None,
            max_text_chars=60,
        )
    torch.set_num_threads(1 if options.device == "cpu" else torch.get_num_threads())
    await engine.warm_up()
    began_at = time.perf_counter()
    marks = await measure(engine, options)
    took = round(time.perf_counter() - began_at, 1)
    await engine.close()
    growth = round(marks[-1]["host_mib"] - marks[0]["host_mib"], 1)
    print(json.dumps({"what": "tts-memory", "load": vars(options), "secs": took, "marks": marks, "growth_mib": growth}))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--callers", type=int, default=4)
    parser.add_argument("--words", type=int, default=6, help="of the longest request")
    parser.add_argument("--cut", type=float, default=0.2, help="share of the requests that are cut off")
    parser.add_argument("--variant", choices=("turbo", "base"), default="turbo")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model", help="folder of the weights")
    parser.add_argument("--random-weights", choices=("tiny", "full"))
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main(parse()))
