"""`bench asr`: speech to text under load, and plain faster-whisper under the same load.

    python -m agent.bench.asr --callers 8 --secs 60 --wav FOLDER

The same as `voice-agent bench asr`, without the settings: it runs where only the engines are installed.
"""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # As the agent runs; read when numpy is first imported.

from agent.bench.callers import Measured, saturate, speak
from agent.bench.load import Choose, Load, Turn, Utterance, draw_secs, draws, schedule
from agent.bench.machine import describe, in_words
from agent.bench.options import BASELINE_ARGUMENTS, AsrOptions, Output, parse
from agent.bench.plot import check_plot, draw
from agent.bench.report import ratio, show, summary
from agent.bench.speech import BenchError, Pieces, Wholes, read_recordings
from engines.errors import EngineError
from engines.protocol import SpeechToText, TranscriptionOptions

SATURATE_UTTERANCES = 40
"""What each caller says over and over where nobody pauses."""

Progress = Callable[[str], None]


async def measure(options: AsrOptions, progress: Progress = lambda _: None) -> dict[str, Any]:
    """Load the engines, warm them, measure, and give them back.

    Returns:
        One report; for several numbers of callers an object with the reports under `sweep`.

    Raises:
        BenchError, EngineError: There is nothing to send, or an engine cannot be loaded.
    """
    choose = _speech(options)
    engines = await _load(options, progress)
    try:
        for name, engine in engines.items():
            progress(f"warming {name}")
            await warm(engine, options, choose)
        return await measure_engines(engines, options, choose, progress)
    finally:
        for engine in engines.values():
            await engine.close()


async def measure_engines(
    engines: dict[str, SpeechToText], options: AsrOptions, choose: Choose, progress: Progress = lambda _: None
) -> dict[str, Any]:
    """Measure engines that are loaded: `ours`, and `baseline` where it is there."""
    machine = describe()
    reports: list[dict[str, Any]] = []
    for callers in options.callers:
        measured = {name: Measured() for name in engines}
        for number in range(options.rounds):
            run = _round(callers, number, options, choose)
            # Each goes first in every second round.
            for name in sorted(engines, reverse=number % 2 == 0):
                progress(f"{callers} callers, round {number + 1} of {options.rounds}: {name}")
                measured[name].add(await run(engines[name]))
        reports.append(_report(machine, engines, measured, callers, options))
    if len(reports) == 1:
        return reports[0]
    return {"what": "asr", "machine": machine, "sweep": reports}


async def warm(engine: SpeechToText, options: AsrOptions, choose: Choose) -> None:
    """Let the engine meet short, long and many utterances before anybody looks at the clock."""
    if own := getattr(engine, "warm_up", None):
        await own()
    random = draws(Load(1, 1, seed=options.seed), 0)
    for secs in (1.0, options.utterance_secs, 9.0):
        await engine.transcribe(choose(secs, random).pcm)
    many = [choose(options.utterance_secs, random) for _ in range(min(max(options.callers), _max_batch(options)))]

    async def one(number: int, utterance: Utterance) -> None:
        try:
            await engine.transcribe(utterance.pcm, TranscriptionOptions(stream=f"warm-{number}"))
        except EngineError:
            return  # What it refuses it will refuse again, where it is counted.

    await asyncio.gather(*(one(number, utterance) for number, utterance in enumerate(many)))


def _round(
    callers: int, number: int, options: AsrOptions, choose: Choose
) -> Callable[[SpeechToText], Awaitable[Measured]]:
    """One round, drawn once, for every engine the same."""
    secs = options.secs / options.rounds
    # Rounds have seeds of their own, far from each other.
    load = Load(callers, secs, options.utterance_secs, options.period_secs, options.seed * 1000 + number)
    if options.saturate:
        said = [_utterances(caller, load, choose) for caller in range(callers)]
        return lambda engine: saturate(engine, said, secs=secs, patience_secs=options.patience_secs)
    turns: list[Turn] = schedule(load, choose)
    patience_secs, partial_secs = options.patience_secs, options.partial_secs
    return lambda engine: speak(engine, turns, secs=secs, patience_secs=patience_secs, partial_secs=partial_secs)


def _utterances(caller: int, load: Load, choose: Choose) -> list[Utterance]:
    random = draws(load, caller)
    return [choose(draw_secs(load.utterance_secs, random), random) for _ in range(SATURATE_UTTERANCES)]


def _speech(options: AsrOptions) -> Choose:
    recordings = read_recordings(options.wavs, options.texts)
    known = [recording for recording in recordings if recording.text]
    if options.texts and not known:
        raise BenchError(f"--texts {options.texts}: none of the recordings is named in it")
    # With texts only the recordings whose words are known are sent, and those whole.
    return Wholes(known).choose if options.texts else Pieces(recordings).choose


async def _load(options: AsrOptions, progress: Progress) -> dict[str, SpeechToText]:
    loop = asyncio.get_running_loop()
    where = " ".join(options.urls) or f"whisper {options.engine.get('model', 'tiny.en')}"
    progress(f"loading {where}")
    engines = {"ours": await loop.run_in_executor(None, lambda: _ours(options))}
    if options.baseline:
        progress("loading plain faster-whisper")
        try:
            engines["baseline"] = await loop.run_in_executor(None, lambda: _baseline(options))
        except BaseException:
            await engines["ours"].close()
            raise
    return engines


def _ours(options: AsrOptions) -> SpeechToText:
    if options.urls:
        from engines.remote import RemoteSpeechToText

        # Its own patience would end before that of the callers, and look like a lost service.
        patience_secs = options.patience_secs + 1
        return RemoteSpeechToText(list(options.urls), token=options.token, timeout_secs=patience_secs)
    from engines.whisper import WhisperEngine
    from engines.whisper.gates import Gates

    gates = Gates.off() if options.fixed_tokens else None
    return WhisperEngine(**options.engine, gates=gates, fixed_tokens=options.fixed_tokens)


def _baseline(options: AsrOptions) -> SpeechToText:
    from agent.bench.baseline import Baseline

    arguments = {name: options.engine[name] for name in BASELINE_ARGUMENTS if name in options.engine}
    try:
        return Baseline(**arguments, fixed_tokens=options.fixed_tokens)
    except (RuntimeError, ValueError) as error:
        raise BenchError(f"plain faster-whisper cannot be loaded ({error}); --no-baseline goes without it") from error


def _report(
    machine: dict[str, Any],
    engines: dict[str, SpeechToText],
    measured: dict[str, Measured],
    callers: int,
    options: AsrOptions,
) -> dict[str, Any]:
    ours = summary(measured["ours"])
    said = [answer.utterance.secs for answer in measured["ours"].answers]
    load = {
        "callers": callers,
        "secs": options.secs,
        "rounds": options.rounds,
        "utterances": len(said),
        "utterance_secs": options.utterance_secs,
        "utterance_secs_mean": round(sum(said) / len(said), 2) if said else None,
        "period_secs": options.period_secs,
        "seed": options.seed,
        "saturate": options.saturate,
        "partials": options.partials,
        "whole_files": options.texts is not None,
        "fixed_tokens": options.fixed_tokens,
        "urls": list(options.urls),
    }
    report = {"what": "asr", "machine": machine, "load": load, "engine": _engine(engines["ours"], options), **ours}
    report["baseline"], report["ratio"] = None, None
    if "baseline" in engines:
        plain = summary(measured["baseline"])
        arguments = {name: options.engine.get(name) for name in BASELINE_ARGUMENTS}
        described = {**arguments, "name": engines["baseline"].name, "windows_secs": [30.0], "max_batch": 1}
        report["baseline"] = {"engine": described, **plain}
        report["ratio"] = ratio(ours, plain)
    return report


def _engine(engine: SpeechToText, options: AsrOptions) -> dict[str, Any]:
    if options.urls:
        return {"name": engine.name}
    names = ("device", "compute_type", "language", "threads", "beam_size", "windows_secs", "max_batch", "max_queue")
    built = {name: options.engine[name] for name in names if name in options.engine}
    return {"name": engine.name, "backend": getattr(engine, "backend", None), **built}


def _max_batch(options: AsrOptions) -> int:
    return int(options.engine.get("max_batch") or 16)


def run(options: AsrOptions, output: Output) -> None:
    """Measure, and print or draw what was found.

    Raises:
        BenchError, EngineError: As `measure`.
    """
    if output.plot:
        check_plot(output.plot)

    def progress(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    report = asyncio.run(measure(options, progress))
    reports = report.get("sweep") or [report]
    if not any(item["answered"] for item in reports):
        raise BenchError(f"nothing was answered, {json.dumps(reports[-1]['errors'])}: a longer --secs, more --callers?")
    if output.as_json:
        print(json.dumps(report, default=_plain))
    else:
        show(report, in_words(report["machine"]))
    if output.plot:
        draw(reports, output.plot, aim_ms=output.aim_ms)


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else repr(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `python -m agent.bench.asr`."""
    try:
        run(*parse(arguments))
    except (BenchError, EngineError) as error:
        print(f"bench asr: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
