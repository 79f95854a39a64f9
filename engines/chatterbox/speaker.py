"""One stream of speech on its way through the models: its sentences, its listener, and those who wait for its sound."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from engines.chatterbox.listener import Listener
from engines.chatterbox.t3.request import T3Request
from engines.errors import EngineError
from engines.protocol import SpeechChunk
from engines.speech import EndWatch, Stop
from engines.text import Sentence

SPEECH_TOKENS = 6561
"""Tokens from here on stand for no sound."""

TOKEN_SAMPLES = 960
"""Samples at 24 kHz of one speech token."""


@dataclass(eq=False)
class Utterance:
    """One sentence: its text for the token model, and what has become of it.

    Attributes:
        sentence: What is said.
        request: What the token model is asked.
        seed: Of the sound's noise.
        watch: Looks for the end of the speech; None where only the model's own end counts.
        exact_tokens: Speech tokens it has whatever the model says; None lets the model end it.
        slot: Its place in the token model while tokens are made.
        tokens: Speech tokens so far, without the ones that stand for no sound.
        ended: Whether there will be no more tokens.
        stream: Its place in the vocoder; made with its first piece.
        used: Tokens that the pieces so far were made of.
        shown: Tokens that the vocoder knows: those, and what it looked ahead at. It forgets none.
        pieces: Pieces of sound so far.
        last_piece: Whether the last of them was begun.
    """

    sentence: Sentence
    request: T3Request
    seed: int
    watch: EndWatch | None = None
    exact_tokens: int | None = None
    slot: int | None = None
    tokens: list[int] = field(default_factory=list)
    ended: bool = False
    stream: Any = None
    used: int = 0
    shown: int = 0
    pieces: int = 0
    last_piece: bool = False
    reading: bool = False
    """Whether its text was given to the token model."""

    due_since: float | None = None
    """When its next piece could be made, by the worker's clock."""

    steps: int = 0
    """Tokens that the model made, with those that stand for no sound."""

    def take(self, token: int, stop_token: int) -> None:
        """The model's next token, which may be the last; `stop_token` is its own end."""
        if self.exact_tokens is not None:
            self.tokens.append(token % SPEECH_TOKENS)
            if len(self.tokens) >= self.exact_tokens:
                self.end()
            return
        if token == stop_token:
            self.end()
            return
        if token < SPEECH_TOKENS:
            self.tokens.append(token)
            if self.watch is not None and self.watch.push(token) is not Stop.NONE:
                self.end(keep=self.watch.keep)
        self.steps += 1
        if not self.ended and self.steps >= self.request.max_tokens:
            self.end()

    def end(self, keep: int | None = None) -> None:
        """No more tokens; only the first `keep` are heard, and those that the vocoder knows already."""
        self.ended = True
        if keep is not None:
            del self.tokens[max(keep, self.shown) :]


@dataclass(eq=False)
class Speaker:
    """One stream. The worker's thread owns it but for what is said otherwise."""

    voice: Any
    """The voice on the device; see `engines.chatterbox.models.DeviceVoice`."""

    live: bool
    tell: Callable[["SpeechChunk | EngineError | None"], None]
    """Takes what comes of it, from any thread: sound, an error, and None at the end."""

    utterances: deque[Utterance] = field(default_factory=deque)
    """Sentences whose last piece has not been begun, the first being spoken."""

    text_ended: bool = False
    cancelled: bool = False
    """Set by any thread: nothing more is made."""

    finished: bool = False
    listener: Listener = field(default_factory=Listener)
    sound: Any = None
    """What the finisher knows of it; see `engines.chatterbox.finish.StreamSound`."""

    made_samples: int = 0
    """Of sound that went to the finisher; the worker's thread alone counts them,"""

    finished_samples: int = 0
    """and the finisher's alone those that it is done with: two threads would lose some of a common count."""

    @property
    def unheard_samples(self) -> int:
        """Of sound that was made and is still with the finisher."""
        return self.made_samples - self.finished_samples

    @property
    def fresh(self) -> bool:
        """Whether nothing of it has been heard, nor is about to be."""
        return not self.listener.has_heard and not self.unheard_samples

    def buffered_secs(self, now: float) -> float:
        """Sound that its listener has left, with what is on its way to it."""
        return self.listener.buffered_secs(now) + self.unheard_samples / (TOKEN_SAMPLES * 25)

    @property
    def is_over(self) -> bool:
        """Whether all that was asked for has been begun."""
        return self.text_ended and not self.utterances


class Outlet:
    """Where the sound of one stream comes out: between the threads of the engine and one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self._loop = loop
        self._queue: asyncio.Queue[SpeechChunk | EngineError | None] = asyncio.Queue()

    def put(self, item: SpeechChunk | EngineError | None) -> None:
        """From any thread. The worker bounds what waits: it makes nothing for a stream that is far ahead."""
        with suppress(RuntimeError):  # The loop was closed: nobody waits any more.
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)

    async def get(self) -> SpeechChunk | None:
        """The next piece of sound; None at the end.

        Raises:
            EngineError: The stream failed.
        """
        item = await self._queue.get()
        if isinstance(item, EngineError):
            raise item
        return item
