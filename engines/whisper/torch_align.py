"""Where each token was spoken: dynamic time warping over the attention of the heads that follow the words.

The same steps as CTranslate2's `Whisper.align`, utterance by utterance, so that a batch does not change a result.
"""

import numpy as np
import torch
import torch.nn.functional as F

MEDIAN_WIDTH = 7


def follow(scores: torch.Tensor, frames: int, skipped: int) -> list[tuple[int, int]]:
    """Align one utterance.

    Args:
        scores: Of the alignment heads before the softmax, (heads, tokens, audio positions).
        frames: Audio positions of 20 ms that are not padding.
        skipped: Tokens before the first that is aligned; the last token is not aligned either.

    Returns:
        Pairs of token, counted from `skipped`, and audio position, in order.
    """
    attention = scores[..., : max(1, frames)].float().softmax(dim=-1)
    deviation, mean = torch.std_mean(attention, dim=-2, keepdim=True, correction=0)
    # Where no token looked at all, nothing stands out: 0, not 0 / 0.
    attention = (attention - mean) / deviation.clamp_min(torch.finfo(torch.float32).tiny)
    matrix = _median(attention).mean(dim=0)[skipped:-1]
    return warp(matrix.cpu().numpy())


def warp(likeness: np.ndarray) -> list[tuple[int, int]]:
    """The path from corner to corner of a matrix (tokens, frames) along which its sum is largest."""
    tokens, frames = likeness.shape
    width = frames + 1
    cost = np.full((tokens + 1) * width, np.inf, dtype=np.float32)
    came = np.full((tokens + 1) * width, -1, dtype=np.int8)
    padded = np.zeros((tokens + 1, width), dtype=np.float32)
    padded[1:, 1:] = likeness
    gain = padded.ravel()
    cost[0] = 0
    # Cells of one anti-diagonal depend on the two before it only: each is one step over an array.
    for diagonal in range(2, tokens + frames + 1):
        first, last = max(1, diagonal - frames), min(tokens, diagonal - 1)
        begin, count = first * width + diagonal - first, last - first + 1

        def cells(offset: int, begin: int = begin, count: int = count) -> slice:
            return slice(begin + offset, begin + offset + (count - 1) * frames + 1, frames)

        both, down, right = cost[cells(-width - 1)], cost[cells(-width)], cost[cells(-1)]
        is_both = (both < down) & (both < right)
        is_down = (down < both) & (down < right)
        cost[cells(0)] = np.where(is_both, both, np.where(is_down, down, right)) - gain[cells(0)]
        came[cells(0)] = np.where(is_both, 0, np.where(is_down, 1, 2))
    return _path(came.reshape(tokens + 1, width))


def _path(came: np.ndarray) -> list[tuple[int, int]]:
    came[0, :] = 2
    came[:, 0] = 1
    token, frame = came.shape[0] - 1, came.shape[1] - 1
    path: list[tuple[int, int]] = []
    while token > 0 or frame > 0:
        path.append((token - 1, frame - 1))
        step = int(came[token, frame])
        token, frame = token - (step != 2), frame - (step != 1)
    return path[::-1]


def _median(attention: torch.Tensor) -> torch.Tensor:
    reach = MEDIAN_WIDTH // 2
    if attention.shape[-1] <= reach:
        return attention
    return F.pad(attention, (reach, reach), mode="reflect").unfold(-1, MEDIAN_WIDTH, 1).median(dim=-1).values
