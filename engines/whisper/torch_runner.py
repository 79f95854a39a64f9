"""Runs the model on one batch in static memory: every method enqueues work on the device and waits for nothing."""

import numpy as np
import torch

from engines.graphs import Graphs
from engines.whisper.torch_buffers import FIRST_ROOM, Buffers, bucket_for, buckets_up_to, room_for
from engines.whisper.torch_model import decode_prompt, decode_step, encode, logits_of, project_audio
from engines.whisper.torch_sampling import Rules, SamplingState
from engines.whisper.torch_tokens import WhisperTokens
from engines.whisper.torch_weights import WhisperWeights

ENCODED_AT_ONCE = 12_000
"""Frames that go through the encoder together: four windows of 30 s fill a large GPU, more only take memory."""

GRAPHED_PROMPT = 8
"""Longest prompt that has a graph; one with text that came before has a length of its own nearly every time."""

SPARE_GRAPHS = 64
GRAPHS_OF_A_BUCKET = 8
"""Encoder, cross-attention, three prompts and a step for each window, and room for longer token caches."""


class Runner:
    """The model, its memory and its graphs."""

    def __init__(self, weights: WhisperWeights, tokens: WhisperTokens, max_batch: int, windows: int):
        """Make the memory that does not depend on the window.

        Args:
            weights: On the device.
            tokens: The special ones.
            max_batch: Most utterances at once.
            windows: How many windows are usual.
        """
        self.weights = weights
        self.device = weights.encoder.positions.device
        self.buckets = buckets_up_to(max_batch)
        self.buffers = Buffers(weights)
        self.graphs = Graphs(self.device, SPARE_GRAPHS + GRAPHS_OF_A_BUCKET * len(self.buckets) * max(1, windows))
        self.state = SamplingState(max_batch, weights.max_positions, weights.vocabulary, tokens, self.device)
        self._tokens = tokens
        like = weights.encoder.positions
        frames = max(ENCODED_AT_ONCE, weights.max_frames)
        self._features = like.new_zeros(frames * weights.n_mels)
        self._heard = like.new_zeros(frames // 2 * weights.width)
        self._prompt = torch.zeros(max_batch * weights.max_positions, dtype=torch.int64, device=self.device)
        self.no_speech = torch.zeros(max_batch, device=self.device)

    def make_room(self, rows: int, positions: int) -> None:
        """Have memory for a batch of `rows` with `positions` audio positions, and for its first tokens."""
        if self.buffers.make_room_for_audio(rows, positions):
            self.graphs.forget("audio", "prompt", "step")
        self._make_room_for_tokens(rows, FIRST_ROOM)

    def encode(self, features: np.ndarray) -> torch.Tensor:
        """Encode spectrograms (batch, mels, frames) to a new tensor (batch, frames / 2, width)."""
        batch, _, frames = features.shape
        # Whole powers of two: the last piece alone is smaller.
        together = 1 << (max(1, ENCODED_AT_ONCE // frames).bit_length() - 1)
        pieces = [self._encode_piece(features[first : first + together]) for first in range(0, batch, together)]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def listen_to(self, audio: torch.Tensor) -> int:
        """Make the encoder's output (batch, positions, width) what the decoder hears. Returns the bucket's rows."""
        batch, positions, _ = audio.shape
        rows = bucket_for(batch, self.buckets)
        self.make_room(rows, positions)
        self.buffers.audio(rows, positions)[:batch].copy_(audio)
        self.graphs.run(("audio", rows, positions), lambda: self._project(rows, positions))
        return rows

    def read_prompt(self, prompts: list[list[int]], start: int, rows: int, positions: int) -> None:
        """Read the prompts into the token cache.

        Args:
            prompts: All of one length.
            start: Where in them start of transcript stands: there `no_speech` is taken.
            rows: The bucket's.
            positions: Audio positions.
        """
        length = len(prompts[0])
        self._make_room_for_tokens(rows, room_for(length, self.weights.max_positions))
        padded = prompts + [prompts[0]] * (rows - len(prompts))
        self._prompt[: rows * length].copy_(torch.tensor(padded).flatten())
        key = ("prompt", rows, positions, length, start)

        def work() -> None:
            self._read(rows, positions, length, start)

        if length <= GRAPHED_PROMPT:
            self.graphs.run(key, work)
        else:
            work()

    def prepare_choice(self, rows: int, rules: Rules) -> bool:
        """Capture `choose`; it changes the state, which has to be at its beginning before and after.

        Returns:
            Whether it was captured just now.
        """
        if self.graphs.has(("choose", rows, rules)):
            return False
        self.graphs.prepare(("choose", rows, rules), lambda: self.state.choose(rows, rules))
        return True

    def choose(self, rows: int, rules: Rules) -> None:
        """Choose the next token of every row from the last logits."""
        self.graphs.run(("choose", rows, rules), lambda: self.state.choose(rows, rules))

    def step(self, rows: int, positions: int, used: int) -> None:
        """Read the last token of every row; with it `used` positions of the token cache are used."""
        room = room_for(used, self.weights.max_positions)
        self._make_room_for_tokens(rows, room)
        self.graphs.run(("step", rows, positions, room), lambda: self._step(rows, positions, room))

    def prepare_step(self, rows: int, positions: int, room: int) -> None:
        """Capture `step` for a token cache of `room` positions."""
        self.state.position.zero_()
        room = room_for(room, self.weights.max_positions)
        self._make_room_for_tokens(rows, room)
        self.graphs.prepare(("step", rows, positions, room), lambda: self._step(rows, positions, room))

    def _make_room_for_tokens(self, rows: int, room: int) -> None:
        if self.buffers.make_room_for_tokens(rows, min(room, self.weights.max_positions)):
            self.graphs.forget("prompt", "step")

    def _encode_piece(self, features: np.ndarray) -> torch.Tensor:
        batch, mels, frames = features.shape
        rows = 1 << (batch - 1).bit_length()
        given = self._features[: rows * mels * frames].view(rows, mels, frames)
        heard = self._heard[: rows * frames // 2 * self.weights.width].view(rows, frames // 2, -1)
        given[:batch].copy_(torch.from_numpy(np.require(features, np.float32, ["C", "W"])))

        def work() -> None:
            heard.copy_(encode(self.weights.encoder, given))

        self.graphs.run(("encode", rows, frames), work)
        return heard[:batch].clone()

    def _project(self, rows: int, positions: int) -> None:
        audio = self.buffers.audio(rows, positions)
        project_audio(self.weights.decoder, audio, self.buffers.cross(rows, positions))

    def _read(self, rows: int, positions: int, length: int, start: int) -> None:
        prompt = self._prompt[: rows * length].view(rows, length)
        cross, cache = self.buffers.cross(rows, positions), self.buffers.tokens(rows, length)
        hidden = decode_prompt(self.weights.decoder, prompt, cross, cache)
        self.state.logits[:rows].copy_(logits_of(self.weights.decoder, hidden[:, -1]))
        at_start = logits_of(self.weights.decoder, hidden[:, start])
        self.no_speech[:rows].copy_(at_start.softmax(dim=-1)[:, self._tokens.no_speech])

    def _step(self, rows: int, positions: int, room: int) -> None:
        cross, cache = self.buffers.cross(rows, positions), self.buffers.tokens(rows, room)
        state = self.state
        hidden = decode_step(self.weights.decoder, state.last[:rows], state.position, cross, cache)
        state.logits[:rows].copy_(logits_of(self.weights.decoder, hidden))
