"""One answer on its way through a voice engine: text goes in as it is written, speech comes out as it is made."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

from engines.errors import EngineFailed
from engines.protocol import SpeechChunk, SpeechOptions, TextToSpeech

MAX_PIECES = 64
"""Pieces of text that an engine may leave unread; an engine reads the next sentence while it speaks, so more than these
wait only where it has stopped."""


class TextFeed:
    """Text on its way to an engine: an async iterator that ends when the text does.

    Full, it lets its writer wait. Closed, it forgets what was not read and takes nothing more, so that no writer waits
    for an engine that is gone.
    """

    def __init__(self, most: int = MAX_PIECES):
        """
        Args:
            most: Pieces that may be unread.
        """
        self.ended = asyncio.Event()
        self._most = most
        self._pieces: deque[str] = deque()
        self._closed = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    async def put(self, piece: str) -> None:
        """Give the next piece, once there is room for it; after the end or the close it is dropped."""
        while len(self._pieces) >= self._most and not self._is_over:
            self._room.clear()
            await self._room.wait()
        if not self._is_over:
            self._pieces.append(piece)
            self._news.set()

    def end(self) -> None:
        """Nothing follows; what is unread is still to be read."""
        self.ended.set()
        self._wake()

    def close(self) -> None:
        """Nobody reads any more."""
        self._closed = True
        self._pieces.clear()
        self._wake()

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        while not self._pieces and not self._is_over:
            self._news.clear()
            await self._news.wait()
        if not self._pieces:
            raise StopAsyncIteration
        self._room.set()
        return self._pieces.popleft()

    @property
    def _is_over(self) -> bool:
        return self._closed or self.ended.is_set()

    def _wake(self) -> None:
        self._news.set()
        self._room.set()


class SpeechStream:
    """One stream of an engine, with the time that it may take.

    An engine may rest while its listener has sound left or while the text pauses; it must not while somebody waits for
    the first sound, or for the rest of a text that is complete.
    """

    def __init__(
        self,
        engine: TextToSpeech,
        options: SpeechOptions,
        *,
        timeout_secs: float,
        ahead_secs: Callable[[], float] = lambda: 0.0,
    ):
        """
        Args:
            engine: The shared engine.
            options: What the whole stream asks for.
            timeout_secs: Longest wait for sound, counted from the first text, or from when its listener has heard all.
            ahead_secs: Tells how much of this stream's sound its listener has yet to hear.
        """
        self._engine = engine
        self._options = options
        self._timeout_secs = timeout_secs
        self._ahead_secs = ahead_secs
        self._text = TextFeed()
        self._has_text = False
        self._has_sounded = False
        self._limit: asyncio.Timeout | None = None

    async def say(self, sentence: str) -> None:
        """Give the next sentence; waits while the engine has not read `MAX_PIECES`.

        It is known to be complete, so the engine is told not to wait for what follows.
        """
        # Symbols alone make no sound.
        self._has_text = self._has_text or any(character.isalnum() for character in sentence)
        self._watch()
        await self._text.put(f"{sentence} ")
        await self._text.put("")

    def end(self) -> None:
        """The text is complete."""
        self._text.end()
        self._watch()

    async def until_text_ended(self) -> None:
        """Wait for `end`."""
        await self._text.ended.wait()

    async def chunks(self) -> AsyncGenerator[SpeechChunk, None]:
        """The speech. To be read once; closing it closes the engine's stream.

        Raises:
            EngineError: As `TextToSpeech.synthesize`.
            EngineFailed: No sound came in time.
        """
        try:
            async with aclosing(self._engine.synthesize(self._text, self._options)) as stream:  # pyright: ignore[reportArgumentType]
                while (chunk := await self._next(stream)) is not None:
                    self._has_sounded = True
                    yield chunk
        finally:
            self._text.close()

    async def _next(self, stream: AsyncIterator[SpeechChunk]) -> SpeechChunk | None:
        try:
            async with asyncio.timeout(None) as self._limit:
                self._watch()
                return await anext(stream, None)
        except TimeoutError as error:
            raise EngineFailed(f"{self._engine.name} gave no sound within {self._timeout_secs:g} s") from error
        finally:
            self._limit = None

    def _watch(self) -> None:
        """Bound the wait for the next chunk, where one is due."""
        if self._limit is None or self._limit.when() is not None:
            return
        if (self._has_text and not self._has_sounded) or self._text.ended.is_set():
            self._limit.reschedule(asyncio.get_running_loop().time() + self._ahead_secs() + self._timeout_secs)
