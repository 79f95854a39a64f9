"""What the model remembers of every text that is being decoded."""

import torch


class KeyValueCache:
    """Keys and values in one block of memory, reserved once: (layers, 2, rows, heads, positions, head_dim).

    A position that no token has reached holds zeros or what an earlier text left there: both are finite, and a mask
    keeps them out.
    """

    def __init__(self, layers: int, rows: int, heads: int, positions: int, head_dim: int, like: torch.Tensor):
        """Reserve it, with the type and on the device of `like`."""
        self.data = like.new_zeros(layers, 2, rows, heads, positions, head_dim)

    @property
    def positions(self) -> int:
        """Room of a row."""
        return self.data.shape[4]

    def keys(self, layer: int) -> torch.Tensor:
        """Of one layer, (rows, heads, positions, head_dim)."""
        return self.data[layer, 0]

    def values(self, layer: int) -> torch.Tensor:
        """Of one layer, (rows, heads, positions, head_dim)."""
        return self.data[layer, 1]

    def begin(self, first_row: int, rows: int, prefix: torch.Tensor) -> None:
        """Put the same beginning, (layers, 2, heads, positions, head_dim), into a few rows."""
        self.data[:, :, first_row : first_row + rows, :, : prefix.shape[3]] = prefix[:, :, None]
