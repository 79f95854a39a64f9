"""One voice, and one stream of it: what the host knows. What the device knows is in a row of pooled tensors."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from engines.chatterbox.s3gen.masks import CHUNK_SHIFT
from engines.errors import EngineRefused

FRAMES_PER_TOKEN = 2
"""25 speech tokens and 50 mel frames a second."""

SAMPLES_PER_FRAME = 480
LOOKAHEAD = 3
"""Tokens that the encoder looks ahead."""

VALID_TOKENS = 6561
"""Ids from here on are signs of the language model, not speech."""


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """A voice as S3Gen hears it: a few seconds of it that every run starts with."""

    tokens: np.ndarray
    """Speech tokens, int32."""
    mel: torch.Tensor
    """Two frames a token, (frames, mels), on the device."""
    speaker: torch.Tensor
    """The speaker's projected embedding (mels), on the device."""

    @property
    def nbytes(self) -> int:
        """Bytes of device memory."""
        return self.mel.nbytes + self.speaker.nbytes

    def last(self, tokens: int) -> "Prompt":
        """The voice with the end of its prompt alone, in the same memory; itself where there is no more.

        Raises:
            ValueError: No token is asked for.
        """
        if tokens < 1:
            raise ValueError(f"{tokens} tokens of a prompt were asked for, expected at least 1")
        if tokens >= len(self.tokens):
            return self
        return Prompt(self.tokens[-tokens:], self.mel[-FRAMES_PER_TOKEN * tokens :], self.speaker)


@dataclass(frozen=True, slots=True)
class Window:
    """The frames of one run, counted from the stream's first frame, without the prompt.

    What is made known of frames `first` to `spoken` has been spoken; they are heard again so that the vocoder has its
    context. `spoken` to `until` are spoken in this run. `until` to `end` are held back until more is known.
    """

    tokens: int
    usable: int
    """Tokens whose frames are made: all but the lookahead."""
    first: int
    spoken: int
    until: int
    end: int

    @property
    def frames(self) -> int:
        """Frames that go through the vocoder."""
        return self.end - self.first


@dataclass(slots=True, eq=False)
class Stream:
    """Speech of one voice that is made while its tokens come."""

    prompt: Prompt
    seed: int
    row: int
    """In the pooled tensors of the device; -1 once closed."""
    ids: np.ndarray
    """Prompt and speech tokens, each with its chunk's number above the id; int32."""
    known: int = 0
    """Speech tokens given so far."""
    usable: int = 0
    """Speech tokens whose frames have been made."""
    spoken: int = 0
    """Frames whose audio has been given out."""
    chunks: int = 0
    is_new: bool = True
    """The device knows nothing of it yet."""
    is_finished: bool = False
    room: int = field(init=False)
    """Most speech tokens."""

    def __post_init__(self) -> None:
        """Put the prompt before what comes."""
        start = len(self.prompt.tokens)
        self.ids[:start] = self.prompt.tokens
        self.room = len(self.ids) - start

    def window(self, tokens: int, final: bool, *, context: int, hold: int) -> Window | None:
        """What a run with that many tokens would speak; None if it is nothing.

        Args:
            tokens: Speech tokens so far.
            final: None will follow.
            context: Frames that are heard again.
            hold: Frames that are held back unless the run is the last.
        """
        usable = tokens if final else max(0, tokens - LOOKAHEAD)
        end = FRAMES_PER_TOKEN * usable
        until = end if final else end - hold
        if until <= self.spoken:
            return None
        return Window(tokens, usable, max(0, self.spoken - context), self.spoken, until, end)

    def check(self, tokens: Sequence[int]) -> None:
        """Refuse what cannot be the next of this stream.

        Raises:
            EngineRefused: It is closed or finished, or the tokens are too many, fewer than before, or no speech.
        """
        if self.row < 0 or self.is_finished:
            raise EngineRefused(
                f"The stream has {'been closed' if self.row < 0 else 'had its last run'}, expected one that goes on"
            )
        if not self.known <= len(tokens) <= self.room:
            raise EngineRefused(
                f"{len(tokens)} speech tokens were given after {self.known}, "
                f"expected at least as many and at most {self.room}"
            )
        wrong = next((token for token in tokens[self.known :] if not 0 <= token < VALID_TOKENS), None)
        if wrong is not None:
            raise EngineRefused(f"Token {wrong} is no speech token, expected 0 to {VALID_TOKENS - 1}")

    def take(self, tokens: Sequence[int], window: Window | None, final: bool) -> None:
        """Remember the tokens and that the window's run was started; they were checked before."""
        self.is_finished = final
        start = len(self.prompt.tokens)
        self.ids[start + self.known : start + len(tokens)] = tokens[self.known :]
        self.known = len(tokens)
        if window is None:
            return
        self.chunks += 1
        # Tokens that are looked ahead at belong to a later chunk, whichever it will be.
        chunks = self.ids[start + self.usable : start + self.known]
        chunks &= (1 << CHUNK_SHIFT) - 1
        chunks |= self.chunks << CHUNK_SHIFT
        chunks[window.usable - self.usable :] += 1 << CHUNK_SHIFT
        self.usable, self.spoken = window.usable, window.until
