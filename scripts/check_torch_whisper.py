#!/usr/bin/env python
"""Whisper in torch on random weights of a real shape: is it right, how fast is it, how much memory does it take.

Compares graph replay with the same steps one by one, and with CTranslate2 where that is installed, then times encoding
and generating 24 tokens per batch and window. Prints one JSON object a line. Random weights have near ties, so tokens
are compared by the log-probability that the other side gives them.

scripts/check_torch_whisper.py [--size large-v3] [--device cuda] [--dtype float16] [--tokenizer tokenizer.json]
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from engines.whisper.backend import DecodeOptions
from engines.whisper.torch_backend import Encoded, TorchBackend
from scripts.random_whisper import SIZES, make_random_whisper

TOKENS = 24
RUNS = 20


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="Check and time Whisper in torch.")
    parser.add_argument("--size", choices=SIZES, default="large-v3")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="float16")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--windows", type=int, nargs="+", default=[1000, 3000], help="frames")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--tokenizer", type=Path, help="tokenizer.json of base; the installed one if left out")
    parser.add_argument("--folder", type=Path, help="keep the model here, and use it if it is there")
    parser.add_argument("--skip-ctranslate2", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = made(options.folder or Path(temporary), options)
        for result in check(folder, options):
            print(
                json.dumps({"size": options.size, "dtype": options.dtype, "device": options.device} | result),
                flush=True,
            )


def made(folder: Path, options: argparse.Namespace) -> Path:
    """The CTranslate2 folder of a random model; without CTranslate2, the Hugging Face one."""
    name = "safetensors" if options.skip_ctranslate2 else "ctranslate2"
    if not (folder / name / "config.json").is_file():
        make_random_whisper(folder, options.size, 0, (name,), tokenizer=options.tokenizer)
    return folder / name


def check(folder: Path, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Everything, one result at a time."""
    on_cuda = options.device.startswith("cuda")
    began_at = time.perf_counter()
    backend = TorchBackend(
        folder,
        device=options.device,
        dtype=options.dtype,
        max_batch=max(options.batches),
        windows={frames: max(options.batches) for frames in options.windows},
    )
    yield {"what": "load", "secs": time.perf_counter() - began_at, **memory(on_cuda)}
    yield from right(backend, folder, options)
    began_at = time.perf_counter()
    backend.warm_up(tuple(options.batches))
    graphs = len(backend._runner.graphs)
    yield {"what": "warm-up", "secs": time.perf_counter() - began_at, "graphs": graphs, **memory(on_cuda)}
    for frames in options.windows:
        for batch in options.batches:
            yield times(backend, batch, frames, options.runs) | memory(on_cuda)
    backend.close()


def right(backend: TorchBackend, folder: Path, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Graphs against eager steps, a batch against its rows alone, torch against CTranslate2."""
    frames, rows = min(options.windows), min(3, max(options.batches))
    batch = features(backend, rows, frames)
    encoded = backend.encode(batch)
    for timestamps in (False, True):
        prompts = [task(backend, timestamps=timestamps)] * rows
        graphed = backend.generate(encoded, prompts, decoding(backend))
        again = backend.generate(encoded, prompts, decoding(backend))
        with eagerly(backend):
            alone = backend.encode(batch)
            eager = backend.generate(alone, prompts, decoding(backend))
            one = backend.generate(backend.encode(batch[:1]), prompts[:1], decoding(backend))[0]
        yield {
            "what": "graphs against eager",
            "timestamps": timestamps,
            "replay_is_repeatable": graphed == again,
            "tokens_equal": [ours.tokens == theirs.tokens for ours, theirs in zip(graphed, eager, strict=True)],
            "sum_logprob": [
                [ours.sum_logprob, theirs.sum_logprob] for ours, theirs in zip(graphed, eager, strict=True)
            ],
            "encoder_difference": float((encoded.audio - alone.audio).abs().max()),
            "alone_equal": one.tokens == eager[0].tokens,
            "distinct_tokens": len({token for item in graphed for token in item.tokens}),
        }
    if not options.skip_ctranslate2:
        yield against_ctranslate2(backend, folder, batch, encoded, options)


def against_ctranslate2(
    backend: TorchBackend, folder: Path, batch: np.ndarray, encoded: Encoded, options: argparse.Namespace
) -> dict[str, Any]:
    """Greedy tokens of CTranslate2, and what torch makes of them when it reads the same tokens."""
    import ctranslate2

    device = "cuda" if options.device.startswith("cuda") else "cpu"
    model = ctranslate2.models.Whisper(str(folder), device=device, compute_type=options.dtype)
    theirs = model.encode(ctranslate2.StorageView.from_array(batch), to_cpu=True)
    heard = torch.from_numpy(np.array(theirs, dtype=np.float32)).to(encoded.audio.device)
    prompts = [task(backend, timestamps=False)] * len(batch)
    chosen = decoding(backend)
    results = model.generate(
        ctranslate2.StorageView.from_array(batch),
        prompts,
        beam_size=1,
        max_length=2 * TOKENS,
        return_scores=True,
        return_no_speech_prob=True,
        suppress_tokens=list(chosen.suppress_tokens),
    )
    ours = backend.generate(encoded, prompts, chosen)
    sequences = [result.sequences_ids[0] for result in results]
    scored = [score(backend, encoded, prompts[0], sequences, row) for row in range(len(batch))]
    return {
        "what": "against CTranslate2",
        "encoder_difference": float((encoded.audio.float() - heard).abs().max()),
        "encoder_deviation": float(heard.std()),
        "tokens_equal": [
            sum(one == other for one, other in zip(item.tokens, tokens, strict=False))
            for item, tokens in zip(ours, sequences, strict=True)
        ],
        "sum_logprob_of_their_tokens": [
            [total, result.scores[0] * TOKENS] for (total, _), result in zip(scored, results, strict=True)
        ],
        "largest_margin_they_missed": max(missed for _, missed in scored),
        "no_speech": [[item.no_speech_prob, result.no_speech_prob] for item, result in zip(ours, results, strict=True)],
    }


@torch.no_grad()
def score(
    backend: TorchBackend, encoded: Encoded, prompt: list[int], sequences: list[list[int]], row: int
) -> tuple[float, float]:
    """Summed log-probability of a row's tokens when they are given, and the most that a better one had over them."""
    runner, total, missed = backend._runner, 0.0, 0.0
    rows, positions = backend._listen_to(encoded), encoded.audio.shape[1]
    never = list(decoding(backend).suppress_tokens)
    shortest = min(len(tokens) for tokens in sequences)
    for count in range(shortest):
        begun = [prompt + tokens[:count] for tokens in sequences]
        runner.read_prompt(begun, 0, rows, positions)
        logits = runner.state.logits[row].clone()
        logits[never] = -torch.inf
        if not count:
            logits[list(backend._tokens.blank)] = -torch.inf
        logprobs = logits.log_softmax(dim=-1)
        given = float(logprobs[sequences[row][count]])
        total, missed = total + given, max(missed, float(logprobs.max()) - given)
    return total, missed


def times(backend: TorchBackend, batch: int, frames: int, runs: int) -> dict[str, Any]:
    """Milliseconds of both halves: median and 95th percentile."""
    given = features(backend, batch, frames)
    prompts = [task(backend, timestamps=False)] * batch
    encoded = backend.encode(given)
    options = decoding(backend)
    encode_ms = measured(lambda: backend.encode(given), runs)
    generate_ms = measured(lambda: backend.generate(encoded, prompts, options), runs)
    return {
        "what": "times",
        "frames": frames,
        "batch": batch,
        "encode_ms": encode_ms,
        f"generate_{TOKENS}_ms": generate_ms,
    }


def measured(work: Callable[[], object], runs: int) -> dict[str, float]:
    """Median and 95th percentile of `runs` runs after one."""
    took: list[float] = []
    for _ in range(runs + 1):
        synchronize()
        began_at = time.perf_counter()
        work()
        synchronize()
        took.append((time.perf_counter() - began_at) * 1000)
    return {"p50": float(np.percentile(took[1:], 50)), "p95": float(np.percentile(took[1:], 95))}


def synchronize() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def memory(on_cuda: bool) -> dict[str, float]:
    """Peak of what torch took from the GPU, and what the whole device has in use, in GiB."""
    if not on_cuda:
        return {}
    free, total = torch.cuda.mem_get_info()
    return {
        "allocated_peak_gib": torch.cuda.max_memory_allocated() / 2**30,
        "reserved_peak_gib": torch.cuda.max_memory_reserved() / 2**30,
        "device_used_gib": (total - free) / 2**30,
    }


def features(backend: TorchBackend, batch: int, frames: int) -> np.ndarray:
    """Noise in the place of spectrograms, (batch, mels, frames)."""
    return np.random.default_rng(batch).normal(0, 1, (batch, backend.n_mels, frames)).astype(np.float32)


def task(backend: TorchBackend, *, timestamps: bool) -> list[int]:
    """The prompt of an English transcript."""
    names = ["<|startoftranscript|>", "<|en|>", "<|transcribe|>"] + ([] if timestamps else ["<|notimestamps|>"])
    return [backend.tokenizer.token_to_id(name) or 0 for name in names]


def decoding(backend: TorchBackend) -> DecodeOptions:
    """Greedy, and never ending before its last token."""
    return DecodeOptions(1, 0.0, TOKENS, (backend._tokens.end,))


class eagerly:
    """A block in which a backend replays no graphs."""

    def __init__(self, backend: TorchBackend):
        """The backend gets its graphs back afterwards."""
        self._graphs = backend._runner.graphs

    def __enter__(self) -> None:
        self._device, self._graphs._device = self._graphs._device, torch.device("cpu")

    def __exit__(self, *_: object) -> None:
        self._graphs._device = self._device


if __name__ == "__main__":
    main()
