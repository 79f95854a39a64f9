"""One stream of a WebSocket client: its text as it comes, its sound as it is made."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

from engines.errors import EngineError
from engines.protocol import SpeechChunk
from services.common.audio import BYTES_PER_SAMPLE, SAMPLE_RATES
from services.common.connection import check_rate
from services.common.errors import Refusal, refusal_of
from services.tts.account import Account
from services.tts.messages import StreamOptions, options_of
from services.tts.outlet import Outlet
from services.tts.script import Script
from services.tts.service import TtsService

Say = Callable[[Mapping[str, Any]], None]
PutAudio = Callable[[Mapping[str, Any], bytes], Awaitable[None]]


class SpokenStream:
    """Tells `say` every message of this stream."""

    def __init__(self, service: TtsService, stream_id: str, asked: StreamOptions, say: Say, put_audio: PutAudio):
        """
        Args:
            service: Speaks.
            stream_id: The client's name for it.
            asked: How it is spoken, and how the sound is sent.
            say: Sends a message to the client.
            put_audio: Sends sound to it, and waits while it has enough to read.

        Raises:
            Refusal: The sample rate is not one that is given (`unsupported`).
        """
        assert service.engine is not None
        self.id = stream_id
        self.script = Script(max_chars=service.settings.max_text_chars)
        self.is_cancelled = False
        """Whether the client is told when its place is free."""

        self._service = service
        self._say = say
        self._put_audio = put_audio
        self._options = options_of(asked)
        self._rate = asked.sample_rate or service.engine.sample_rate
        if asked.sample_rate is not None:
            check_rate(self._rate, SAMPLE_RATES)
        self._outlet = Outlet(service.engine.sample_rate, self._rate)
        self._ahead = None if asked.ahead_secs is None else int(asked.ahead_secs * self._rate)
        self._sent = self._heard = 0
        self._taken = asyncio.Event()
        self._is_held = False
        self._patience: asyncio.Timeout | None = None

    # What the client says.

    def write(self, text: str) -> None:
        """A piece of text.

        Raises:
            Refusal: The text is too long.
        """
        self.script.write(text)
        self._wait_anew()

    def flush(self) -> None:
        """What has come is spoken."""
        self.script.flush()
        self._wait_anew()

    def end(self) -> None:
        """The text is complete."""
        self.script.end()
        self._wait_anew()

    def hear(self, samples: int) -> None:
        """The client has done with so many samples."""
        self._heard = max(self._heard, samples)
        self._taken.set()
        self._wait_anew()

    def _wait_anew(self) -> None:
        """Where the client has to say something, it has the whole time for it again."""
        if self._patience is None or self._patience.expired():
            return
        waits_for_client = self._is_held or not self.script.is_complete
        until = asyncio.get_running_loop().time() + self._service.settings.idle_secs
        self._patience.reschedule(until if waits_for_client else None)

    # What it does.

    async def run(self) -> Refusal | None:
        """Speak to the end.

        Returns:
            Why it could not be spoken; None where it was.

        Raises:
            Refusal: The client does not read: this ends the connection.
        """
        idle = self._service.settings.idle_secs
        patience = asyncio.timeout(idle)
        try:
            async with patience:
                self._patience = patience
                self._wait_anew()
                voice = self._options.voice or self._service.voice
                self._say({"type": "started", "id": self.id, "voice": voice, "sample_rate": self._rate})
                await self._speak()
        except EngineError as error:
            return refusal_of(error)
        except TimeoutError:
            if not patience.expired():
                raise
            missed = "`heard`" if self._is_held else "text"
            return Refusal("idle", f"no {missed} of this stream came for {idle:g} s")
        finally:
            self._patience = None
        return None

    async def _speak(self) -> None:
        account = Account(self.script)
        async with aclosing(self._service.speak(account, self._options, way="stream")) as chunks:  # pyright: ignore[reportArgumentType]
            async for chunk in chunks:
                for piece in self._outlet.feed(chunk):
                    await self._send(piece)
                self._wait_anew()
        for piece in self._outlet.finish():
            await self._send(piece)
        self._say(
            {
                "type": "done",
                "id": self.id,
                "samples": self._sent,
                "audio_secs": account.audio_secs,
                "first_audio_secs": account.first_audio_secs,
                "engine_secs": account.engine_secs,
                "total_secs": account.total_secs,
                "underruns": account.underruns,
                "underrun_secs": account.underrun_secs,
            }
        )

    async def _send(self, piece: SpeechChunk) -> None:
        await self._until_wanted()
        samples = len(piece.pcm) // BYTES_PER_SAMPLE
        marks = [{"text": mark.text, "start": mark.start, "end": mark.end} for mark in piece.marks]
        message = {"type": "audio", "id": self.id, "start": self._sent, "samples": samples, "marks": marks}
        await self._put_audio(message, piece.pcm)
        self._sent += samples

    async def _until_wanted(self) -> None:
        """Wait until the client has heard enough of what was sent. Meanwhile the engine is not asked for more."""
        while self._ahead is not None and self._sent - self._heard >= self._ahead:
            self._is_held = True
            self._wait_anew()
            self._taken.clear()
            await self._taken.wait()
        self._is_held = False
        self._wait_anew()
