"""The text of one stream, as it is written by the client and read by the engine."""

import asyncio
from collections.abc import AsyncIterator

from services.common.errors import Refusal


class Script:
    """What an engine reads: `engines.protocol.TextToSpeech.synthesize` takes it as its text."""

    def __init__(self, *, max_chars: int):
        """
        Args:
            max_chars: Longest text.
        """
        self._max_chars = max_chars
        self._pieces: asyncio.Queue[str | None] = asyncio.Queue()
        self._has_unflushed = False
        self.chars = 0
        self.is_complete = False
        self.begun_at: float | None = None
        self.written_at = 0.0
        """When its first piece came, and when something last came, by the loop's clock."""

    @classmethod
    def of(cls, text: str) -> "Script":
        """A text that is complete."""
        script = cls(max_chars=len(text))
        script.write(text)
        script.end()
        return script

    def write(self, text: str) -> None:
        """Add a piece of text.

        Raises:
            Refusal: The text is too long.
        """
        self.chars += len(text)
        if self.chars > self._max_chars:
            raise Refusal("too_long", f"the text is too long; expected at most {self._max_chars} characters")
        if not text:
            return  # To the engine an empty piece is a flush.
        self._has_unflushed = True
        self._add(text)
        if self.begun_at is None:
            self.begun_at = self.written_at

    def flush(self) -> None:
        """What has come is spoken."""
        if self._has_unflushed:
            self._has_unflushed = False
            self._add("")

    def end(self) -> None:
        """The text is complete."""
        self.is_complete = True
        self._add(None)

    def _add(self, piece: str | None) -> None:
        self.written_at = asyncio.get_running_loop().time()
        self._pieces.put_nowait(piece)

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        if self.is_complete and self._pieces.empty():
            raise StopAsyncIteration
        piece = await self._pieces.get()
        if piece is None:
            raise StopAsyncIteration
        return piece
