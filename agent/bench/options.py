"""What is measured, and the flags of `python -m agent.bench.asr`."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.bench.speech import BenchError

RECORDINGS = Path(__file__).parents[2] / "tests" / "audio"
"""Sent where nothing else is named, if it is there."""

BASELINE_ARGUMENTS = ("model", "device", "compute_type", "threads", "language", "beam_size", "temperatures")
"""What the plain library takes over from the engine."""


@dataclass(frozen=True)
class AsrOptions:
    """One `bench asr`.

    Attributes:
        wavs: Recordings of speech, or folders of them.
        texts: JSON object of texts by file name; with it whole files are sent and word errors counted.
        callers: How many speak; several numbers are measured one after another.
        secs: How long each engine is measured for each number of callers.
        utterance_secs: Mean length of an utterance.
        period_secs: Mean time from one utterance of a caller to its next.
        seed: The same seed sends the same speech at the same times.
        urls: Services; empty measures the engine in this process.
        token: Access token of those services.
        engine: Arguments of `engines.whisper.WhisperEngine`.
        baseline: Whether plain faster-whisper is measured as well.
        rounds: Parts of the time; where there are several, the engine and the baseline take turns.
        saturate: Whether each caller asks again as soon as it is answered, instead of at its own pace.
        partials: Whether each caller asks for the words so far each second while it speaks.
        patience_secs: An utterance without an answer for so long is an error.
        fixed_tokens: Tokens of every utterance, for random weights.
    """

    wavs: tuple[Path, ...]
    texts: Path | None = None
    callers: tuple[int, ...] = (8,)
    secs: float = 60.0
    utterance_secs: float = 3.0
    period_secs: float = 8.0
    seed: int = 0
    urls: tuple[str, ...] = ()
    token: str | None = None
    engine: dict[str, Any] = field(default_factory=dict)
    baseline: bool = True
    rounds: int = 1
    saturate: bool = False
    partials: bool = False
    patience_secs: float = 30.0
    fixed_tokens: int | None = None

    def __post_init__(self) -> None:
        if not self.callers or min(self.callers) < 1:
            raise BenchError("--callers: expected numbers of 1 or more, e.g. 8 or 10,30,60")
        if self.rounds < 1 or self.secs / self.rounds < 1:
            raise BenchError(f"--secs {self.secs:g}: expected at least one second a round ({self.rounds} rounds)")
        if not 0 < self.utterance_secs < self.period_secs:
            raise BenchError("--period-secs: expected more than --utterance-secs, and both more than 0")
        if self.fixed_tokens is not None and not 1 <= self.fixed_tokens <= 200:
            raise BenchError(f"--fixed-tokens {self.fixed_tokens}: expected 1 to 200")

    @property
    def partial_secs(self) -> float | None:
        """How often each caller asks for the words so far."""
        return 1.0 if self.partials else None


def wavs_or_default(wavs: Sequence[Path]) -> tuple[Path, ...]:
    """What to send.

    Raises:
        BenchError: Nothing was named, and the recordings of the tests are not here.
    """
    if wavs:
        return tuple(wavs)
    if RECORDINGS.is_dir():
        return (RECORDINGS,)
    raise BenchError("no speech to send: give --wav a file or folder with recordings of speech (WAV or FLAC)")


def callers_of(text: str) -> tuple[int, ...]:
    """`8` or `10,30,60` as numbers.

    Raises:
        BenchError: They are not numbers.
    """
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise BenchError(f"--callers {text!r}: expected numbers, e.g. 8 or 10,30,60") from None


def rounds_of(interleave: bool, secs: float) -> int:
    """In how many rounds the engine and the baseline take turns: an even number, of ten seconds or more each."""
    return max(2, min(6, int(secs / 10) // 2 * 2)) if interleave else 1


SAME_NAMES = ("texts", "secs", "utterance_secs", "period_secs", "seed", "token", "baseline", "saturate", "partials")
SAME_NAMES += ("patience_secs", "fixed_tokens")
"""Flags that are fields of `AsrOptions` as they are."""


@dataclass(frozen=True)
class Output:
    """What becomes of the report: JSON instead of the table, a picture, and the latency to draw into it."""

    as_json: bool = False
    plot: Path | None = None
    aim_ms: float | None = None


def parse(arguments: Sequence[str] | None = None) -> tuple[AsrOptions, Output]:
    """Read the command line. What is not named has the value that it has in the settings.

    Raises:
        BenchError: A value is not one that can be measured with.
    """
    parser = argparse.ArgumentParser(
        prog="python -m agent.bench.asr",
        description="Speech to text under load: N callers speak real utterances at real pace.",
    )
    add = parser.add_argument
    add("--callers", default="8", help="how many speak; 10,30,60 measures each number")
    add("--secs", type=float, default=60, help="how long each engine is measured")
    add("--wav", type=Path, action="append", default=[], help="recording of speech, or folder; may be repeated")
    add("--texts", type=Path, help="JSON object of texts by file name: sends whole files, counts word errors")
    add("--utterance-secs", type=float, default=3, help="mean length of an utterance")
    add("--period-secs", type=float, default=8, help="mean time from one utterance of a caller to its next")
    add("--seed", type=int, default=0)
    add("--url", action="append", default=[], help="a service, ws://HOST:PORT; may be repeated")
    add("--token", help="access token of the service")
    add("--model", default="tiny.en")
    add("--device", default="cpu")
    add("--compute-type", default="int8")
    add("--backend", default="ctranslate2")
    add("--language", default="en", help="auto detects it")
    add("--threads", type=int, default=1)
    add("--beam-size", type=int, default=1)
    add("--window", type=float, action="append", help="encoder window in seconds; may be repeated (default 10)")
    add("--max-batch", type=int, default=16)
    add("--max-queue", type=int, default=64)
    add("--baseline", action=argparse.BooleanOptionalAction, default=True, help="plain faster-whisper as well")
    add("--interleave", action=argparse.BooleanOptionalAction, default=False, help="both take turns in rounds")
    add("--saturate", action="store_true", help="each caller asks again as soon as it is answered")
    add("--partials", action=argparse.BooleanOptionalAction, default=False, help="and the words so far each second")
    add("--patience-secs", type=float, default=30, help="an utterance without an answer for so long is an error")
    add("--fixed-tokens", type=int, help="tokens of every utterance, for random weights")
    add("--json", action="store_true", help="print one JSON object")
    add("--plot", type=Path, help="write a PNG")
    add("--aim-ms", type=float, help="a latency to draw into it")
    flags = parser.parse_args(arguments)
    engine = {name: getattr(flags, name) for name in ("model", "device", "compute_type", "backend", "threads")}
    engine |= {name: getattr(flags, name) for name in ("beam_size", "max_batch", "max_queue")}
    engine |= {"language": None if flags.language == "auto" else flags.language}
    engine |= {"windows_secs": tuple(flags.window or (10.0,))}
    options = AsrOptions(
        wavs=wavs_or_default(flags.wav),
        callers=callers_of(flags.callers),
        urls=tuple(flags.url),
        engine=engine,
        rounds=rounds_of(flags.interleave or flags.saturate, flags.secs) if flags.baseline else 1,
        **{name: getattr(flags, name) for name in SAME_NAMES},
    )
    return options, Output(flags.json, flags.plot, flags.aim_ms)
