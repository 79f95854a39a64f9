"""One utterance of a WebSocket client: its audio as it comes, its partials, its final transcript."""

import asyncio
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from engines.agreement import LocalAgreement
from engines.errors import EngineBusy, EngineError, EngineOvertaken
from engines.protocol import TranscriptionOptions
from engines.wire import code_of, transcript_to_json
from services.asr.service import AsrService
from services.common.errors import Refusal

BYTES_PER_SEC = 16_000 * 2
MIN_PARTIAL_SECS = 0.5
"""Less sound than this makes no partial."""


class UtteranceWork:
    """Collects PCM16 at 16 kHz; tells `say` every message of this utterance."""

    def __init__(
        self,
        service: AsrService,
        utterance_id: str,
        options: TranscriptionOptions,
        say: Callable[[Mapping[str, Any]], None],
    ):
        """
        Args:
            service: Transcribes.
            utterance_id: The client's name for it, or the service's.
            options: What it asks for; `stream` is unique in the service.
            say: Sends a message to the client.
        """
        self.id = utterance_id
        self._service = service
        self._options = options
        self._say = say
        self._pcm = bytearray()
        self._max_bytes = int(service.settings.max_utterance_secs * BYTES_PER_SEC)

    @property
    def is_empty(self) -> bool:
        """Whether there is no audio yet."""
        return not self._pcm

    def feed(self, pcm: bytes) -> None:
        """Add audio.

        Raises:
            Refusal: The utterance is too long; what it had is forgotten.
        """
        self._pcm += pcm
        if len(self._pcm) > self._max_bytes:
            self._pcm.clear()
            most = self._service.settings.max_utterance_secs
            raise Refusal("too_long", f"the utterance is too long; expected at most {most:g} s")

    async def partials(self) -> None:
        """While the audio comes, transcribe what there is from time to time, if nobody has to wait for it."""
        agreement = LocalAgreement()
        options = dataclasses.replace(self._options, partial=True, timestamps=False, word_timestamps=False)
        heard = 0
        while True:
            await asyncio.sleep(self._service.settings.partial_secs)
            if len(self._pcm) < MIN_PARTIAL_SECS * BYTES_PER_SEC or len(self._pcm) == heard:
                continue
            if not self._service.has_room:
                self._count("dropped")
                continue
            heard = len(self._pcm)
            try:
                transcript = await self._service.transcribe(bytes(self._pcm), options, way="stream")
            except (EngineOvertaken, EngineBusy):
                self._count("dropped")
                continue
            except EngineError:
                # The final says what is wrong.
                return
            stable, unstable = agreement.update(transcript.text)
            self._say({"type": "partial", "id": self.id, "stable": stable, "unstable": unstable})
            self._count("sent")

    async def final(self) -> None:
        """Transcribe the whole, and say it or the error."""
        try:
            transcript = await self._service.transcribe(bytes(self._pcm), self._options, way="stream")
        except EngineError as error:
            if self._options.partial:
                self._count("dropped")
            self._service.metrics.refused.labels(code_of(error)).inc()
            self._say({"type": "error", "id": self.id, "code": code_of(error), "message": str(error)})
            return
        if self._options.partial:
            self._count("sent")
        self._say(
            {"type": "final", "id": self.id, "has_room": self._service.has_room, **transcript_to_json(transcript)}
        )

    def _count(self, outcome: str) -> None:
        self._service.metrics.partials.labels(outcome).inc()
