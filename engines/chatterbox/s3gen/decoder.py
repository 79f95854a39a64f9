"""Speech tokens to audio, for many streams at once.

What a run costs, for one row of T mel frames (prompt and all tokens so far, two frames a token) at full size:

- encoder: 50 MFLOP a frame, most of it in feed-forwards;
- estimator, each pass: 130 MFLOP a frame, and 115 kFLOP × T a frame in attention. A mean flow passes twice, a base
  model twenty times (ten steps with and without the condition). With 10 s of prompt and 3 s of speech (T = 650) a
  pass is 130 GFLOP, a mean flow's run 0.3 TFLOP and a base model's 2.7 TFLOP;
- vocoder: 0.6 GFLOP a frame, and about 7 MB a frame moved through memory in float32; a usual window has 78 frames.

Weights read by each pass are 130 MB in half precision, which stops mattering from two rows on. Every run goes over
everything, so runs grow dearer with a stream's length, and what saves is fewer, larger chunks, and a shorter prompt:
with 3 s of it (T = 300) a pass is 50 GFLOP and a base model's run 1.0 TFLOP.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from engines.chatterbox.s3gen.batch import Block
from engines.chatterbox.s3gen.flow import MELS, Attention, Flow
from engines.chatterbox.s3gen.plan import NOTHING, USUAL_FRAMES, Bucket, Plan
from engines.chatterbox.s3gen.stream import FRAMES_PER_TOKEN, LOOKAHEAD, SAMPLES_PER_FRAME, Prompt, Stream, Window
from engines.chatterbox.s3gen.vocoder import CONTEXT, Vocoder
from engines.errors import EngineBusy, EngineFailed, EngineRefused
from engines.graphs import Graphs

MAX_GRAPHS = 1024
OVERLAP = 240
"""Samples, 10 ms."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is asked for one stream in one run."""

    stream: Stream
    tokens: Sequence[int]
    """All speech tokens of the stream so far, each below 6561, lookahead included."""
    final: bool
    """No token will follow."""


class Run:
    """A batch on its way through the device."""

    def __init__(self, samples: torch.Tensor, counts: list[int | None], event: torch.cuda.Event | None):
        """Made by `S3GenDecoder.launch`.

        Args:
            samples: (rows, samples) in the host's memory, there once `event` is.
            counts: New samples of each job; None for one that has no row.
            event: None if there is nothing to wait for.
        """
        self._samples, self._counts, self._event = samples, counts, event

    def ready(self) -> bool:
        """Whether `audio` would return without waiting."""
        return self._event is None or self._event.query()

    def audio(self) -> list[np.ndarray]:
        """The new samples of each job, float32 mono at 24 kHz within ±1, possibly none. Waits for the device.

        Raises:
            EngineFailed: The device failed.
        """
        try:
            if self._event is not None:
                self._event.synchronize()
        except RuntimeError as error:
            raise EngineFailed(f"S3Gen failed on the device: {error}") from error
        rows = iter(self._samples.numpy())
        # Copies: what is kept of a batch must not keep the whole batch.
        return [np.zeros(0, np.float32) if count is None else next(rows)[:count].copy() for count in self._counts]


class S3GenDecoder:
    """S3Gen on one device.

    One thread calls `open`, `close` and `launch`, always under the same CUDA stream; `voice` may be called by another.
    """

    sample_rate = 24000
    lookahead = LOOKAHEAD
    """Tokens at the end of a job that are only looked at, unless it is the last."""

    def __init__(
        self,
        s3gen: Any,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        vocoder_dtype: torch.dtype = torch.float32,
        attention: Attention = "full",
        max_tokens: int = 1000,
        max_prompt: int = 250,
        max_batch: int = 32,
        max_streams: int = 128,
        hold_frames: int = CONTEXT,
        overlap: int = OVERLAP,
        trim_fade: bool = True,
        steps: int | None = None,
        channels_last: bool | None = None,
        tune: bool = False,
    ):
        """Copy the weights out of upstream's S3Gen; the module is not changed and may go.

        Args:
            s3gen: Upstream's `S3Gen`, on any device.
            device: Where to run; None for where the module is.
            dtype: Of the flow; None for float16 on CUDA and float32 elsewhere.
            vocoder_dtype: Of HiFT's convolutions.
            attention: "full", as upstream: a frame sees all of its row; frames not yet spoken change with every run.
                "chunked": a frame sees its own run's chunk and those before, and never changes.
            max_tokens: Most speech tokens of a stream (25 a second).
            max_prompt: Most tokens of a voice's prompt.
            max_batch: Most jobs in a run.
            max_streams: Most streams open at once.
            hold_frames: Mel frames (20 ms) held back until more is known. With fewer than 14 what is spoken is not
                quite what the whole would be.
            overlap: Samples over which a run is faded into the next; 0 for a hard cut.
            trim_fade: Begin each stream as upstream does, with 20 ms of silence and 20 ms of fading in.
            steps: Of Euler's method; None for 2 in a mean flow and 10 in a base model.
            channels_last: Layout of HiFT's tensors; None for what suits the device.
            tune: Let cuDNN time its algorithms for each shape of HiFT; preparing takes longer.
        """
        if not 0 <= overlap <= min(hold_frames, 1) * SAMPLES_PER_FRAME:
            raise ValueError(
                f"overlap is {overlap} samples, expected at most a frame's {SAMPLES_PER_FRAME} that is held back"
            )
        self.device = torch.device(device) if device is not None else next(s3gen.flow.parameters()).device
        dtype = dtype or (torch.float16 if self.device.type == "cuda" else torch.float32)
        self.max_prompt, self.max_tokens, self.max_streams = max_prompt, max_tokens, max_streams
        self._hold, self._tune = hold_frames, tune
        self._plan = plan = Plan(max_batch, max_prompt, max_tokens)
        self._free = list(range(max_streams))[::-1]
        most_tokens = max(rows * size for rows, size in plan.flow_shapes())
        most_frames = max(rows * size for rows, size in plan.vocoder_shapes())
        self._graphs = Graphs(self.device, MAX_GRAPHS)
        self._block = Block(max_batch, most_tokens, max_streams, self.device)
        self._flow = Flow(
            s3gen,
            self._block,
            self._graphs,
            device=self.device,
            dtype=dtype,
            attention=attention,
            steps=steps,
            max_prompt=max_prompt,
            max_length=plan.max_length,
            max_streams=max_streams,
            most_tokens=most_tokens,
        )
        self._vocoder = Vocoder(
            s3gen,
            self._block,
            self._graphs,
            self._flow.mel,
            dtype=vocoder_dtype,
            channels_last=channels_last,
            overlap=overlap,
            trim_fade=trim_fade,
            max_streams=max_streams,
            most_frames=most_frames,
        )

    @torch.no_grad()
    def voice(self, gen: Mapping[str, Any]) -> Prompt:
        """Put `Conditionals.gen` of upstream on the device, to be kept as long as the voice is used. Waits.

        Args:
            gen: `prompt_token` (1, tokens), `prompt_feat` (1, frames, 80) and `embedding` (1, 192), tensors or arrays.

        Raises:
            EngineRefused: One of them is missing or has another shape, or the prompt is longer than `max_prompt`.
        """
        tokens, mel, embedding = (_tensor(gen, name) for name in ("prompt_token", "prompt_feat", "embedding"))
        if tokens.ndim != 1 or mel.ndim != 2 or mel.shape[1] != MELS or embedding.ndim != 1:
            shapes = {"prompt_token": tokens.shape, "prompt_feat": mel.shape, "embedding": embedding.shape}
            raise EngineRefused(f"A voice has the shapes {shapes}, expected (tokens), (frames, {MELS}) and (channels)")
        # Upstream's frames are now and then one more or fewer than two a token.
        count = min(len(tokens), len(mel) // FRAMES_PER_TOKEN)
        if not 1 <= count <= self.max_prompt:
            raise EngineRefused(f"A voice's prompt has {count} tokens, expected 1 to {self.max_prompt}")
        prompt = self._flow.prompt(tokens[:count], mel[: FRAMES_PER_TOKEN * count], embedding)
        if self.device.type == "cuda":
            torch.cuda.current_stream(self.device).synchronize()
        return prompt

    def open(self, prompt: Prompt, seed: int, prompt_tokens: int | None = None) -> Stream:
        """Begin a stream of a voice; touches no device. The same seed, tokens and chunks give the same audio.

        Args:
            prompt: The voice.
            seed: Of the noise.
            prompt_tokens: The stream runs over so many tokens at the end of the prompt, as if the voice had no others;
                None, or more than there are, for all.

        Raises:
            EngineBusy: `max_streams` are open.
            ValueError: The seed has more than 32 bits, or `prompt_tokens` is less than 1.
        """
        if not 0 <= seed < 1 << 32:
            raise ValueError(f"The seed is {seed}, expected 0 to 2**32 - 1")
        if not self._free:
            raise EngineBusy(f"All {self.max_streams} streams of S3Gen are open")
        prompt = prompt if prompt_tokens is None else prompt.last(prompt_tokens)
        ids = np.zeros(len(prompt.tokens) + self.max_tokens, np.int32)
        return Stream(prompt, seed, self._free.pop(), ids)

    def close(self, stream: Stream) -> None:
        """Give a stream's place back, also while a run that it is in is in flight. Closing twice does nothing."""
        if stream.row >= 0:
            self._free.append(stream.row)
        stream.row = -1

    def bucket(self, job: Job) -> Bucket:
        """What the job will be padded to. Jobs of one bucket go together best; the empty bucket costs nothing."""
        window = self._window(job)
        return NOTHING if window is None else self._bucket(job.stream, window)

    def largest(self, bucket: Bucket) -> int:
        """The most jobs in a run whose largest bucket this is (`Bucket.with_other`)."""
        return self._plan.largest(bucket)

    @torch.no_grad()
    def launch(self, jobs: Sequence[Job]) -> Run:
        """Start a run and return at once; on a CPU it is done then. Each job pays for the largest bucket among them.

        Raises:
            EngineRefused: A job cannot follow what its stream had, a stream has two jobs, or there are too many jobs.
                Nothing has happened then.
            EngineFailed: The device failed; the run's streams can only be closed. Where there was no memory for a run
                of this size, nothing has happened to them: fewer at once may do.
        """
        windows = self._check(jobs)
        work = [(job.stream, window) for job, window in zip(jobs, windows, strict=True) if window is not None]
        if work:
            self._make_ready(work)
        for job, window in zip(jobs, windows, strict=True):
            job.stream.take(job.tokens, window, job.final)
        counts = [None if window is None else SAMPLES_PER_FRAME * (window.until - window.spoken) for window in windows]
        if not work:
            return Run(torch.zeros(0, 0), counts, None)
        try:
            with self._on_device():
                samples = self._run(work)
                return self._fetch(samples[:, : max(count or 0 for count in counts)], counts)
        except RuntimeError as error:
            for stream, _ in work:
                stream.is_finished = True
            raise EngineFailed(f"S3Gen failed on the device: {error}") from error

    @torch.no_grad()
    def prepare(self, *, min_tokens: int = 0, max_tokens: int | None = None, max_frames: int = USUAL_FRAMES) -> int:
        """Capture the usual graphs, so that no run has to; others are captured when they are first needed.

        Args:
            min_tokens: Of rows, the prompt included: with voices of 10 s no row is shorter than 250.
            max_tokens: Likewise; None for all.
            max_frames: Of windows.

        Returns:
            Bytes of device memory that were reserved for it; 0 on a CPU.
        """
        if self.device.type != "cuda":
            return 0
        before = torch.cuda.memory_reserved(self.device)
        with self._on_device():
            for rows, tokens in reversed(self._plan.flow_shapes()):
                if min_tokens <= tokens <= (max_tokens or tokens):
                    self._prepare(rows, tokens, 0)
            for rows, frames in reversed(self._plan.vocoder_shapes()):
                if frames <= max_frames:
                    self._prepare(rows, 0, frames)
        torch.cuda.synchronize(self.device)
        return torch.cuda.memory_reserved(self.device) - before

    def _on_device(self) -> contextlib.AbstractContextManager[Any]:
        """Triton's kernels and captures go to the thread's current device."""
        return torch.cuda.device(self.device) if self.device.type == "cuda" else contextlib.nullcontext()

    def _check(self, jobs: Sequence[Job]) -> list[Window | None]:
        if len({id(job.stream) for job in jobs}) < len(jobs):
            raise EngineRefused("A stream has two jobs in one run, expected one")
        for job in jobs:
            job.stream.check(job.tokens)
        windows = [self._window(job) for job in jobs]
        work = [(job.stream, window) for job, window in zip(jobs, windows, strict=True) if window is not None]
        most = self._plan.largest(self._joint(work))
        if len(work) > most:
            raise EngineRefused(f"A run has {len(work)} jobs, expected at most {most} of their size")
        return windows

    def _window(self, job: Job) -> Window | None:
        return job.stream.window(len(job.tokens), job.final, context=CONTEXT, hold=self._hold)

    def _bucket(self, stream: Stream, window: Window) -> Bucket:
        return self._plan.bucket(len(stream.prompt.tokens) + window.tokens, window.frames)

    def _joint(self, work: list[tuple[Stream, Window]]) -> Bucket:
        joint = NOTHING
        for stream, window in work:
            joint = joint.with_other(self._bucket(stream, window))
        return joint

    def _make_ready(self, work: list[tuple[Stream, Window]]) -> None:
        """Capture what a run needs, which is where memory runs out, before its streams have moved on."""
        bucket = self._joint(work)
        try:
            with self._on_device():
                self._prepare(self._plan.batch(len(work)), bucket.tokens, bucket.frames)
        except RuntimeError as error:
            raise EngineFailed(f"S3Gen could not be made ready for {len(work)} jobs: {error}") from error

    def _run(self, work: list[tuple[Stream, Window]]) -> torch.Tensor:
        bucket = self._joint(work)
        rows = self._plan.batch(len(work))
        self._welcome(work)
        self._block.upload(work, rows, bucket.tokens)
        self._flow.run(rows, bucket.tokens)
        self._vocoder.run(rows, bucket.frames)
        return self._vocoder.audio(rows, bucket.frames)[: len(work)]

    def _prepare(self, rows: int, tokens: int, frames: int) -> None:
        """Capture what is missing, on a batch that concerns nobody: captures run several times."""
        flow = tokens and not self._flow.has(rows, tokens)
        vocoder = frames and not self._vocoder.has(rows, frames)
        if not flow and not vocoder:
            return
        self._block.clear()
        with _kernels(self._tune):
            if flow:
                self._flow.prepare(rows, tokens)
            if vocoder:
                self._vocoder.prepare(rows, frames)

    def _welcome(self, work: list[tuple[Stream, Window]]) -> None:
        for stream, _ in work:
            if stream.is_new:
                self._flow.welcome(stream.prompt, stream.row)
                stream.is_new = False

    def _fetch(self, samples: torch.Tensor, counts: list[int | None]) -> Run:
        if self.device.type != "cuda":
            return Run(samples.clone(), counts, None)
        host = torch.empty(samples.shape, pin_memory=True)
        host.copy_(samples.contiguous(), non_blocking=True)
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(self.device))
        return Run(host, counts, event)


@contextlib.contextmanager
def _kernels(tune: bool) -> Iterator[None]:
    """Choose kernels while graphs are captured: attention's that takes any mask, and cuDNN's by timing if `tune`."""
    backends = [torch.nn.attention.SDPBackend.EFFICIENT_ATTENTION, torch.nn.attention.SDPBackend.MATH]
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = tune or before
    try:
        with torch.nn.attention.sdpa_kernel(backends):
            yield
    finally:
        torch.backends.cudnn.benchmark = before


def _tensor(gen: Mapping[str, Any], name: str) -> torch.Tensor:
    if gen.get(name) is None:
        raise EngineRefused(f"A voice lacks {name}")
    tensor = torch.as_tensor(gen[name])
    return tensor.squeeze(0) if tensor.ndim > 1 else tensor
