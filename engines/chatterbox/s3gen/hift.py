"""HiFT, the vocoder: mel frames and a source signal to samples at 24 kHz, for a batch of ragged rows.

Upstream's `HiFTGenerator` with its weight norms folded once. A convolution's own padding with zeros is exact at a row's
end as long as what comes after the end is zero; so every convolution's input is masked, by the activation before it.

Tensors are (batch, channels, 1, positions): two-dimensional convolutions can take the channels last.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from engines.chatterbox.s3gen.fused import Fused, Leaky, Snake, fused_for
from engines.chatterbox.s3gen.layers import Copier, Linear
from engines.chatterbox.s3gen.stft import BINS, HOP, Fourier

LOUDEST_BIN = 1e2
LAST_SLOPE = 0.01
"""Upstream leaves the last leaky ReLU at torch's default."""


class Conv(NamedTuple):
    """Weight (out, in, 1, taps) of a convolution, (in, out, 1, taps) of a transposed one; the bias on its own."""

    weight: torch.Tensor
    bias: torch.Tensor
    stride: int
    padding: int
    dilation: int
    transposed: bool = False

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Without the bias: that is added where the output is next read."""
        stride, padding, dilation = (1, self.stride), (0, self.padding), (1, self.dilation)
        if self.transposed:
            return F.conv_transpose2d(x, self.weight, stride=stride, padding=padding)
        return F.conv2d(x, self.weight, stride=stride, padding=padding, dilation=dilation)


class Residual(NamedTuple):
    """A residual block: pairs of activation and convolution with growing dilation."""

    first: list[tuple[Snake, Conv]]
    second: list[tuple[Snake, Conv]]


class Level(NamedTuple):
    """One upsampling: what raises the rate, what brings the source in, and the blocks that follow."""

    up: Conv
    rate: int
    """Positions a frame after it."""
    source_down: Conv
    source_block: Residual
    blocks: list[Residual]


class Hift:
    """Weights of the vocoder."""

    def __init__(self, hift: Any, device: torch.device, dtype: torch.dtype, *, channels_last: bool | None = None):
        """Copy the weights of upstream's module.

        Args:
            hift: Upstream's `HiFTGenerator`.
            device: Where it runs.
            dtype: Of the convolutions between the spectra; the pitch and the spectra themselves are float32.
            channels_last: Memory layout; None for what suits the device.
        """
        last = device.type == "cuda" if channels_last is None else channels_last
        self._layout = torch.channels_last if last else torch.contiguous_format
        self._dtype = dtype
        self._fused: Fused = fused_for(device)
        self._fourier = Fourier(device)
        self._slope, self._limit = float(hift.lrelu_slope), float(hift.audio_limit)
        copier, precise = Copier(device, dtype), Copier(device, torch.float32)
        self._pre, self._post = self._conv(hift.conv_pre, copier), self._conv(hift.conv_post, copier)
        self._levels = [self._level(hift, number, copier) for number in range(hift.num_upsamples)]
        convolutions = [layer for layer in hift.f0_predictor.condnet if isinstance(layer, torch.nn.Conv1d)]
        self._pitch_convs = [self._conv(layer, precise) for layer in convolutions]
        self._pitch_out: Linear = precise.linear(hift.f0_predictor.classifier)

    def pitch(self, mel: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Pitch of each frame.

        Args:
            mel: (batch, frames, mels), float32.
            lengths: Frames of each row.

        Returns:
            (batch, frames) in Hz, 0 after a row's end.
        """
        inside = torch.arange(mel.shape[1], device=mel.device) < lengths[:, None]
        x = self._mels(mel * inside.unsqueeze(2), torch.float32)
        for conv in self._pitch_convs:
            x = F.elu(conv(x) + conv.bias[:, None, None]) * inside[:, None, None]
        return self._pitch_out(x.squeeze(2).transpose(1, 2)).squeeze(2).abs() * inside

    def decode(self, mel: torch.Tensor, source: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Samples.

        Args:
            mel: (batch, frames, mels), float32.
            source: (batch, frames × 480), float32.
            lengths: Frames of each row, at least one.

        Returns:
            (batch, frames × 480), float32 within the model's limit; after a row's end comes anything finite.
        """
        rates = [level.rate for level in self._levels]
        hops = rates[-1] * lengths + 1
        spectrum = self._spectrum(source, lengths * (rates[-1] * HOP), hops)
        inside = torch.arange(mel.shape[1], device=mel.device) < lengths[:, None]
        x = self._pre(self._mels(mel * inside.unsqueeze(2), self._dtype))
        _, active = self._fused(x, lengths, bias=self._pre.bias, activation=Leaky(self._slope))
        for number, level in enumerate(self._levels):
            is_last = number == len(self._levels) - 1
            ends = hops if is_last else level.rate * lengths
            scale = 1 / len(level.blocks)
            leaving = Leaky(LAST_SLOPE if is_last else self._slope, scale)
            active = self._run_level(level, active, spectrum, ends, leaving, is_last)
        return self._samples(self._post(active) + self._post.bias[:, None, None], hops)

    def _run_level(
        self, level: Level, x: torch.Tensor, spectrum: torch.Tensor, ends: torch.Tensor, leaving: Leaky, is_last: bool
    ) -> torch.Tensor:
        x = level.up(x)
        if is_last:
            x = self._reflect(x)
        source = level.source_down(spectrum)
        source, active = self._fused(
            source, ends, bias=level.source_down.bias, activation=level.source_block.first[0][0], keep=True
        )
        source, _ = self._run_block(level.source_block, source, active, ends, (), None)
        start = level.blocks[0].first[0][0]
        x, active = self._fused(x, ends, bias=level.up.bias, plus=(source,), activation=start, keep=True)
        total: tuple[torch.Tensor, ...] = ()
        for number, block in enumerate(level.blocks):
            if number:
                _, active = self._fused(x, ends, activation=block.first[0][0])
            end = leaving if number == len(level.blocks) - 1 else None
            kept, active = self._run_block(block, x, active, ends, total, end)
            total = (kept,)
        return active

    def _run_block(
        self,
        block: Residual,
        x: torch.Tensor,
        active: torch.Tensor,
        ends: torch.Tensor,
        plus: tuple[torch.Tensor, ...],
        leaving: Leaky | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`x` and what its first activation makes of it; `plus` is added at the end, before `leaving`."""
        for number, ((_, first), (middle, second)) in enumerate(zip(block.first, block.second, strict=True)):
            _, active = self._fused(first(active), ends, bias=first.bias, activation=middle)
            if number < len(block.first) - 1:
                after = block.first[number + 1][0]
                x, active = self._fused(second(active), ends, bias=second.bias, plus=(x,), activation=after, keep=True)
            else:
                x, active = self._fused(second(active), ends, bias=second.bias, plus=(x, *plus), activation=leaving)
        return x, active

    def _spectrum(self, source: torch.Tensor, samples: torch.Tensor, hops: torch.Tensor) -> torch.Tensor:
        spectrum = self._fourier.analyse(source, samples)
        mask = torch.arange(spectrum.shape[1], device=source.device) < hops[:, None]
        return self._mels(spectrum * mask.unsqueeze(2), self._dtype)

    def _samples(self, x: torch.Tensor, hops: torch.Tensor) -> torch.Tensor:
        x = x.squeeze(2).transpose(1, 2).float()
        mask = (torch.arange(x.shape[1], device=x.device) < hops[:, None]).to(x.dtype)
        # Before the exponential: what stands in the padding must at least be finite.
        x = x * mask.unsqueeze(2)
        magnitude = torch.exp(x[:, :, :BINS]).clamp(max=LOUDEST_BIN)
        phase = torch.sin(x[:, :, BINS:])
        samples = self._fourier.synthesise(magnitude * torch.cos(phase), magnitude * torch.sin(phase), mask)
        return samples.clamp(-self._limit, self._limit)

    def _mels(self, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """(batch, positions, channels) as the convolutions want it."""
        return x.to(dtype).transpose(1, 2).unsqueeze(2).contiguous(memory_format=self._layout)

    def _reflect(self, x: torch.Tensor) -> torch.Tensor:
        """One position more at the beginning, a mirror of the second."""
        batch, channels, _, positions = x.shape
        wider = torch.empty((batch, channels, 1, positions + 1), dtype=x.dtype, device=x.device)
        wider = wider.contiguous(memory_format=self._layout)
        wider[..., 1:] = x
        wider[..., 0] = x[..., 1]
        return wider

    def _level(self, hift: Any, number: int, copier: Copier) -> Level:
        up = self._conv(hift.ups[number], copier)
        count = hift.num_kernels
        blocks = hift.resblocks[number * count : (number + 1) * count]
        rate = 1
        for before in hift.ups[: number + 1]:
            rate *= before.stride[0]
        return Level(
            up,
            rate,
            self._conv(hift.source_downs[number], copier),
            self._residual(hift.source_resblocks[number], copier),
            [self._residual(block, copier) for block in blocks],
        )

    def _residual(self, block: Any, copier: Copier) -> Residual:
        first = zip(block.activations1, block.convs1, strict=True)
        second = zip(block.activations2, block.convs2, strict=True)
        return Residual(
            [(_snake(snake, copier), self._conv(conv, copier)) for snake, conv in first],
            [(_snake(snake, copier), self._conv(conv, copier)) for snake, conv in second],
        )

    def _conv(self, module: Any, copier: Copier) -> Conv:
        # Reading a parametrized weight folds its norm.
        weight = copier.tensor(module.weight).unsqueeze(2).contiguous(memory_format=self._layout)
        transposed = isinstance(module, torch.nn.ConvTranspose1d)
        sizes = (module.stride[0], module.padding[0], module.dilation[0])
        return Conv(weight, copier.tensor(module.bias), *sizes, transposed)


def _snake(module: Any, copier: Copier) -> Snake:
    alpha = module.alpha.detach().float()
    alpha = torch.exp(alpha) if module.alpha_logscale else alpha
    return Snake(copier.tensor(alpha), copier.tensor(1 / (alpha + module.no_div_by_zero)))
