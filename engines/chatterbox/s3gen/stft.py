"""Short-time Fourier transforms of 16 samples, over ragged rows, as products with a small matrix.

As `torch.stft` and `torch.istft` with centred frames and a Hann window; exact at each row's own end.
"""

import math

import torch

SIZE = 16
HOP = 4
BINS = SIZE // 2 + 1


class Fourier:
    """The two transforms, float32."""

    def __init__(self, device: torch.device):
        """Make the matrices on `device`."""
        times = torch.arange(SIZE, dtype=torch.float64)
        window = torch.hann_window(SIZE, dtype=torch.float64)
        angles = 2 * math.pi * torch.arange(BINS, dtype=torch.float64)[:, None] * times / SIZE
        waves = torch.cat([torch.cos(angles), -torch.sin(angles)])
        # Bins between the first and the last stand for two.
        weights = torch.full((BINS, 1), 2.0, dtype=torch.float64)
        weights[0] = weights[-1] = 1.0
        self._forward = (waves * window).T.float().contiguous().to(device)
        self._inverse = (waves * weights.repeat(2, 1) * window / SIZE).float().contiguous().to(device)
        self._window = window.square().float().to(device)

    def analyse(self, samples: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Real and imaginary parts.

        Args:
            samples: (batch, samples), float32.
            lengths: Samples of each row, int64, more than half a window.

        Returns:
            (batch, samples / 4 + 1, 18); row i has lengths[i] / 4 + 1 frames, after which comes anything.
        """
        places = torch.arange(-SIZE // 2, samples.shape[1] + SIZE // 2, device=samples.device).abs()
        last = lengths[:, None] - 1
        reflected = torch.where(places <= last, places, 2 * last - places).clamp_(0, samples.shape[1] - 1)
        frames = samples.gather(1, reflected).unfold(1, SIZE, HOP)
        return torch.matmul(frames, self._forward)

    def synthesise(self, real: torch.Tensor, imaginary: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Samples from spectra.

        Args:
            real: (batch, frames, 9), float32.
            imaginary: Likewise.
            mask: (batch, frames), 1 for the frames of a row and 0 after them.

        Returns:
            (batch, (frames - 1) × 4); after a row's own samples comes anything finite.
        """
        weight = mask.unsqueeze(2)
        pieces = torch.matmul(torch.cat([real, imaginary], dim=2), self._inverse) * weight
        trimmed = slice(SIZE // 2, SIZE // 2 + HOP * (mask.shape[1] - 1))
        envelope = _overlap_add(weight * self._window)[:, trimmed]
        return _overlap_add(pieces)[:, trimmed] / envelope.clamp(min=1e-11)


def _overlap_add(pieces: torch.Tensor) -> torch.Tensor:
    """(batch, frames, size) to (batch, samples): quarters of four frames meet in each hop."""
    batch, frames, _ = pieces.shape
    quarters = pieces.unflatten(2, (SIZE // HOP, HOP))
    added = pieces.new_zeros(batch, frames + SIZE // HOP - 1, HOP)
    for number in range(SIZE // HOP):
        added[:, number : number + frames] += quarters[:, :, number]
    return added.flatten(1)
