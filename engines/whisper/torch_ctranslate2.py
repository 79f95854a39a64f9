"""Reads the weights of a CTranslate2 model: the `model.bin` of a faster-whisper folder.

The file is a header (version 6, the name of the specification, its revision), the variables (name, shape, type, bytes)
in little-endian order, and aliases for variables that share their data. Integer weights carry a scale: int8 one per
output row, int16 one in all; the weight is the stored number divided by it.
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

import torch

from engines.errors import WeightsError

BINARY_VERSION = 6
DTYPES = (torch.float32, torch.int8, torch.int16, torch.int32, torch.float16, torch.bfloat16)
"""By the number that stands for them in the file."""


@dataclass(frozen=True)
class _Stored:
    offset: int
    size: int
    shape: tuple[int, ...]
    dtype: torch.dtype


class CTranslate2Weights:
    """Variables of one `model.bin`, read one at a time; the names are CTranslate2's."""

    def __init__(self, path: Path):
        """Read the list of variables; their data stays on disk until it is asked for.

        Raises:
            WeightsError: The file is missing, damaged, or not a Whisper model of the version that is known here.
        """
        self.path = path
        try:
            with path.open("rb") as stream:
                self._data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError:
            raise WeightsError(f"{path} is missing; expected a CTranslate2 model") from None
        except (OSError, ValueError) as error:
            raise WeightsError(f"{path} cannot be read ({error}); expected a CTranslate2 model") from error
        self._position = 0
        try:
            self._read_header()
            self._stored = dict(self._read_variable() for _ in range(self._number("I")))
            self._aliases = {self._string(): self._string() for _ in range(self._number("I"))}
        except (struct.error, UnicodeDecodeError) as error:
            raise WeightsError(
                f"{path} ends or is damaged at byte {self._position} of {len(self._data)}: {error}; expected a "
                f"CTranslate2 model of binary version {BINARY_VERSION}"
            ) from error

    def tensor(self, name: str) -> torch.Tensor | None:
        """One variable on the CPU, dequantised to float32 where it is stored as integers; None if there is none."""
        stored = self._stored.get(self._aliases.get(name, name))
        if stored is None:
            return None
        raw = self._load(stored)
        if raw.dtype not in (torch.int8, torch.int16) or not stored.shape:
            return raw
        scale = self.tensor(f"{self._aliases.get(name, name)}_scale")
        if scale is None:
            raise WeightsError(f"{self.path}: {name} is stored as {raw.dtype} without a scale; expected {name}_scale")
        return raw.float().div_(scale.float().reshape(-1, *[1] * (raw.dim() - 1)))

    def scalar(self, name: str) -> int | None:
        """One attribute, e.g. the number of heads; None if there is none."""
        stored = self._stored.get(name)
        return None if stored is None else int(self._load(stored).item())

    def close(self) -> None:
        """Give the mapping of the file back."""
        self._data.close()

    def _load(self, stored: _Stored) -> torch.Tensor:
        # The data lies at odd offsets: a copy of this one variable gives it an aligned place.
        copied = bytearray(self._data[stored.offset : stored.offset + stored.size])
        return torch.frombuffer(copied, dtype=stored.dtype).reshape(stored.shape)

    def _read_header(self) -> None:
        version = self._number("I")
        if version != BINARY_VERSION:
            raise WeightsError(
                f"{self.path} has binary version {version}; expected {BINARY_VERSION}, that of a converted model"
            )
        specification = self._string()
        if specification != "WhisperSpec":
            raise WeightsError(f"{self.path} holds a {specification}; expected WhisperSpec")
        self._number("I")

    def _read_variable(self) -> tuple[str, _Stored]:
        name = self._string()
        shape = tuple(self._number("I") for _ in range(self._number("B")))
        type_id = self._number("B")
        size = self._number("I")
        if type_id >= len(DTYPES):
            raise WeightsError(f"{self.path}: {name} has number format {type_id}; expected 0 to {len(DTYPES) - 1}")
        expected = DTYPES[type_id].itemsize
        for length in shape:
            expected *= length
        if size != expected:
            raise WeightsError(f"{self.path}: {name} has {size} bytes; its shape {list(shape)} expects {expected}")
        if self._position + size > len(self._data):
            raise WeightsError(
                f"{self.path} is cut off: {name} ends at byte {self._position + size}, the file at {len(self._data)}"
            )
        stored = _Stored(self._position, size, shape, DTYPES[type_id])
        self._position += size
        return name, stored

    def _number(self, kind: str) -> int:
        (value,) = struct.unpack_from(f"<{kind}", self._data, self._position)
        self._position += struct.calcsize(f"<{kind}")
        return value

    def _string(self) -> str:
        length = self._number("H")
        raw = self._data[self._position : self._position + length]
        self._position += length
        return raw[:-1].decode()
