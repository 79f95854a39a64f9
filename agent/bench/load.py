"""Who speaks when: a seeded schedule of utterances, drawn before anything is measured.

Each caller is a renewal process: an utterance, then an exponential silence. Many of them together are nearly a Poisson
stream, as calls are. What one caller does depends on the seed and on its own number, so that more callers are the same
callers and some others.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SHORTEST_SECS = 0.8
LONGEST_SECS = 9.0
SPREAD = 0.5
"""Standard deviation of the logarithm of the lengths: most utterances are short, a few are long."""

RUN_UP = 3
"""Periods before the beginning of a round that are drawn and not sent."""


@dataclass(frozen=True)
class Utterance:
    """Real speech as it is sent.

    Attributes:
        name: Of the recording, and of the stretch of it.
        pcm: Signed 16-bit little-endian mono samples at 16 kHz.
        secs: Their length.
        text: What is said in it, where that is known.
    """

    name: str
    pcm: bytes
    secs: float
    text: str | None = None


@dataclass(frozen=True)
class Turn:
    """One utterance of one caller: when it begins, in seconds from the beginning of the round, and what is said.

    One that ends in the round may have begun before it.
    """

    caller: int
    begins: float
    utterance: Utterance

    @property
    def ends(self) -> float:
        """When its last sample is spoken."""
        return self.begins + self.utterance.secs


@dataclass(frozen=True)
class Load:
    """How many speak, for how long, and how often.

    Attributes:
        callers: How many.
        secs: Utterances that end within so long of the beginning are in the schedule.
        utterance_secs: Mean length of an utterance.
        period_secs: Mean time from the beginning of an utterance to that of the caller's next.
        seed: The same seed gives the same schedule.
    """

    callers: int
    secs: float
    utterance_secs: float = 3.0
    period_secs: float = 8.0
    seed: int = 0


Choose = Callable[[float, np.random.Generator], Utterance]
"""Finds speech of about so many seconds."""


def schedule(load: Load, choose: Choose) -> list[Turn]:
    """Every utterance of the round, by the time at which it ends."""
    turns = [turn for caller in range(load.callers) for turn in _turns_of(caller, load, choose)]
    return sorted(turns, key=lambda turn: turn.ends)


def draws(load: Load, caller: int) -> np.random.Generator:
    """The random numbers of one caller."""
    return np.random.default_rng([load.seed, caller])


def draw_secs(mean_secs: float, random: np.random.Generator) -> float:
    """A length of an utterance: lognormal, between the shortest and the longest."""
    secs = random.lognormal(math.log(mean_secs) - SPREAD**2 / 2, SPREAD)
    return float(np.clip(secs, SHORTEST_SECS, LONGEST_SECS))


def _turns_of(caller: int, load: Load, choose: Choose) -> list[Turn]:
    random = draws(load, caller)
    turns: list[Turn] = []
    # The caller has been speaking for a while when the round begins, so that the first seconds are like the last.
    begins = float(random.uniform(-RUN_UP - 1, -RUN_UP)) * load.period_secs
    while True:
        utterance = choose(draw_secs(load.utterance_secs, random), random)
        turn = Turn(caller, begins, utterance)
        if turn.ends > load.secs:
            return turns
        if turn.ends > 0:
            turns.append(turn)
        # The mean of the silences makes the mean of the periods right, whatever the lengths of the speech came to.
        gap_secs = max(0.1, load.period_secs - load.utterance_secs)
        begins = turn.ends + float(random.exponential(gap_secs))
