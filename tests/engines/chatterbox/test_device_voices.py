"""Voices on the device: as their files are now, and nobody waits for what others wait for."""

import asyncio
import threading
from collections.abc import AsyncIterator, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from engines.chatterbox.device_voices import DeviceVoice, DeviceVoices
from engines.chatterbox.voice_folder import VoiceFolder
from engines.errors import EngineClosed, EngineRefused
from engines.protocol import Voice


@dataclass(frozen=True)
class Part:
    """Of a voice: what it was made of."""

    content: str
    nbytes: int = 10


@dataclass
class FileLibrary:
    """Voices of a folder; what is loaded is the text in the file. Each way of asking may be held up."""

    folder: VoiceFolder
    loaded: list[str] = field(default_factory=list)
    held: dict[str, threading.Event] = field(default_factory=dict)

    def list(self) -> list[Voice]:
        """All."""
        self._wait("list")
        return [Voice(voice.name, "") for voice in self.folder.voices()]

    def identity(self, voice: str) -> Hashable:
        """Of the file."""
        return self.folder.get(voice).identity

    def load(self, voice: str) -> str:
        """The text."""
        self._wait("load")
        self.loaded.append(voice)
        return "built in" if voice == "default" else self.folder.get(voice).path.read_text()

    def _wait(self, what: str) -> None:
        if what in self.held:
            assert self.held[what].wait(20)


class Now:
    """Does at once what a worker would do between two steps."""

    def call(self, work: Any) -> "Future[Any]":
        """Do it."""
        future: Future[Any] = Future()
        future.set_result(work())
        return future


@pytest.fixture
def library(tmp_path: Path) -> FileLibrary:
    return FileLibrary(VoiceFolder(tmp_path))


@pytest.fixture
async def voices(library: FileLibrary) -> AsyncIterator[DeviceVoices]:
    def bring(content: str, exaggeration: float) -> DeviceVoice:
        part = cast("Any", Part(f"{content} at {exaggeration}"))
        return DeviceVoice(part, part)

    voices = DeviceVoices(library, bring, cast("Any", Now()), max_bytes=1000)
    yield voices
    for event in library.held.values():
        event.set()
    voices.close()


def content(voice: DeviceVoice) -> str:
    return cast("Part", voice.prompt).content


async def test_a_voice_is_brought_once_while_its_file_stays_as_it_is(library: FileLibrary, voices: DeviceVoices):
    (library.folder.folder / "anna.pt").write_text("one")
    first, again = await asyncio.gather(voices.get("anna", 0.5), voices.get("anna", 0.51))
    assert first is again is await voices.get("anna", 0.5) and library.loaded == ["anna"]
    assert content(await voices.get("anna", 0.8)) == "one at 0.8" and library.loaded == ["anna", "anna"]


async def test_a_replaced_voice_is_spoken_with_from_the_next_stream_on(library: FileLibrary, voices: DeviceVoices):
    path = library.folder.folder / "anna.pt"
    path.write_text("one")
    assert content(await voices.get("anna", 0.5)) == "one at 0.5"
    # As `voices add` does: a file of the same size beside it, renamed over it.
    (library.folder.folder / "new.part").write_text("two")
    (library.folder.folder / "new.part").replace(path)
    assert content(await voices.get("anna", 0.5)) == "two at 0.5"
    assert len(voices._cache) == 1 and voices._cache.nbytes == 20


async def test_another_file_of_the_same_name_is_another_voice(library: FileLibrary, voices: DeviceVoices):
    """A prepared voice stands before a recording."""
    (library.folder.folder / "anna.wav").write_text("clip")
    assert content(await voices.get("anna", 0.5)) == "clip at 0.5"
    (library.folder.folder / "anna.pt").write_text("made")
    assert content(await voices.get("anna", 0.5)) == "made at 0.5"


async def test_a_voice_that_was_removed_is_refused(library: FileLibrary, voices: DeviceVoices):
    path = library.folder.folder / "anna.pt"
    path.write_text("one")
    await voices.get("anna", 0.5)
    path.unlink()
    with pytest.raises(EngineRefused, match="there is no voice 'anna'"):
        await voices.get("anna", 0.5)


async def test_a_folder_that_is_slow_to_list_delays_no_stream(library: FileLibrary, voices: DeviceVoices):
    (library.folder.folder / "anna.pt").write_text("one")
    library.held["list"] = threading.Event()
    listing = asyncio.create_task(voices.list())
    async with asyncio.timeout(20):
        assert content(await voices.get("anna", 0.5)) == "one at 0.5"
        assert content(await voices.get("default", 0.5)) == "built in at 0.5"
    assert not listing.done()
    library.held["list"].set()
    assert [voice.id for voice in await listing] == ["anna"]


async def test_a_clip_that_is_enrolled_delays_neither_the_list_nor_voices_that_are_ready(
    library: FileLibrary, voices: DeviceVoices
):
    for name in ("anna", "otto"):
        (library.folder.folder / f"{name}.pt").write_text(name)
    await voices.get("anna", 0.5)
    library.held["load"] = threading.Event()
    coming = asyncio.create_task(voices.get("otto", 0.5))
    async with asyncio.timeout(20):
        assert content(await voices.get("anna", 0.5)) == "anna at 0.5"
        assert len(await voices.list()) == 2
    assert not coming.done()
    library.held["load"].set()
    assert content(await coming) == "otto at 0.5"


async def test_after_it_is_closed_it_says_so(voices: DeviceVoices):
    voices.close()
    for asked in (voices.get("anna", 0.5), voices.get("default", 0.5), voices.list()):
        with pytest.raises(EngineClosed):
            await asked
