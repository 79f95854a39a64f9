"""A folder of voices: recordings (`NAME.wav`), prepared voices (`NAME.pt`), and what was made of recordings
(`NAME.turbo.pt`). Knows no model, and imports no torch.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engines.chatterbox.checkpoint import VARIANTS
from engines.chatterbox.clips import SUFFIXES, read_clip
from engines.errors import EngineRefused

BUILT_IN = "default"
"""The voice that comes with the model."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class VoiceFile:
    """One voice of the folder.

    Attributes:
        name: What streams ask for.
        path: The recording, or the prepared voice.
    """

    name: str
    path: Path

    @property
    def is_prepared(self) -> bool:
        """Whether it is upstream's `Conditionals`, and not a recording."""
        return self.path.suffix == ".pt"

    @property
    def identity(self) -> tuple[str, int, int, int]:
        """Another one means that the file may have been replaced; reads the folder, not the file.

        Raises:
            EngineRefused: It has gone meanwhile, or cannot be looked at.
        """
        try:
            status = self.path.stat()
        except OSError as error:
            raise EngineRefused(f"the voice {self.name!r} cannot be read: {error.strerror}") from None
        return self.path.name, status.st_ino, status.st_size, status.st_mtime_ns

    def enrolled(self, variant: str) -> Path:
        """Where what the model heard in the recording is kept."""
        return self.path.with_name(f"{self.name}.{variant}.pt")


class VoiceFolder:
    """The voices of a folder, by name. A folder that is not there has none."""

    def __init__(self, folder: Path):
        self.folder = folder

    def voices(self) -> list[VoiceFile]:
        """All of them, by name; files that are no voices are passed over. A prepared voice stands before a recording
        of its name, and of several recordings the first of WAV, FLAC, OGG and MP3.
        """
        if not self.folder.is_dir():
            return []
        names = {path.stem for path in self.folder.iterdir() if NAME.fullmatch(path.stem) and path.stem != BUILT_IN}
        found = (self._find(name) for name in sorted(names))
        return [voice for voice in found if voice is not None]

    def get(self, name: str) -> VoiceFile:
        """A voice by its name.

        Raises:
            EngineRefused: There is none, or the name is not one.
        """
        if NAME.fullmatch(name) and name != BUILT_IN and (voice := self._find(name)) is not None:
            return voice
        there = ", ".join([BUILT_IN, *(voice.name for voice in self.voices())])
        raise EngineRefused(f"there is no voice {name[:64]!r}; expected one of {there}")

    def add(self, clip: Path, name: str | None = None) -> VoiceFile:
        """Check a recording and copy it into the folder.

        Args:
            clip: See `engines.chatterbox.clips.read_clip`.
            name: Letters, digits, - and _; None takes it from the file.

        Raises:
            EngineRefused: The recording cannot be used, or the name is taken or is not one.
        """
        name = clip.stem if name is None else name
        if not NAME.fullmatch(name):
            raise EngineRefused(f"{name[:64]!r} is not the name of a voice; expected letters, digits, - and _ (--name)")
        if name == BUILT_IN or self._find(name) is not None:
            raise EngineRefused(f"there is a voice {name!r} already; remove it first, or choose another --name")
        read_clip(clip)
        voice = VoiceFile(name, self.folder / f"{name}{clip.suffix.lower()}")
        write_whole(voice.path, lambda path: shutil.copyfile(clip, path))
        return voice

    def remove(self, name: str) -> list[Path]:
        """Remove a voice and what was made of it.

        Returns:
            The files that are gone.

        Raises:
            EngineRefused: There is no such voice, or it comes with the model.
        """
        if name == BUILT_IN:
            raise EngineRefused(f"the voice {name!r} comes with the model and cannot be removed")
        self.get(name)
        endings = (*SUFFIXES, ".pt", *(f".{variant}.pt" for variant in VARIANTS))
        paths = [path for ending in endings if (path := self.folder / f"{name}{ending}").is_file()]
        for path in paths:
            path.unlink()
        return paths

    def _find(self, name: str) -> VoiceFile | None:
        for ending in (".pt", *SUFFIXES):
            if (path := self.folder / f"{name}{ending}").is_file():
                return VoiceFile(name, path)
        return None


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place and rename it there: nobody reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
