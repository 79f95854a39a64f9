"""Voices in the device's memory, ready to be spoken with."""

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from loguru import logger

from engines.chatterbox.s3gen.decoder import Prompt
from engines.chatterbox.t3.request import Conditioning
from engines.chatterbox.voice_folder import BUILT_IN
from engines.chatterbox.voices import VoiceCache
from engines.chatterbox.worker import Worker
from engines.errors import EngineClosed, EngineError, EngineFailed
from engines.protocol import Voice

T = TypeVar("T")


@dataclass(frozen=True)
class DeviceVoice:
    """One voice: what the token model and the vocoder know of it."""

    conditioning: Conditioning
    prompt: Prompt

    @property
    def nbytes(self) -> int:
        """Memory that it holds on the device."""
        return self.conditioning.nbytes + self.prompt.nbytes


@dataclass(frozen=True)
class _Kept:
    """A voice on the device, and which file it is of."""

    identity: Hashable
    voice: DeviceVoice

    @property
    def nbytes(self) -> int:
        return self.voice.nbytes


class Library(Protocol):
    """Where voices come from."""

    def list(self) -> list[Voice]:
        """What there is."""
        ...

    def identity(self, voice: str) -> Hashable:
        """Of the file that a voice is read from: another one where it was replaced. Any thread may ask.

        Raises:
            EngineRefused: There is no such voice.
        """
        ...

    def load(self, voice: str) -> Any:
        """Upstream's `Conditionals` of a voice; reads files, and may enrol a clip.

        Raises:
            EngineRefused: There is no such voice, or its clip cannot be used.
        """
        ...


class DeviceVoices:
    """Brings voices to the device when they are first asked for, and keeps those in use while their files stay as they
    are.
    """

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
        self._cache: VoiceCache[_Kept] = VoiceCache(max_bytes)
        self._coming: dict[tuple[str, float, Hashable], asyncio.Task[DeviceVoice]] = {}
        # A thread for each kind of wait: a clip that is enrolled takes seconds and a folder that is listed many looks,
        # and neither may delay a stream whose voice is ready but for a look at its file.
        self._enrolling, self._listing, self._looking = (
            ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"chatterbox-{kind}")
            for kind in ("voices", "list", "look")
        )

    async def list(self) -> list[Voice]:
        """What there is."""
        return await self._on(self._listing, self._library.list)

    async def get(self, voice: str, exaggeration: float) -> DeviceVoice:
        """A voice, ready: as its file is now.

        Raises:
            EngineRefused: There is no such voice, or its clip cannot be used.
            EngineError: It could not be made ready.
        """
        # Each exaggeration is a voice of its own on the device, so nearly equal ones are one.
        exaggeration = round(20 * exaggeration) / 20
        # The model's own comes from no file.
        identity = None if voice == BUILT_IN else await self._on(self._looking, self._library.identity, voice)
        kept = self._cache.get((voice, exaggeration))
        if kept is not None and kept.identity == identity:
            return kept.voice
        # Those who ask meanwhile wait for the same; one who goes away does not take it from the others.
        key = (voice, exaggeration, identity)
        if key not in self._coming:
            task = self._coming[key] = asyncio.create_task(self._fetch(*key))
            task.add_done_callback(lambda _: self._coming.pop(key, None))
        return await asyncio.shield(self._coming[key])

    async def _fetch(self, voice: str, exaggeration: float, identity: Hashable) -> DeviceVoice:
        try:
            conditionals = await self._on(self._enrolling, self._library.load, voice)
            ready = await asyncio.wrap_future(self._worker.call(lambda: self._bring(conditionals, exaggeration)))
        except EngineError:
            raise
        except Exception as error:
            # No room on the device, a library that stumbles: it concerns those who want this voice, nobody else.
            logger.error(f"the voice {voice} could not be made ready: {type(error).__name__}: {error}")
            raise EngineFailed(f"the voice {voice} could not be made ready: {type(error).__name__}") from error
        self._cache.put((voice, exaggeration), _Kept(identity, ready))
        return ready

    async def _on(self, thread: ThreadPoolExecutor, work: Callable[..., T], *arguments: str) -> T:
        try:
            running = asyncio.get_running_loop().run_in_executor(thread, work, *arguments)
        except RuntimeError:
            raise EngineClosed("chatterbox has been shut down") from None
        return await running

    def close(self) -> None:
        """End the threads."""
        for thread in (self._enrolling, self._listing, self._looking):
            thread.shutdown(wait=False, cancel_futures=True)
