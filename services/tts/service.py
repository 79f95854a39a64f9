"""The text-to-speech service itself: its engine, what it counts, and what it is doing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from configs.settings import Settings, TtsServiceSettings
from engines.errors import EngineError
from engines.protocol import SpeechChunk, SpeechOptions, TextToSpeech
from services.common.audio import BYTES_PER_SAMPLE
from services.common.pool import BoundedPool
from services.common.service import Service
from services.tts.account import Account
from services.tts.metrics import Metrics

VOICES_ANSWER_SECS = 0.5


class TtsService(Service):
    """One text-to-speech engine and everything that its requests share."""

    settings: TtsServiceSettings
    metrics: Metrics
    engine: TextToSpeech | None
    aliases = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")

    def __init__(self, settings: Settings):
        """
        Args:
            settings: The sections `tts_service` and `tts`.
        """
        self._open: set[Account] = set()
        limits = settings.tts_service
        super().__init__(
            limits,
            Metrics(),
            model=settings.tts.engine_model,
            device=settings.tts.engine_device,
            max_requests=limits.max_files,
        )
        self.voice = settings.tts.voice
        self._last_count: int | None = None
        # Of each file, one piece at a time is encoded: there is room for all.
        self.encoders = BoundedPool("encode", threads=limits.encode_threads, max_queue=limits.max_files)
        self.metrics.speaking.set_function(lambda: self.speaking)

    @property
    def queue_size(self) -> int:
        """Streams and files that have text and no sound yet."""
        return sum(account.waits for account in self._open)

    @property
    def speaking(self) -> int:
        """Streams and files that are being spoken."""
        return sum(account.speaks for account in self._open)

    def open(self, engine: TextToSpeech) -> None:
        """Take requests from now on."""
        self.engine = engine
        if stats := getattr(engine, "stats", None):
            self.metrics.show_stats(stats)
        self.take_work()

    async def speak(self, account: Account, options: SpeechOptions, *, way: str) -> AsyncIterator[SpeechChunk]:
        """Have a text spoken and counted.

        Args:
            account: Of the text, which may still be written.
            options: How it is spoken.
            way: How it came, `stream` or `file`.

        Returns:
            An async generator, as `TextToSpeech.synthesize`; it raises the same errors.
        """
        assert self.engine is not None, "requests are taken only once the engine is loaded"
        bytes_per_sec = self.engine.sample_rate * BYTES_PER_SAMPLE
        outcome = "cancelled"
        self._open.add(account)
        try:
            async with aclosing(self.engine.synthesize(account.script, options)) as chunks:  # pyright: ignore[reportArgumentType]
                account.asks()
                async for chunk in chunks:
                    account.gets(len(chunk.pcm) / bytes_per_sec)
                    yield chunk
                    account.asks()
            outcome = "ok"
        except EngineError as error:
            outcome = self.outcome_of(error)
            raise
        except Exception:
            outcome = "failed"
            raise
        finally:
            self._open.discard(account)
            self.metrics.spoken(way, outcome, account, live=options.live)

    async def voices(self) -> list[dict[str, Any]]:
        """The engine's voices, the default first, as `GET /v1/voices` lists them.

        Raises:
            EngineError: It cannot be told now.
        """
        assert self.engine is not None, "requests are taken only once the engine is loaded"
        return [
            {"id": voice.id, "name": voice.id, "description": voice.description, "language": voice.language}
            for voice in await self.engine.voices()
        ]

    async def health(self) -> dict[str, Any]:
        """See `Service.health`."""
        body = await super().health()
        stats = getattr(self.engine, "stats", None)
        return {
            **body,
            "speaking": self.speaking,
            "voices": await self._count_voices(),
            "watermark": getattr(self.engine, "watermark", None),
            "engine_stats": stats() if stats else None,
        }

    async def _count_voices(self) -> int | None:
        """As far as is known: whoever asks for the health does not wait for the voices."""
        if self.engine is not None:
            with contextlib.suppress(EngineError, TimeoutError):
                async with asyncio.timeout(VOICES_ANSWER_SECS):
                    self._last_count = len(await self.engine.voices())
        return self._last_count

    async def close(self) -> None:
        """Give the engine and the threads back."""
        self.encoders.close()
        await super().close()
