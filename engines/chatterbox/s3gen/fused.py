"""The vocoder's element-wise work: bias, sums, activation and mask in one pass over memory.

On a GPU a vocoder's convolutions are short and its tensors large, so that each pass costs as much as a convolution.
There one Triton kernel does what is a chain of torch operations elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch


@dataclass(frozen=True, slots=True, eq=False)
class Snake:
    """x + sin²(αx) / α, each channel with its own α; both (channels)."""

    alpha: torch.Tensor
    inverse: torch.Tensor


@dataclass(frozen=True, slots=True)
class Leaky:
    """Leaky ReLU of what was scaled before."""

    slope: float
    scale: float = 1.0


class Fused(Protocol):
    """Adds up, activates and masks tensors (batch, channels, 1, positions) of one layout."""

    def __call__(
        self,
        x: torch.Tensor,
        lengths: torch.Tensor,
        *,
        bias: torch.Tensor | None = None,
        plus: Sequence[torch.Tensor] = (),
        activation: Snake | Leaky | None = None,
        keep: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add bias and `plus`, at most two tensors, to x.

        Returns:
            The sum, if it is to be kept or there is no activation, and what the activation makes of it with zeros from
            each row's length on; without activation both are the sum. What is not asked for is the other one again.
        """
        ...


def fused_by_torch(
    x: torch.Tensor,
    lengths: torch.Tensor,
    *,
    bias: torch.Tensor | None = None,
    plus: Sequence[torch.Tensor] = (),
    activation: Snake | Leaky | None = None,
    keep: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same with torch's operations; see `Fused`."""
    total = x if bias is None else x + bias[:, None, None]
    for other in plus:
        total = total + other
    if activation is None:
        return total, total
    mask = torch.arange(x.shape[3], device=x.device) < lengths[:, None, None, None]
    active = _activate(activation, total) * mask
    return (total if keep else active), active


def fused_for(device: torch.device) -> Fused:
    """The fastest there is on a device."""
    if device.type != "cuda":
        return fused_by_torch
    try:
        from engines.chatterbox.s3gen.fused_triton import fused_by_triton
    except ImportError:
        return fused_by_torch
    return fused_by_triton


def _activate(activation: Snake | Leaky, x: torch.Tensor) -> torch.Tensor:
    if isinstance(activation, Leaky):
        return torch.nn.functional.leaky_relu(x * activation.scale, activation.slope)
    sine = torch.sin(x * activation.alpha[:, None, None])
    return torch.addcmul(x, activation.inverse[:, None, None], sine * sine)
