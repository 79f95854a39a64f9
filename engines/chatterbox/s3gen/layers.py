"""Weights taken out of upstream's modules, and the few operations that the flow is made of.

Everything is laid out (batch, positions, channels): what a linear layer and a layer norm want, and what a convolution
takes without a copy when it is told that the channels come last.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F


class Linear(NamedTuple):
    """Weight (out, in) and bias."""

    weight: torch.Tensor
    bias: torch.Tensor | None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight, self.bias)


class Norm(NamedTuple):
    """A layer norm over the channels."""

    weight: torch.Tensor
    bias: torch.Tensor
    eps: float

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


class Conv(NamedTuple):
    """A convolution over the positions, stride 1; weight (out, in, 1, taps), channels last."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __call__(self, x: torch.Tensor, *, left: int = 0, right: int = 0) -> torch.Tensor:
        """Convolve (batch, positions, channels) after `left` and `right` positions of zeros."""
        if left or right:
            x = F.pad(x, (0, 0, left, right))
        return F.conv2d(x.transpose(1, 2).unsqueeze(2), self.weight, self.bias).squeeze(2).transpose(1, 2)

    def causal(self, x: torch.Tensor) -> torch.Tensor:
        """Each position from itself and those before it."""
        return self(x, left=self.weight.shape[3] - 1)


class Copier:
    """Copies weights to one device and one type."""

    def __init__(self, device: torch.device, dtype: torch.dtype):
        """For weights on `device` of `dtype`."""
        self.device = device
        self.dtype = dtype

    def tensor(self, weight: torch.Tensor) -> torch.Tensor:
        """A copy of its own: upstream's module may go."""
        return weight.detach().to(self.device, self.dtype, copy=True)

    def linear(self, module: Any) -> Linear:
        """From `torch.nn.Linear`."""
        return Linear(self.tensor(module.weight), None if module.bias is None else self.tensor(module.bias))

    def stacked(self, *modules: Any) -> Linear:
        """Layers that read the same input, as one."""
        biases = [module.bias for module in modules]
        weight = torch.cat([module.weight.detach() for module in modules])
        return Linear(self.tensor(weight), None if biases[0] is None else self.tensor(torch.cat(biases)))

    def norm(self, module: Any) -> Norm:
        """From `torch.nn.LayerNorm`."""
        return Norm(self.tensor(module.weight), self.tensor(module.bias), module.eps)

    def conv(self, module: Any) -> Conv:
        """From `torch.nn.Conv1d`."""
        weight = self.tensor(module.weight).unsqueeze(2).to(memory_format=torch.channels_last)
        return Conv(weight, self.tensor(module.bias))


def heads(x: torch.Tensor, count: int) -> torch.Tensor:
    """(batch, positions, channels) as (batch, heads, positions, channels of a head)."""
    return x.unflatten(2, (count, -1)).transpose(1, 2)


def unheads(x: torch.Tensor) -> torch.Tensor:
    """The inverse of `heads`."""
    return x.transpose(1, 2).flatten(2)
