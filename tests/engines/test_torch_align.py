"""The path through an attention matrix, against the textbook's."""

import numpy as np
import pytest
import torch

from engines.whisper.torch_align import follow, warp


def plain(likeness: np.ndarray) -> list[tuple[int, int]]:
    """Dynamic time warping, one cell at a time; ties as in CTranslate2."""
    tokens, frames = likeness.shape
    cost = np.full((tokens + 1, frames + 1), np.inf, dtype=np.float32)
    came = np.zeros((tokens + 1, frames + 1), dtype=int)
    cost[0, 0] = 0
    came[0, :], came[1:, 0] = 2, 1
    for frame in range(1, frames + 1):
        for token in range(1, tokens + 1):
            both, down, right = cost[token - 1, frame - 1], cost[token - 1, frame], cost[token, frame - 1]
            best, step = right, 2
            if both < down and both < right:
                best, step = both, 0
            elif down < both and down < right:
                best, step = down, 1
            cost[token, frame] = best - likeness[token - 1, frame - 1]
            came[token, frame] = step
    token, frame, path = tokens, frames, []
    while token or frame:
        path.append((token - 1, frame - 1))
        step = came[token, frame]
        token, frame = token - (step != 2), frame - (step != 1)
    return path[::-1]


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (7, 40), (40, 7), (12, 300)])
def test_the_path_is_the_plain_one(shape: tuple[int, int]):
    generator = np.random.default_rng(sum(shape))
    for likeness in (generator.normal(size=shape), generator.integers(-1, 2, shape)):
        assert warp(likeness.astype(np.float32)) == plain(likeness.astype(np.float32))


def test_a_clear_diagonal_is_followed():
    frames = 60
    where = torch.arange(6)[:, None] * 10 + 5
    scores = -0.1 * (torch.arange(frames)[None] - where).float() ** 2
    pairs = follow(scores.expand(3, 6, frames), frames, 1)
    found = [next(frame for token, frame in pairs if token == number) for number in range(1, 4)]
    assert found == pytest.approx([20, 30, 40], abs=2)


@pytest.mark.parametrize("frames", [0, 1, 3, 4])
def test_hardly_any_audio_has_a_path_too(frames: int):
    pairs = follow(torch.zeros(2, 5, 10), frames, 1)
    assert pairs[0] == (0, 0)
    assert pairs[-1] == (2, max(1, frames) - 1)
