"""`bench tts`: text to speech under load, and upstream's `generate` beside it.

    python -m agent.bench.tts --speakers 1,8 --secs 30

The same as `voice-agent bench tts`, without the settings: it runs where only the engines are installed.
"""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # As the agent runs; read when numpy is first imported.

from agent.bench.machine import describe, in_words
from agent.bench.options import Output
from agent.bench.plot import check_plot
from agent.bench.sentences import read_sentences
from agent.bench.speakers import Measured, Speaking, speak
from agent.bench.speech import BenchError
from agent.bench.tts_engines import device_of, load_baseline, load_engine, weights
from agent.bench.tts_options import TtsOptions, parse
from agent.bench.tts_plot import draw
from agent.bench.tts_report import ratio, show, stages, summary, where_it_breaks
from agent.bench.watch import GpuWatch, LoopLag, Memory, Stages
from engines.errors import EngineError
from engines.protocol import TextToSpeech

PACKAGES = ("torch", "chatterbox-tts", "transformers", "hibari-tts", "onnxruntime", "numpy")
WARM_SECS = 3.0
MOST_WARM = 8
"""Speakers of the warming: enough for every kind of batch, the engine's own warming has seen the large ones."""

Progress = Callable[[str], None]


async def measure(options: TtsOptions, progress: Progress = lambda _: None) -> dict[str, Any]:
    """Load the engine, warm it, measure it, give it back; then upstream likewise.

    Returns:
        One report; for several numbers of speakers an object with the reports under `sweep`. Either has `breaks`.

    Raises:
        BenchError, EngineError: There is nothing to say, or an engine cannot be loaded.
    """
    sentences = read_sentences(options.texts)
    machine = describe(PACKAGES)
    with weights(options, progress) as made:
        progress(f"loading {' '.join(made.urls) or made.name}")
        async with _loaded(load_engine, made) as engine:
            reports = await measure_engine(engine, made, sentences, machine, progress)
        if made.with_baseline:
            progress("loading upstream")
            async with _loaded(load_baseline, made) as plain:
                await compare(plain, reports, made, sentences, progress)
    breaks = where_it_breaks(reports, options.aim_ms)
    if len(reports) == 1:
        return {**reports[0], "breaks": breaks}
    return {"what": "tts", "machine": machine, "sweep": reports, "breaks": breaks}


async def measure_engine(
    engine: TextToSpeech,
    options: TtsOptions,
    sentences: Sequence[str],
    machine: dict[str, Any],
    progress: Progress = lambda _: None,
) -> list[dict[str, Any]]:
    """One report for each number of speakers, of an engine that is loaded."""
    await _warm(engine, options, sentences, progress)
    reports = []
    for speakers in options.speakers:
        progress(f"{speakers} speakers: {engine.name}")
        figures = await _measured(engine, options.load(speakers, options.secs), sentences, device_of(options))
        report = {
            "what": "tts",
            "machine": machine,
            "load": _load(options, speakers),
            "engine": _engine(engine, options),
        }
        reports.append({**report, **figures, "baseline": None, "ratio": None})
    return reports


async def compare(
    plain: TextToSpeech,
    reports: Sequence[dict[str, Any]],
    options: TtsOptions,
    sentences: Sequence[str],
    progress: Progress = lambda _: None,
) -> None:
    """Measure upstream with one speaker and with a few, and put it and the ratio into the reports."""
    await _warm(plain, options, sentences, progress, speakers=1)
    sides: dict[int, dict[str, Any]] = {}
    few = {min(report["load"]["speakers"], options.baseline_speakers) for report in reports}
    for speakers in sorted({1, *few}):
        progress(f"{speakers} speakers: {plain.name}")
        load = options.load(speakers, options.baseline_secs)
        figures = await _measured(plain, load, sentences, device_of(options))
        watermark = options.engine.get("watermark", True)
        described = {"engine": plain.name, "watermark": watermark, "secs": options.baseline_secs}
        sides[speakers] = {"speakers": speakers, **described, **figures}
    for report in reports:
        side = sides[min(report["load"]["speakers"], options.baseline_speakers)]
        report["baseline"] = {**side, "alone": sides[1] if side is not sides[1] else None}
        report["ratio"] = ratio(report, side)


async def _measured(engine: TextToSpeech, load: Speaking, sentences: Sequence[str], device: str) -> dict[str, Any]:
    lag, gpu, memory, counts = LoopLag(), GpuWatch(device), Memory(), Stages(engine)
    found: dict[str, Any] = {}

    def begin() -> None:
        for watch in (lag, gpu, memory, counts):
            watch.start()

    def end() -> None:
        grown = counts.stop()
        found.update(loop_lag_ms=lag.stop(), memory=memory.stop(), stages=stages(grown, load.secs))
        found["batch_sizes"] = found["stages"].pop("batch_sizes")

    try:
        measured: Measured = await speak(engine, load, sentences, on_begin=begin, on_end=end)
    finally:
        found["gpu"] = gpu.stop()
    return {**summary(measured), **found}


async def _warm(
    engine: TextToSpeech,
    options: TtsOptions,
    sentences: Sequence[str],
    progress: Progress,
    *,
    speakers: int = MOST_WARM,
) -> None:
    """Let the engine say something before anybody looks at the clock."""
    progress(f"warming {engine.name}")
    if own := getattr(engine, "warm_up", None):
        await own()
    few = min(max(options.speakers), speakers)
    await speak(engine, Speaking(few, WARM_SECS, tokens_per_sec=None, seed=options.seed + 1), sentences)


@contextlib.asynccontextmanager
async def _loaded(load: Callable[[TtsOptions], TextToSpeech], options: TtsOptions):
    engine = await asyncio.get_running_loop().run_in_executor(None, load, options)
    try:
        yield engine
    finally:
        await engine.close()


def _load(options: TtsOptions, speakers: int) -> dict[str, Any]:
    names = ("secs", "tokens_per_sec", "instant", "duty", "period_secs", "buffer_ms", "barge_in", "patience_secs")
    said = {name: getattr(options, name) for name in (*names, "seed", "random_weights")}
    ramp_secs = options.load(speakers, options.secs).ramp_secs
    return {
        "speakers": speakers,
        "ramp_secs": ramp_secs,
        **said,
        "texts": _text(options.texts),
        "urls": [*options.urls],
    }


def _engine(engine: TextToSpeech, options: TtsOptions) -> dict[str, Any]:
    built = {} if options.urls else _flat(options.engine)
    return {"name": engine.name, **built, "summary": getattr(engine, "summary", None)}


def _flat(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Those of inner mappings among the others."""
    flat: dict[str, Any] = {}
    for name, value in arguments.items():
        flat |= _flat(value) if isinstance(value, Mapping) else {name: _text(value)}
    return flat


def _text(value: Any) -> Any:
    return value if isinstance(value, str | int | float | None) else str(value)


def run(options: TtsOptions, output: Output) -> None:
    """Measure, and print or draw what was found.

    Raises:
        BenchError, EngineError: As `measure`; or not one answer was heard.
    """
    if output.plot:
        check_plot(output.plot)

    def progress(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    report = asyncio.run(measure(options, progress))
    reports = report.get("sweep") or [report]
    if not any(item["answered"] for item in reports):
        raise BenchError(f"nothing was heard, {json.dumps(reports[-1]['errors'])}: a longer --secs?")
    if output.as_json:
        print(json.dumps(report))
    else:
        show(report, in_words(report["machine"]))
    if output.plot:
        draw(reports, output.plot, aim_ms=output.aim_ms)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `python -m agent.bench.tts`."""
    with contextlib.suppress(ImportError):
        from loguru import logger

        logger.remove()
        logger.add(sys.stderr, level="WARNING")
    try:
        run(*parse(arguments))
    except (BenchError, EngineError) as error:
        print(f"bench tts: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
