"""Streamed vocoding: windows of mel frames to samples that join without a seam.

A run hears some frames again that have been spoken, makes those that are new, and holds the last ones back until more
is known. Frames that were spoken are heard again as they were spoken, their source signal too, and the phase goes on
where it stood. Where two runs meet, the first samples are faded from what the former run held back to this one's.
"""

import math
from typing import Any, NamedTuple

import torch

from engines.chatterbox.s3gen.batch import Block, Column
from engines.chatterbox.s3gen.flow import MELS, SEED_BITS
from engines.chatterbox.s3gen.hift import Hift
from engines.chatterbox.s3gen.source import Source
from engines.chatterbox.s3gen.stream import SAMPLES_PER_FRAME
from engines.graphs import Graphs

CONTEXT = 14
"""Frames that are heard again, and are enough to be held back: the vocoder's reach."""


class Tails(NamedTuple):
    """What the device remembers of the streams, a row for each and one for nobody."""

    mel: torch.Tensor
    """The last spoken frames (rows, CONTEXT, mels)."""
    source: torch.Tensor
    """Their source signal (rows, CONTEXT × 480)."""
    overlap: torch.Tensor
    """The first samples that were held back (rows, overlap)."""
    phase: torch.Tensor
    """Where the fundamental stood after the last spoken frame (rows), float64, in cycles."""


class Vocoder:
    """The vocoder, its memory and what it remembers of each stream."""

    def __init__(
        self,
        s3gen: Any,
        block: Block,
        graphs: Graphs,
        mel: torch.Tensor,
        *,
        dtype: torch.dtype,
        channels_last: bool | None,
        overlap: int,
        trim_fade: bool,
        max_streams: int,
        most_frames: int,
    ):
        """Copy the weights.

        Args:
            s3gen: Upstream's `S3Gen`.
            block: What each run uploads.
            graphs: Where captures are kept.
            mel: The flow's frames (rows × frames, mels), as padded there.
            dtype: Of the convolutions.
            channels_last: Their layout; None for what suits the device.
            overlap: Samples over which two runs are faded.
            trim_fade: Whether a stream begins with upstream's 20 ms of silence and 20 ms of fading in.
            max_streams: Rows of the pool that belong to streams.
            most_frames: Most frames of a batch, padding included.
        """
        device = mel.device
        self._block, self._graphs, self._mel = block, graphs, mel
        self._hift = Hift(s3gen.mel2wav, device, dtype, channels_last=channels_last)
        self._source = Source(s3gen.mel2wav.m_source, device)
        rows = max_streams + 1
        self._tails = Tails(
            torch.zeros(rows, CONTEXT, MELS, device=device),
            torch.zeros(rows, CONTEXT * SAMPLES_PER_FRAME, device=device),
            torch.zeros(rows, overlap, device=device),
            torch.zeros(rows, dtype=torch.float64, device=device),
        )
        # Raised cosine: the two weights add up to one.
        rise = (torch.arange(overlap, device=device) + 0.5) / max(1, overlap)
        self._rise = (1 - torch.cos(rise * math.pi)) / 2
        self._start = s3gen.trim_fade.detach().to(device, torch.float32, copy=True) if trim_fade else None
        self._audio = torch.zeros(most_frames * SAMPLES_PER_FRAME, device=device)

    def audio(self, rows: int, frames: int) -> torch.Tensor:
        """What the last run made (rows, frames × 480): each row's new samples come first."""
        return self._audio[: rows * frames * SAMPLES_PER_FRAME].view(rows, -1)

    def prepare(self, rows: int, frames: int) -> None:
        """Capture a batch of `rows` windows of `frames` frames. The block has to hold one that concerns nobody."""
        self._graphs.prepare(("vocode", rows, frames), lambda: self._vocode(rows, frames))

    def has(self, rows: int, frames: int) -> bool:
        """Whether nothing is left to prepare for such a batch."""
        return self._graphs.has(("vocode", rows, frames))

    def run(self, rows: int, frames: int) -> None:
        """Vocode the windows of the uploaded batch. It has been prepared."""
        self._graphs.run(("vocode", rows, frames), lambda: self._vocode(rows, frames))

    def _vocode(self, rows: int, frames: int) -> None:
        columns = self._block.columns(rows)
        row, first, spoken = (columns[:, column] for column in (Column.ROW, Column.FIRST, Column.SPOKEN))
        seeds = columns[:, Column.SEED] & SEED_BITS
        lengths = columns[:, Column.END] - first
        tails = Tails(*(tensor.index_select(0, row) for tensor in self._tails))
        mel = self._window(columns, tails, frames)
        pitch = self._hift.pitch(mel, lengths)
        # The phase was kept for the first new frame; frames before it have their signal already.
        number = torch.arange(frames, device=mel.device) + first[:, None]
        start = torch.where(spoken > 0, tails.phase, 0.0)
        phases = self._source.phases(torch.where(number < spoken[:, None], 0.0, pitch), start)
        source = self._source.signal(pitch, phases, seeds, first)
        source = _with_tail(source.unsqueeze(2), tails.source.unsqueeze(2), first, spoken, SAMPLES_PER_FRAME).squeeze(2)
        samples = self._hift.decode(mel, source, lengths)
        self._remember(columns, mel, source, samples, phases)
        self._give(columns, samples, tails.overlap)

    def _window(self, columns: torch.Tensor, tails: Tails, frames: int) -> torch.Tensor:
        first, spoken = columns[:, Column.FIRST], columns[:, Column.SPOKEN]
        places = (columns[:, Column.START] + first)[:, None] + torch.arange(frames, device=columns.device)
        made = self._mel[places.clamp(max=self._mel.shape[0] - 1)]
        return _with_tail(made, tails.mel, first, spoken, 1)

    def _remember(
        self,
        columns: torch.Tensor,
        mel: torch.Tensor,
        source: torch.Tensor,
        samples: torch.Tensor,
        phases: torch.Tensor,
    ) -> None:
        """Keep what the next run needs: all of it ends, or for the overlap begins, where this run's speech ends."""
        row = columns[:, Column.ROW]
        until = columns[:, Column.UNTIL] - columns[:, Column.FIRST]
        pieces = Tails(
            _piece(mel, until - CONTEXT, CONTEXT),
            _piece(source, (until - CONTEXT) * SAMPLES_PER_FRAME, CONTEXT * SAMPLES_PER_FRAME),
            _piece(samples, until * SAMPLES_PER_FRAME, self._tails.overlap.shape[1]),
            phases.gather(1, until[:, None]).squeeze(1),
        )
        for kept, piece in zip(self._tails, pieces, strict=True):
            kept.index_copy_(0, row, piece)

    def _give(self, columns: torch.Tensor, samples: torch.Tensor, overlap: torch.Tensor) -> None:
        spoken = columns[:, Column.SPOKEN]
        given = _piece(samples, (spoken - columns[:, Column.FIRST]) * SAMPLES_PER_FRAME, samples.shape[1])
        size = overlap.shape[1]
        begun = (spoken > 0)[:, None]
        faded = overlap + self._rise * (given[:, :size] - overlap)
        given[:, :size] = torch.where(begun, faded, given[:, :size])
        if self._start is not None:
            places = spoken[:, None] * SAMPLES_PER_FRAME + torch.arange(len(self._start), device=samples.device)
            inside = self._start[places.clamp(max=len(self._start) - 1)]
            length = min(len(self._start), given.shape[1])
            given[:, :length] *= torch.where(places < len(self._start), inside, 1.0)[:, :length]
        self._audio[: given.numel()].view_as(given).copy_(given)


def _with_tail(
    made: torch.Tensor, tail: torch.Tensor, first: torch.Tensor, spoken: torch.Tensor, per_frame: int
) -> torch.Tensor:
    """`made` (batch, places, channels) from frame `first` on, with the tail wherever it was spoken before."""
    number = torch.arange(made.shape[1], device=made.device) + first[:, None] * per_frame
    before = number - spoken[:, None] * per_frame
    kept = _piece(tail, (first - spoken) * per_frame + tail.shape[1], made.shape[1])
    return torch.where((before < 0).unsqueeze(2), kept, made)


def _piece(x: torch.Tensor, starts: torch.Tensor, size: int) -> torch.Tensor:
    """(batch, size, …) of each row from its start on; beyond the ends of x its first or last place again."""
    places = (starts[:, None] + torch.arange(size, device=x.device)).clamp(0, x.shape[1] - 1)
    if x.dim() == 2:
        return x.gather(1, places)
    return x.gather(1, places.unsqueeze(2).expand(-1, -1, x.shape[2]))
