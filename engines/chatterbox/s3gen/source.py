"""The vocoder's source signal: harmonics of the pitch, and noise where there is none.

Upstream draws the phases and the noise anew for each call. Here both are fixed by a stream's seed and the place in the
stream, and the phase goes on from frame to frame, so that a signal made in pieces is the one made at once.
"""

import math
from typing import Any

import torch

from engines.chatterbox import noise
from engines.chatterbox.s3gen.layers import Copier
from engines.chatterbox.s3gen.stream import SAMPLES_PER_FRAME

NOISE_SALT = 1
PHASE_SALT = 7
"""`noise.normal` with salt 1 uses 3 and 4."""


class Source:
    """Makes the source signal from the pitch."""

    def __init__(self, source: Any, device: torch.device):
        """Copy the weights of upstream's `SourceModuleHnNSF`."""
        copier = Copier(device, torch.float32)
        sines = source.l_sin_gen
        self._rate = float(sines.sampling_rate)
        self._voiced_above = float(sines.voiced_threshold)
        self._voiced_noise, self._unvoiced_noise = float(sines.noise_std), float(sines.sine_amp) / 3
        merge = copier.linear(source.l_linear)
        assert merge.bias is not None
        self._weights = merge.weight[0] * sines.sine_amp
        # Every harmonic has noise of the same strength; their weighted sum is noise too, of this one.
        self._noise_weight = merge.weight[0].norm()
        self._bias = merge.bias
        self._harmonics = torch.arange(1, len(self._weights) + 1, device=device)

    def phases(self, pitch: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """Where the fundamental stands at the boundaries of frames, in cycles from 0 to 1.

        Args:
            pitch: (batch, frames) in Hz.
            start: (batch), float64, before the first of them.

        Returns:
            (batch, frames + 1), float64.
        """
        steps = pitch.double() * (SAMPLES_PER_FRAME / self._rate)
        return torch.cat([start[:, None], start[:, None] + steps.cumsum(1)], dim=1) % 1

    def signal(
        self, pitch: torch.Tensor, phases: torch.Tensor, seeds: torch.Tensor, first: torch.Tensor
    ) -> torch.Tensor:
        """The source signal.

        Args:
            pitch: (batch, frames) in Hz.
            phases: As from `phases`.
            seeds: (batch), int64, of the streams.
            first: (batch), int64, the first frame's number in its stream.

        Returns:
            (batch, frames × 480), float32.
        """
        within = torch.arange(1, SAMPLES_PER_FRAME + 1, device=pitch.device)
        cycles = phases[:, :-1, None] + pitch.double()[:, :, None] * (within / self._rate)
        cycles = (cycles % 1).float().flatten(1)
        voiced = (pitch > self._voiced_above).repeat_interleave(SAMPLES_PER_FRAME, dim=1)
        places = first[:, None] * SAMPLES_PER_FRAME + torch.arange(cycles.shape[1], device=pitch.device)
        hiss = noise.normal(seeds[:, None], places, salt=NOISE_SALT) * self._noise_weight
        hiss = hiss * torch.where(voiced, self._voiced_noise, self._unvoiced_noise)
        return torch.tanh(self._tone(cycles, seeds) * voiced + hiss + self._bias)

    def _tone(self, cycles: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
        drawn = noise.uniform(seeds[:, None], self._harmonics, salt=PHASE_SALT) - 0.5
        offsets = drawn * (self._harmonics > 1)  # The fundamental's phase is not drawn.
        tone = torch.zeros_like(cycles)
        for number in range(len(self._harmonics)):
            turns = cycles * (number + 1) + offsets[:, number, None]
            tone.addcmul_(torch.sin((turns % 1) * (2 * math.pi)), self._weights[number])
        return tone
