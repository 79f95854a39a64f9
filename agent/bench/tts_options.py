"""What `bench tts` measures, and the flags of `python -m agent.bench.tts`."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.bench.options import Output
from agent.bench.speakers import Speaking
from agent.bench.speech import BenchError

ENGINES = ("hibari", "chatterbox")
SIZES = ("full", "tiny")
RAMP_SHARE, LONGEST_RAMP_SECS = 0.25, 8.0
"""The speakers begin within a quarter of the time before it, and eight seconds are about as long as one answer. One
alone need not wait for others."""


@dataclass(frozen=True)
class TtsOptions:
    """One `bench tts`.

    Attributes:
        texts: File of sentences, one on each line; None takes the built-in ones.
        speakers: How many speak; several numbers are measured one after another.
        secs: How long each number of speakers is measured.
        ramp_secs: Time before that, in which they begin; None leaves it to `secs`.
        tokens_per_sec: Pace at which the text is written.
        instant: Whether the text is given whole instead.
        duty: Share of the time in which a speaker is heard; None lets it go on after 0.3 to 1 s.
        period_secs: Mean time from one answer of a speaker to its next, in place of `duty`.
        buffer_ms: Jitter buffer of the listeners. 0 is the strictest: playing begins with the first sound.
        barge_in: Share of the answers that are cut off at some moment.
        patience_secs: A stream from which nothing came for so long is an error.
        seed: The same seed says the same.
        urls: Services; empty measures the engine in this process.
        token: Access token of those services.
        name: Which engine of this process: `hibari` or `chatterbox`.
        engine: Its arguments.
        random_weights: `full` or `tiny`: Chatterbox's shape with random weights, and each sentence as long as a
            speaker takes for it. None takes the real weights.
        baseline: Whether plain upstream `generate` is measured as well.
        baseline_secs: How long it is measured for each number of speakers.
        baseline_speakers: The most speakers that it gets; it carries about one.
        aim_ms: Where the 95th percentile of the latency is above it, the engine is said to break.
    """

    texts: Path | None = None
    speakers: tuple[int, ...] = (8,)
    secs: float = 60.0
    ramp_secs: float | None = None
    tokens_per_sec: float = 60.0
    instant: bool = False
    duty: float | None = None
    period_secs: float | None = None
    buffer_ms: float = 0.0
    barge_in: float = 0.0
    patience_secs: float = 30.0
    seed: int = 0
    urls: tuple[str, ...] = ()
    token: str | None = None
    name: str = "hibari"
    engine: dict[str, Any] = field(default_factory=dict)
    random_weights: str | None = None
    baseline: bool | None = None
    baseline_secs: float = 20.0
    baseline_speakers: int = 4
    aim_ms: float | None = None

    def __post_init__(self) -> None:
        for wrong, message in self._faults():
            if wrong:
                raise BenchError(message)

    def _faults(self) -> list[tuple[bool, str]]:
        chatterbox = self.name == "chatterbox" and not self.urls
        return [
            (not self.speakers or min(self.speakers) < 1, "--speakers: expected numbers of 1 or more, e.g. 1,32,100"),
            (self.secs < 1, f"--secs {self.secs:g}: expected 1 or more"),
            (self.baseline_secs < 1, f"--baseline-secs {self.baseline_secs:g}: expected 1 or more"),
            ((self.ramp_secs or 0) < 0, f"--ramp-secs {self.ramp_secs}: expected 0 or more"),
            (self.tokens_per_sec <= 0, f"--tokens-per-sec {self.tokens_per_sec:g}: expected more than 0"),
            (self.duty is not None and not 0 < self.duty <= 1, f"--duty {self.duty}: expected more than 0, up to 1"),
            (self.period_secs is not None and self.period_secs <= 0, "--period-secs: expected more than 0"),
            (None not in (self.duty, self.period_secs), "--duty, --period-secs: expected one of them, not both"),
            (self.buffer_ms < 0, f"--buffer-ms {self.buffer_ms:g}: expected 0 or more"),
            (not 0 <= self.barge_in <= 1, f"--barge-in {self.barge_in:g}: expected a share from 0 to 1"),
            (self.patience_secs <= 0, f"--patience-secs {self.patience_secs:g}: expected more than 0"),
            (self.name not in ENGINES, f"--engine {self.name!r}: expected {' or '.join(ENGINES)}"),
            (
                self.random_weights not in (None, *SIZES),
                f"--random-weights {self.random_weights!r}: expected {' or '.join(SIZES)}",
            ),
            (bool(self.random_weights) and not chatterbox, "--random-weights: expected with --engine chatterbox alone"),
            (bool(self.baseline) and not chatterbox, "--baseline: expected with --engine chatterbox in this process"),
        ]

    @property
    def with_baseline(self) -> bool:
        """Whether upstream is measured as well: where nothing is said, with Chatterbox in this process."""
        return self.name == "chatterbox" and not self.urls if self.baseline is None else self.baseline

    def load(self, speakers: int, secs: float) -> Speaking:
        """What so many speakers do for so long."""
        ramp_secs = min(LONGEST_RAMP_SECS, secs * RAMP_SHARE) * (1 - 1 / speakers)
        ramp_secs = ramp_secs if self.ramp_secs is None else self.ramp_secs
        return Speaking(
            speakers=speakers,
            secs=secs,
            ramp_secs=ramp_secs,
            tokens_per_sec=None if self.instant else self.tokens_per_sec,
            duty=self.duty,
            period_secs=self.period_secs,
            buffer_secs=self.buffer_ms / 1000,
            barge_in=self.barge_in,
            patience_secs=self.patience_secs,
            seed=self.seed,
        )


def speakers_of(text: str) -> tuple[int, ...]:
    """`8` or `1,32,100` as numbers.

    Raises:
        BenchError: They are not numbers.
    """
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise BenchError(f"--speakers {text!r}: expected numbers, e.g. 8 or 1,32,100") from None


def arguments_of(settings: Sequence[str]) -> dict[str, Any]:
    """`slots=64` and the like as arguments of the engine; values are JSON, or else words.

    Raises:
        BenchError: One has no name, or no value.
    """
    arguments: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.isidentifier():
            raise BenchError(f"--set {setting!r}: expected NAME=VALUE, e.g. slots=64 or chunk_tokens=[20,30,50]")
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = value
        arguments[name] = tuple(parsed) if isinstance(parsed, list) else parsed
    return arguments


SAME_NAMES = ("texts", "secs", "ramp_secs", "tokens_per_sec", "instant", "duty", "period_secs", "buffer_ms", "barge_in")
SAME_NAMES += ("patience_secs", "seed", "token", "random_weights", "baseline", "baseline_secs", "aim_ms")
"""Flags that are fields of `TtsOptions` as they are."""

HIBARI_FLAGS = ("voice", "threads", "max_queue")
CHATTERBOX_FLAGS = ("variant", "model", "device", "dtype", "slots", "max_queue", "watermark", "voice")
"""Flags that are arguments of the engine as they are, where they were given."""


def parse(arguments: Sequence[str] | None = None) -> tuple[TtsOptions, Output]:
    """Read the command line. What is not named has the value that the engine gives it.

    Raises:
        BenchError: A value is not one that can be measured with.
    """
    flags = _parser().parse_args(arguments)
    names = CHATTERBOX_FLAGS if flags.engine == "chatterbox" else HIBARI_FLAGS
    engine = {name: getattr(flags, name) for name in names if getattr(flags, name) is not None}
    options = TtsOptions(
        speakers=speakers_of(flags.speakers),
        urls=tuple(flags.url),
        name=flags.engine,
        engine=engine | arguments_of(flags.set),
        **{name: getattr(flags, name) for name in SAME_NAMES},
    )
    return options, Output(flags.json, flags.plot, flags.aim_ms)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m agent.bench.tts",
        description="Text to speech under load: N speakers say real sentences at real pace, each to a listener.",
    )
    add, switch = parser.add_argument, argparse.BooleanOptionalAction
    add("--speakers", default="8", help="how many speak; 1,32,100 measures each number")
    add("--secs", type=float, default=60, help="how long each number is measured")
    add("--ramp-secs", type=float, help="time before that, in which they begin (default: a quarter, at most 8)")
    add("--texts", type=Path, help="sentences to say, one on each line")
    add("--tokens-per-sec", type=float, default=60, help="pace at which the text is written")
    add("--instant", action="store_true", help="give the text whole")
    add("--duty", type=float, help="share of the time in which a speaker is heard (default: on after 0.3 to 1 s)")
    add("--period-secs", type=float, help="mean time from one answer of a speaker to its next, instead")
    add("--buffer-ms", type=float, default=0, help="jitter buffer of the listeners; 0 plays the first sound at once")
    add("--barge-in", type=float, default=0, help="share of the answers that are cut off at some moment")
    add("--patience-secs", type=float, default=30, help="a stream silent for so long is an error")
    add("--seed", type=int, default=0)
    add("--url", action="append", default=[], help="a service, ws://HOST:PORT; may be repeated")
    add("--token", help="access token of the service")
    add("--engine", default="hibari", help="hibari or chatterbox, in this process")
    add("--voice")
    add("--threads", type=int, help="hibari: CPU threads of one synthesis")
    add("--max-queue", type=int)
    add("--variant", choices=("turbo", "base"))
    add("--model", help="chatterbox: folder of its weights")
    add("--device", help="chatterbox: cpu, cuda or cuda:N")
    add("--dtype", help="chatterbox: number format of the token model")
    add("--slots", type=int, help="chatterbox: streams at once")
    add("--watermark", action=switch, help="chatterbox: on both sides alike")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="any other argument of the engine")
    add("--random-weights", nargs="?", const="full", help="chatterbox: full or tiny; random weights of its shape")
    add("--baseline", action=switch, default=None, help="chatterbox: plain upstream as well (default: yes)")
    add("--baseline-secs", type=float, default=20, help="how long that is measured")
    add("--json", action="store_true", help="print one JSON object")
    add("--plot", type=Path, help="write a PNG")
    add("--aim-ms", type=float, help="the highest p95 of the first sound that will do")
    return parser
