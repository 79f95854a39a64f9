"""Where a sentence that was said in one breath can be cut: at the commas in which its speaker will pause.

A piece of a sentence that is synthesised alone sounds finished, and ends a turn by rights; cut from the whole, it hangs
in the air as it does where a person pauses to think.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from agent.bench.talk.sounds import RATE

FRAME = RATE // 100
QUIET_DB = 32.0
"""Sound so far below the loudest is a pause of the speaker, if it lasts for 3 frames."""

SHORTEST_FRAMES = 8
SEARCH_FRAMES = 15
DISTANCE_WEIGHT = 0.6
"""A silence is worth its length, less this share of its distance from where the comma should be."""


def cuts(speech: np.ndarray, lengths: Sequence[int]) -> list[int]:
    """Samples at which to cut so that each piece has its own words.

    Args:
        speech: The whole sentence, shape (samples,).
        lengths: About how long each piece is by itself, in samples; only their proportions count.

    Returns:
        One fewer than the pieces, in rising order.
    """
    levels = _levels_db(speech)
    expected = np.cumsum(lengths)[:-1] * len(speech) / sum(lengths) / FRAME
    silences = _silences(levels)
    choices = [chosen for chosen in combinations(silences, len(expected)) if _apart(chosen, len(levels))]
    if choices:
        best = max(choices, key=lambda chosen: _worth(chosen, expected))
        return [(start + end) // 2 * FRAME for start, end in best]
    return [_quietest(levels, int(at)) * FRAME for at in expected]


def _worth(chosen: Sequence[tuple[int, int]], expected: np.ndarray) -> float:
    return sum(
        (end - start) - DISTANCE_WEIGHT * abs((start + end) / 2 - at)
        for (start, end), at in zip(chosen, expected, strict=True)
    )


def _apart(chosen: Sequence[tuple[int, int]], frames: int) -> bool:
    """Whether there is something to hear on both sides of each silence."""
    edges = [0, *(edge for silence in chosen for edge in silence), frames]
    return all(end - start >= SHORTEST_FRAMES for start, end in zip(edges[::2], edges[1::2], strict=True))


def _quietest(levels: np.ndarray, at: int) -> int:
    begin = max(at - SEARCH_FRAMES, 1)
    return begin + int(np.argmin(levels[begin : at + SEARCH_FRAMES]))


def _levels_db(speech: np.ndarray) -> np.ndarray:
    frames = speech[: len(speech) // FRAME * FRAME].reshape(-1, FRAME)
    return 10 * np.log10((frames**2).mean(axis=1) + 1e-12)


def _silences(levels: np.ndarray) -> list[tuple[int, int]]:
    """Silences inside of the sentence as frames `start` to `end` (exclusive)."""
    quiet = levels < levels.max() - QUIET_DB
    edges = np.flatnonzero(np.diff(np.concatenate(([0], quiet.astype(np.int8), [0]))))
    runs = [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]
    return [(start, end) for start, end in runs if end - start >= 3 and start > 0 and end < len(levels)]
