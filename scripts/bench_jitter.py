#!/usr/bin/env python
"""The inbound wire: aiortc's jitter buffer, the same holding back one packet, and the agent's, on the same arrivals.

    scripts/bench_jitter.py [--seeds 3] [--model tiny.en] [--json]

Real speech (`tests/audio`) in Opus at 32 kbit/s as a browser sends it, in virtual time, then through Whisper. `held` is
the time from a packet's arrival to its play. Each packet is lost or delayed by itself, evenly between 0 and the jitter;
`in order`, one that is delayed delays those behind it.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent.parent))

import jiwer
import numpy as np
from rich.console import Console
from rich.table import Table

from engines.whisper import WhisperEngine
from scripts.bench_turns import machine, percentiles
from scripts.bench_wer import normal
from scripts.impaired_wire import Arrival, Heard, arrivals, encoded, heard_by_agent, heard_by_aiortc
from scripts.speech_corpus import HERE, SAMPLE_RATE, loaded

PATHS = (
    *((loss, jitter_secs, False) for loss in (0.0, 0.01, 0.05) for jitter_secs in (0.0, 0.06)),
    (0.05, 0.06, True),
    (0.1, 0.0, False),
)
"""Share of packets lost, jitter, and whether packets keep their order."""
WAYS: dict[str, Callable[[list[Arrival]], Heard]] = {
    "aiortc": lambda path: heard_by_aiortc(path, prefetch=4),
    "aiortc, one packet": lambda path: heard_by_aiortc(path, prefetch=1),
    "agent, no correction sent": heard_by_agent,
    "agent": heard_by_agent,
}
SILENCE_SECS = 1.0
"""Behind every recording, since aiortc's buffer gives out its last packets only when more come."""


def recordings() -> list[tuple[np.ndarray, str]]:
    """Samples (int16, 16 kHz) and words of each recording."""
    texts: dict[str, str] = json.loads((HERE / "texts.json").read_text())
    silence = np.zeros(int(SILENCE_SECS * SAMPLE_RATE), np.float32)
    return [
        ((np.clip(np.concatenate((loaded(HERE / name), silence)), -1, 1) * 32767).astype(np.int16), text)
        for name, text in texts.items()
    ]


async def measure(seeds: int, model: str) -> list[dict[str, Any]]:
    """One record for each way on each path."""
    engine = WhisperEngine(model=model)
    said = recordings()
    streams = {correction: [encoded(pcm, correction=correction) for pcm, _ in said] for correction in (False, True)}
    records = []
    try:
        for loss, jitter_secs, ordered in PATHS:
            for way, listen in WAYS.items():
                packets = streams[way != "agent, no correction sent"]
                heard, texts = [], []
                for seed in range(seeds if loss or jitter_secs else 1):
                    for number, stream in enumerate(packets):
                        chance = 100 * seed + number
                        path = arrivals(stream, loss=loss, jitter_secs=jitter_secs, ordered=ordered, seed=chance)
                        heard.append(listen(path))
                        texts.append((said[number][1], (await engine.transcribe(heard[-1].pcm.tobytes())).text))
                conditions = {"loss": loss, "jitter_ms": jitter_secs * 1000, "in_order": ordered or not jitter_secs}
                records.append({**conditions, "buffer": way, **summed(heard, texts)})
    finally:
        await engine.close()
    return records


def summed(heard: list[Heard], texts: list[tuple[str, str]]) -> dict[str, Any]:
    """The figures of one way on one path."""
    secs = sum(len(one.pcm) for one in heard) / SAMPLE_RATE
    counts = [one.counts for one in heard if one.counts]
    lost = sum(one.lost for one in counts)
    return {
        "held_ms": percentiles([held for one in heard for held in one.held_ms]),
        "heard_secs": round(secs, 1),
        "concealed_share": round(sum(one.concealed_secs for one in heard) / secs, 4),
        "recovered_share": round(sum(one.recovered for one in counts) / lost, 3) if lost else None,
        "word_error_rate": round(jiwer.wer([normal(a) for a, _ in texts], [normal(b) for _, b in texts]), 4),
    }


def show(records: list[dict[str, Any]]) -> None:
    """The figures as a table."""
    table = Table("loss", "jitter ms", "buffer", "held p50 / p95 / p99 ms", "heard s", "concealed", "recovered", "WER")
    for record in records:
        held, recovered = record["held_ms"], record["recovered_share"]
        table.add_row(
            f"{record['loss']:.0%}",
            f"{record['jitter_ms']:.0f}{' in order' if record['jitter_ms'] and record['in_order'] else ''}",
            record["buffer"],
            f"{held['p50']:.0f} / {held['p95']:.0f} / {held['p99']:.0f}",
            f"{record['heard_secs']:.1f}",
            f"{record['concealed_share']:.1%}",
            "" if recovered is None else f"{recovered:.0%}",
            f"{record['word_error_rate']:.1%}",
        )
    Console().print(table)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="aiortc's jitter buffer and the agent's on the same bad paths.")
    parser.add_argument("--seeds", type=int, default=3, help="paths of each kind")
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    records = asyncio.run(measure(options.seeds, options.model))
    if options.json:
        load = f"{len(recordings())} recordings, {options.seeds} paths of each kind, {options.model}"
        print(json.dumps({"what": "jitter", "machine": machine(), "load": load, "paths": records}))
    else:
        show(records)


if __name__ == "__main__":
    main()
