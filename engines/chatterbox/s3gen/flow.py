"""The flow: from speech tokens to mel frames, for a batch of ragged rows.

Each run goes over the prompt and all tokens of a row so far. Base models take ten steps with classifier-free guidance,
a mean flow takes two without. Everything works in memory that stays in one place, so that it can be captured.
"""

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F

from engines.chatterbox import noise
from engines.chatterbox.s3gen.batch import Block, Column
from engines.chatterbox.s3gen.encoder import encode, take_encoder
from engines.chatterbox.s3gen.estimator import estimate, take_estimator
from engines.chatterbox.s3gen.layers import Copier
from engines.chatterbox.s3gen.masks import CHUNK_SHIFT, TOKEN_MASK, additive, hidden_keys, inside
from engines.chatterbox.s3gen.stream import FRAMES_PER_TOKEN, Prompt
from engines.graphs import Graphs

BASE_STEPS, MEAN_STEPS = 10, 2
MELS = 80
SEED_BITS = 0xFFFFFFFF
FLOW_SALT = 0
"""Of the noise that the flow starts from."""

Attention = Literal["full", "chunked"]


class Flow:
    """Weights of the flow and the memory that it works in."""

    def __init__(
        self,
        s3gen: Any,
        block: Block,
        graphs: Graphs,
        *,
        device: torch.device,
        dtype: torch.dtype,
        attention: Attention,
        steps: int | None,
        max_prompt: int,
        max_length: int,
        max_streams: int,
        most_tokens: int,
    ):
        """Copy the weights.

        Args:
            s3gen: Upstream's `S3Gen`.
            block: What each run uploads.
            graphs: Where captures are kept.
            device: Where it runs.
            dtype: Of weights and activations; the mel itself stays float32.
            attention: What a frame may look at.
            steps: Of Euler's method; None for the usual.
            max_prompt: Most tokens of a prompt.
            max_length: Most tokens of a row, the prompt included.
            max_streams: Rows of the pool that belong to streams; one more belongs to nobody.
            most_tokens: Most tokens of a batch, padding included.
        """
        copier = Copier(device, dtype)
        self.dtype = dtype
        self._block, self._graphs, self._chunked = block, graphs, attention == "chunked"
        span = _span(steps or (MEAN_STEPS if s3gen.meanflow else BASE_STEPS), s3gen.meanflow)
        self._encoder = take_encoder(s3gen.flow, copier, max_length)
        self._estimator = take_estimator(s3gen.flow.decoder.estimator, copier, span)
        self._speaker = Copier(device, torch.float32).linear(s3gen.flow.spk_embed_affine_layer)
        self._guidance = 0.0 if s3gen.meanflow else float(s3gen.flow.decoder.inference_cfg_rate)
        self._durations = (span[1:] - span[:-1]).to(device)
        self.steps = len(self._durations)
        self._step = torch.zeros(1, dtype=torch.int64, device=device)
        # What the streams' prompts say, a row for each stream.
        self._prompt_mels = torch.zeros(
            max_streams + 1, FRAMES_PER_TOKEN * max_prompt, MELS, dtype=dtype, device=device
        )
        self._speakers = torch.zeros(max_streams + 1, MELS, dtype=dtype, device=device)
        frames = FRAMES_PER_TOKEN * most_tokens
        self._mel = torch.zeros(frames, MELS, dtype=torch.float32, device=device)
        self._given = torch.zeros(frames, 3 * MELS, dtype=dtype, device=device)

    def prompt(self, tokens: torch.Tensor, mel: torch.Tensor, embedding: torch.Tensor) -> Prompt:
        """A voice on the device.

        Args:
            tokens: (tokens), integers.
            mel: (2 × tokens, mels).
            embedding: The speaker's x-vector.
        """
        like = self._speakers
        speaker = self._speaker(F.normalize(embedding.to(like.device, torch.float32), dim=0))
        ids = tokens.cpu().numpy().astype("int32")
        return Prompt(ids, mel.to(like.device, like.dtype, copy=True), speaker.to(like.dtype))

    def welcome(self, prompt: Prompt, row: int) -> None:
        """Put a voice into a stream's row."""
        self._prompt_mels[row, : len(prompt.mel)].copy_(prompt.mel)
        self._speakers[row].copy_(prompt.speaker)

    @property
    def mel(self) -> torch.Tensor:
        """Mel frames of the last run, (batch × frames, mels) as it was padded, float32."""
        return self._mel

    def prepare(self, rows: int, size: int) -> None:
        """Capture a batch of `rows` rows of `size` tokens. The block has to hold one that concerns nobody."""
        # A step is not the same when it is done twice: on a captured batch only `run` does it.
        self._graphs.prepare(("encode", rows, size), lambda: self._encode(rows, size))
        self._step.zero_()
        self._graphs.prepare(("step", rows, size), lambda: self._advance(rows, size))

    def has(self, rows: int, size: int) -> bool:
        """Whether nothing is left to prepare for such a batch."""
        return self._graphs.has(("encode", rows, size)) and self._graphs.has(("step", rows, size))

    def run(self, rows: int, size: int) -> None:
        """Make the mel frames of the uploaded batch. It has been prepared; waits for nothing."""
        self._graphs.run(("encode", rows, size), lambda: self._encode(rows, size))
        for _ in range(self.steps):
            self._graphs.run(("step", rows, size), lambda: self._advance(rows, size))

    def _views(self, rows: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        frames = FRAMES_PER_TOKEN * size
        mel = self._mel[: rows * frames].view(rows, frames, MELS)
        return mel, self._given[: rows * frames].view(rows, frames, 3 * MELS)

    def _tokens(self, rows: int, size: int, lengths: torch.Tensor) -> torch.Tensor:
        return self._block.tokens(rows, size).long() * inside(lengths, size)

    def _chunks(self, tokens: torch.Tensor) -> torch.Tensor | None:
        return tokens >> CHUNK_SHIFT if self._chunked else None

    def _encode(self, rows: int, size: int) -> None:
        columns = self._block.columns(rows)
        mel, given = self._views(rows, size)
        lengths = columns[:, Column.TOKENS]
        tokens = self._tokens(rows, size, lengths)
        mean = encode(self._encoder, tokens & TOKEN_MASK, lengths, self._chunks(tokens))
        frames = FRAMES_PER_TOKEN * size
        known = inside(columns[:, Column.FRAMES], frames).unsqueeze(2)
        row = columns[:, Column.ROW]
        prompted = inside(FRAMES_PER_TOKEN * columns[:, Column.PROMPT], frames).unsqueeze(2)
        # Zeros in the padding: what is masked must at least be finite.
        given[:, :, :MELS] = mean.masked_fill(~known, 0)
        given[:, :, MELS : 2 * MELS] = self._speakers[row].unsqueeze(1)
        given[:, :, 2 * MELS :] = self._prompt_frames(row, frames) * prompted
        mel.copy_(self._noise(columns[:, Column.SEED], frames) * known)
        self._step.zero_()

    def _prompt_frames(self, row: torch.Tensor, frames: int) -> torch.Tensor:
        mels = self._prompt_mels.index_select(0, row)[:, :frames]
        return F.pad(mels, (0, 0, 0, frames - mels.shape[1]))

    def _noise(self, seeds: torch.Tensor, frames: int) -> torch.Tensor:
        places = torch.arange(frames * MELS, device=seeds.device)
        return noise.normal((seeds & SEED_BITS)[:, None], places, salt=FLOW_SALT).unflatten(1, (frames, MELS))

    def _advance(self, rows: int, size: int) -> None:
        mel, given = self._views(rows, size)
        columns = self._block.columns(rows)
        lengths = columns[:, Column.FRAMES]
        chunks = self._chunks(self._tokens(rows, size, columns[:, Column.TOKENS]))
        chunks = None if chunks is None else chunks.repeat_interleave(FRAMES_PER_TOKEN, dim=1)
        mask = additive(hidden_keys(lengths, mel.shape[1], chunks), self.dtype)
        times = self._estimator.times.index_select(0, self._step)[0]
        velocity = self._velocity(torch.cat([mel.to(self.dtype), given], dim=2), times, mask)
        mel.addcmul_(velocity, self._durations.index_select(0, self._step))
        # Around the end, so that a capture's warm-ups stay within the table.
        self._step.add_(1).remainder_(self.steps)

    def _velocity(self, x: torch.Tensor, times: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if not self._guidance:
            return estimate(self._estimator, x, times, mask).float()
        unguided = F.pad(x[:, :, :MELS], (0, 3 * MELS))
        both = estimate(self._estimator, torch.cat([x, unguided]), times, torch.cat([mask, mask])).float()
        with_it, without = both.chunk(2)
        return with_it + self._guidance * (with_it - without)


def _span(steps: int, meanflow: bool) -> torch.Tensor:
    """Times from 0 to 1: even for a mean flow, else denser at the beginning."""
    even = torch.linspace(0, 1, steps + 1)
    return even if meanflow else 1 - torch.cos(even * 0.5 * math.pi)
