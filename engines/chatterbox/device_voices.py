"""Voices in the device's memory, ready to be spoken with."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from loguru import logger

from engines.chatterbox.s3gen.decoder import Prompt
from engines.chatterbox.t3.request import Conditioning
from engines.chatterbox.voices import VoiceCache
from engines.chatterbox.worker import Worker
from engines.errors import EngineClosed, EngineError, EngineFailed
from engines.protocol import Voice


@dataclass(frozen=True)
class DeviceVoice:
    """One voice: what the token model and the vocoder know of it."""

    conditioning: Conditioning
    prompt: Prompt

    @property
    def nbytes(self) -> int:
        """Memory that it holds on the device."""
        return self.conditioning.nbytes + self.prompt.nbytes


class Library(Protocol):
    """Where voices come from."""

    def list(self) -> list[Voice]:
        """What there is."""
        ...

    def load(self, voice: str) -> Any:
        """Upstream's `Conditionals` of a voice; reads files, and may enrol a clip.

        Raises:
            EngineRefused: There is no such voice, or its clip cannot be used.
        """
        ...


class DeviceVoices:
    """Brings voices to the device when they are first asked for, and keeps those in use."""

    def __init__(
        self,
        library: Library,
        bring: Callable[[Any, float], DeviceVoice],
        worker: Worker,
        *,
        max_bytes: int,
    ):
        """
        Args:
            library: Where voices come from.
            bring: Makes a voice of its conditionals and an exaggeration, on the worker's thread.
            worker: Whose thread.
            max_bytes: Memory for voices; the one that was used longest ago goes first. Streams keep theirs.
        """
        self._library, self._bring, self._worker = library, bring, worker
        self._cache: VoiceCache = VoiceCache(max_bytes)
        self._coming: dict[tuple[str, float], asyncio.Task[DeviceVoice]] = {}
        # One thread: a clip that is enrolled takes seconds of it, and only those who want a new voice wait.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="chatterbox-voices")

    def list(self) -> list[Voice]:
        """What there is. Reads a folder."""
        return self._library.list()

    async def get(self, voice: str, exaggeration: float) -> DeviceVoice:
        """A voice, ready.

        Raises:
            EngineRefused: There is no such voice, or its clip cannot be used.
            EngineError: It could not be made ready.
        """
        # Each exaggeration is a voice of its own on the device, so nearly equal ones are one.
        key = (voice, round(20 * exaggeration) / 20)
        if (found := self._cache.get(key)) is not None:
            return found
        # Those who ask meanwhile wait for the same; one who goes away does not take it from the others.
        if key not in self._coming:
            task = self._coming[key] = asyncio.create_task(self._fetch(key))
            task.add_done_callback(lambda _: self._coming.pop(key, None))
        return await asyncio.shield(self._coming[key])

    async def _fetch(self, key: tuple[str, float]) -> DeviceVoice:
        voice, exaggeration = key
        try:
            loading = asyncio.get_running_loop().run_in_executor(self._thread, self._library.load, voice)
        except RuntimeError:
            raise EngineClosed("chatterbox has been shut down") from None
        try:
            conditionals = await loading
            ready = await asyncio.wrap_future(self._worker.call(lambda: self._bring(conditionals, exaggeration)))
        except EngineError:
            raise
        except Exception as error:
            # No room on the device, a library that stumbles: it concerns those who want this voice, nobody else.
            logger.error(f"the voice {voice} could not be made ready: {type(error).__name__}: {error}")
            raise EngineFailed(f"the voice {voice} could not be made ready: {type(error).__name__}") from error
        self._cache.put(key, ready)
        return ready

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)
