"""Perth's watermark, put into speech while it is made, for many streams at once.

Upstream marks a whole clip: it resamples it to 32 kHz, takes a spectrogram (2048 samples every 320), adds what a small
net says to the logarithms of the 128 lowest bins (up to 2 kHz), and goes all the way back. The same bins at the same
moments come out of the 24 kHz signal itself with 1536 samples every 240, so nothing is resampled here, only the mark is
made of a spectrogram, and it is added to the speech, which otherwise stays as it was.

The net sees 15 frames (150 ms) and a frame 32 ms to either side. Waiting for what comes later would hold back 214 ms;
instead each piece is marked as though the clip ended with it, which is a case that the net knows. The next piece marks
its surroundings again with what it knows more, and the last 20 ms, which were held back, fade from the one mark into
the other: no step at a seam. Pieces as long as the clip give upstream's own result.
"""

import copy
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

import engines.chatterbox.upstream  # noqa: F401
from engines.chatterbox.devices import Lane
from engines.errors import EngineFailed, WeightsError
from engines.graphs import Graphs
from engines.weights import PackagedFile, verified

SAMPLE_RATE = 24_000
PERTH = PackagedFile(
    "resemble-perth",
    "1.0.1",
    "perth/perth_net/pretrained/implicit/perth_net_250000.pth.tar",
    "a15bce457ebc53ce5e6c9c3f11df78cf7ee2bf9cdab0a798902135b4c4027670",
)
FRAME, HOP = 1536, 240
HALF = FRAME // 2
HELD_BACK = 480
"""Samples (20 ms) that a stream lags behind; they come with its next piece."""

NET_FRAMES = 15
CONTEXT = NET_FRAMES * HOP + FRAME
"""Samples before the held-back ones that still bear upon the mark (214 ms)."""

PERTH_SCALE = 2048 / FRAME
"""Perth's spectrum has so much more of every tone: its frames hold more samples."""

FLOOR, FLOOR_DB, RANGE_DB = 1e-9, -180.0, 195.0
"""Perth's logarithmic scale: 0 is -180 dB, 1 is 15 dB above 0 dB."""

BUCKET = 4_800
"""Lengths are rounded up to 200 ms: a GPU prepares itself for each new shape."""

DETECTED = 0.5
"""Perth's own threshold between none and a mark."""

RISING = np.linspace(0, 1, HELD_BACK + 2, dtype=np.float32)[1:-1]
"""How one mark fades into the next."""

MAX_ROWS = 16

CAPTURED = (1, 2, 3, 4, 6, 8, 12, 16)
"""Lengths, in buckets, of the views whose marks a GPU makes as one graph: launching the many small kernels of one view
takes ten times as long as they do."""


@dataclass
class StreamMark:
    """Where one stream's mark stands.

    Attributes:
        heard: float32, shape (samples,): the end of the unmarked speech, the held-back samples last.
        foretold: The mark of the held-back samples, made before what follows was known; None before the first piece.
    """

    heard: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    foretold: np.ndarray | None = None


class Watermarker:
    """Marks speech as synthetic. For one thread at a time, any thread."""

    def __init__(self, device: torch.device | str = "cpu"):
        """Load Perth's net and see that its mark is found again; takes about a second.

        Args:
            device: Where the net runs, on a lane of its own.

        Raises:
            WeightsError: The package or its weights are missing or not the pinned ones, or the mark is not found.
        """
        self._device = torch.device(device)
        self._lane = Lane(self._device)
        net = _load()
        # A copy: the detector takes the rest of the net to the CPU.
        self._net = copy.deepcopy(net.encoder.layers).to(self._device)
        self._bins: int = net.encoder.subband
        self._window = torch.hann_window(FRAME, device=self._device)
        self._graphs = Graphs(self._device, limit=len(CAPTURED) * MAX_ROWS.bit_length())
        if self._device.type == "cuda":
            most = CAPTURED[-1] * BUCKET
            self._signal = torch.zeros(MAX_ROWS * (most + FRAME), device=self._device)
            self._made = torch.zeros(MAX_ROWS * most, device=self._device)
            self._counts = torch.zeros(MAX_ROWS, dtype=torch.int64, device=self._device)
        self._prove(net)

    def open(self) -> StreamMark:
        """The mark of a new stream."""
        return StreamMark()

    @torch.no_grad()
    def prepare(self) -> None:
        """Capture what a GPU makes as graphs, so that no stream waits for it; nobody else may use it meanwhile."""
        if self._device.type != "cuda":
            return
        with self._lane.use(), self._on_device():
            for buckets in reversed(CAPTURED):
                for power in reversed(range(MAX_ROWS.bit_length())):
                    self._replay(1 << power, buckets * BUCKET)
            torch.cuda.current_stream().synchronize()

    def apply(
        self, states: Sequence[StreamMark], pieces: Sequence[np.ndarray], finals: Sequence[bool]
    ) -> list[np.ndarray]:
        """Mark the next piece of each stream. Either all of them advance, or none.

        Args:
            states: Each stream's own, each at most once.
            pieces: float32, shape (samples,), 24 kHz, within -1 and 1; of any length, also none at all.
            finals: Whether the stream ends with its piece: nothing is held back any more.

        Returns:
            What is to be heard next of each stream, float32: 20 ms less than came in until the last piece.

        Raises:
            EngineFailed: The mark could not be made. The streams may try again; what is not marked is not given out.
        """
        views = [_View(*each) for each in zip(states, pieces, finals, strict=True)]
        due = [view for view in views if view.is_due]
        marks: dict[int, np.ndarray] = {}
        try:
            for start in range(0, len(due), MAX_ROWS):
                some = due[start : start + MAX_ROWS]
                rows = self._marks([view.samples for view in some])
                marks.update({id(view): row for view, row in zip(some, rows, strict=True)})
        except Exception as error:
            raise EngineFailed(f"speech could not be watermarked: {type(error).__name__}") from error
        return [view.advance(marks.get(id(view))) for view in views]

    def _marks(self, clips: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What is to be added to each of these clips, each by itself."""
        frames = [len(clip) // HOP + 1 for clip in clips]
        rows = _rounded_rows(len(clips)) if self._device.type == "cuda" else len(clips)
        length = self._length_for(max(len(clip) for clip in clips))
        signal = torch.zeros(rows, length + FRAME, pin_memory=self._device.type == "cuda")
        for row, clip in zip(signal.numpy(), clips, strict=False):
            # As upstream's spectrogram: the clip mirrored at its ends.
            row[: len(clip) + FRAME] = np.pad(clip, HALF, mode="reflect")
        counts = torch.tensor(frames + [0] * (rows - len(clips)))
        with torch.no_grad(), self._lane.use(), self._on_device():
            made = self._run(signal, counts).cpu().numpy()
        return [row[: len(clip)].copy() for row, clip in zip(made, clips, strict=False)]

    def _length_for(self, samples: int) -> int:
        """What views of so many samples are padded to."""
        buckets = -(-samples // BUCKET)
        if self._device.type == "cuda":
            buckets = next((captured for captured in CAPTURED if captured >= buckets), buckets)
        return buckets * BUCKET

    def _run(self, signal: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        rows, length = len(signal), signal.shape[1] - FRAME
        if self._device.type != "cuda" or length > CAPTURED[-1] * BUCKET:
            return self._mark(signal.to(self._device, non_blocking=True), counts.to(self._device))
        self._signal[: signal.numel()].view(signal.shape).copy_(signal, non_blocking=True)
        self._counts[:rows].copy_(counts.pin_memory(), non_blocking=True)
        return self._replay(rows, length)

    def _replay(self, rows: int, length: int) -> torch.Tensor:
        """The marks of what lies in `_signal` and `_counts`."""
        signal = self._signal[: rows * (length + FRAME)].view(rows, length + FRAME)
        made = self._made[: rows * length].view(rows, length)

        def work() -> None:
            made.copy_(self._mark(signal, self._counts[:rows]))

        self._graphs.run((rows, length), work)
        return made

    def _mark(self, signal: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """The mark of a batch.

        Args:
            signal: (rows, samples + FRAME), mirrored ends included.
            counts: (rows,): frames of each row.
        """
        framed = signal.unfold(1, FRAME, HOP) * self._window
        exists = torch.arange(framed.shape[1], device=counts.device) < counts[:, None]
        spectrum = torch.fft.rfft(framed)[..., : self._bins]
        level = (20 * torch.log10((spectrum.abs() * PERTH_SCALE).clip(FLOOR)) - FLOOR_DB) / RANGE_DB
        change = self._residual(level.transpose(1, 2), exists[:, None]).transpose(1, 2)
        gain = torch.pow(10.0, change * (RANGE_DB / 20))
        waves = torch.fft.irfft(spectrum * (gain - 1), FRAME) * self._window
        mark = _overlapped(waves * exists[..., None], signal.shape[1])
        weight = _overlapped(self._window.square() * exists[..., None], signal.shape[1])
        return (mark / weight.clip(1e-8))[:, HALF : signal.shape[1] - HALF]

    def _residual(self, level: torch.Tensor, exists: torch.Tensor) -> torch.Tensor:
        """The net's answer, (rows, bins, frames). What is behind a row's end is zero in every layer, as at the end of a
        clip. Upstream leaves frames of digital silence out; a share of nothing is nothing here.
        """
        level = level * exists
        for layer in self._net:
            level = layer(level) * exists
        return level

    def _prove(self, net: Any) -> None:
        """See that a clip with the mark is told from the clip without it.

        Raises:
            WeightsError: It is not.
        """
        clip = _hum()
        state = self.open()
        pieces = [clip[start : start + SAMPLE_RATE // 2] for start in range(0, len(clip), SAMPLE_RATE // 2)]
        marked = [self.apply([state], [piece], [number == len(pieces)])[0] for number, piece in enumerate(pieces, 1)]
        with_mark, without = (_detected(net, audio) for audio in (np.concatenate(marked), clip))
        if not with_mark > DETECTED > without:
            raise WeightsError(
                f"the watermark is not found again: {with_mark:.2f} with it and {without:.2f} without it, expected "
                f"more and less than {DETECTED}; the installed resemble-perth is not the one that this was made for"
            )

    def _on_device(self) -> torch.cuda.device | nullcontext[None]:
        return torch.cuda.device(self._device) if self._device.type == "cuda" else nullcontext()


class _View:
    """What one stream shows to the net this time: what still bears upon the mark, and the new piece."""

    def __init__(self, state: StreamMark, piece: np.ndarray, final: bool):
        self._state = state
        self.samples = np.concatenate([state.heard, piece], dtype=np.float32)
        self._given = len(state.heard) - HELD_BACK if state.foretold is not None else 0
        self._end = len(self.samples) - (0 if final else HELD_BACK)

    @property
    def is_due(self) -> bool:
        """Whether there is something to be given out."""
        return self._end > self._given

    def advance(self, mark: np.ndarray | None) -> np.ndarray:
        """Move the stream on; give what is to be heard. `mark` is None where nothing was due."""
        if mark is None:
            self._state.heard = self.samples
            return np.zeros(0, dtype=np.float32)
        if self._state.foretold is not None:
            seam = slice(self._given, self._given + HELD_BACK)
            mark[seam] = self._state.foretold * (1 - RISING) + mark[seam] * RISING
        self._state.foretold = mark[self._end :]
        # Frames lie at multiples of the hop, counted from the beginning of the stream.
        start = max(0, self._end - CONTEXT) // HOP * HOP
        self._state.heard = self.samples[start:].copy()
        return self.samples[self._given : self._end] + mark[self._given : self._end]


def _load() -> Any:
    path = verified(PERTH)
    try:
        from perth.perth_net import PREPACKAGED_MODELS_DIR
        from perth.perth_net.perth_net_implicit.checkpoint_manager import CheckpointManager
        from perth.perth_net.perth_net_implicit.model.perth_net import PerthNet

        net = PerthNet(CheckpointManager(PREPACKAGED_MODELS_DIR, "implicit").hp)
        net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["model"])
    except Exception as error:
        raise WeightsError(f"the watermark (package resemble-perth) cannot be loaded: {error}") from error
    return net.eval()


def _overlapped(frames: torch.Tensor, length: int) -> torch.Tensor:
    """The sum of frames, (rows, frames, FRAME), each at its place: (rows, length)."""
    summed = torch.nn.functional.fold(
        frames.transpose(1, 2), output_size=(1, length), kernel_size=(1, FRAME), stride=(1, HOP)
    )
    return summed.reshape(len(frames), length)


def _rounded_rows(rows: int) -> int:
    """The next power of two."""
    return 1 << (rows - 1).bit_length()


def _hum() -> np.ndarray:
    """Three seconds that are a little like speech: a voice's harmonics, four syllables a second, breath."""
    moments = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    pitch = 120 + 15 * np.sin(2 * np.pi * 0.7 * moments)
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    voice = sum(np.sin(number * phase) / number for number in range(1, 30))
    breath = np.random.default_rng(0).standard_normal(len(moments))
    syllables = 0.1 + 0.9 * np.sin(np.pi * 4 * moments) ** 2
    return (0.1 * syllables * (voice + 0.05 * breath)).astype(np.float32)


def _detected(net: Any, audio: np.ndarray) -> float:
    """How sure Perth is of a mark, 0 to 1."""
    from perth import PerthImplicitWatermarker

    assert PerthImplicitWatermarker is not None
    detector = PerthImplicitWatermarker(run_name=None, perth_net=net)  # pyright: ignore[reportArgumentType]
    with torch.inference_mode():
        return float(detector.get_watermark(audio, SAMPLE_RATE, round=False).squeeze())
