"""The voices that an engine can speak with: the model's own and those of a folder; and a cache of voices in use."""

from collections import OrderedDict
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from engines.chatterbox.voice_folder import BUILT_IN, VoiceFile, VoiceFolder
from engines.protocol import Voice

if TYPE_CHECKING:
    from engines.chatterbox.loading import Loaded


class VoiceLibrary:
    """Voices by name. Reads files: not for the event loop. Only `load` is not for two threads at once."""

    def __init__(self, folder: Path, loaded: "Loaded"):
        """
        Args:
            folder: See `engines.chatterbox.voice_folder`; it need not be there.
            loaded: The model. Only what listens to recordings is kept of it.
        """
        from engines.chatterbox.enrolment import Enroller

        self._folder = VoiceFolder(folder)
        self._enroller = Enroller(loaded)
        self._built_in = loaded.conditionals

    def list(self) -> list[Voice]:
        """What there is, the model's own voice first."""
        return [Voice(BUILT_IN, "comes with Chatterbox"), *(_described(voice) for voice in self._folder.voices())]

    def identity(self, voice: str) -> Hashable:
        """Of the file that a voice is read from: another one where it was replaced.

        Raises:
            EngineRefused: There is no such voice.
        """
        return None if voice == BUILT_IN else self._folder.get(voice).identity

    def load(self, voice: str) -> Any:
        """Upstream's `Conditionals` of a voice, on the CPU. A recording that is new takes seconds.

        Raises:
            EngineRefused: There is no such voice, or its clip cannot be used.
        """
        if voice == BUILT_IN:
            return self._built_in
        return self._enroller.enrol(self._folder.get(voice))


def _described(voice: VoiceFile) -> Voice:
    return Voice(voice.name, "prepared" if voice.is_prepared else f"cloned from {voice.path.name}")


class Sized(Protocol):
    """What knows how much memory it holds."""

    @property
    def nbytes(self) -> int:
        """Bytes."""
        ...


V = TypeVar("V", bound=Sized)


class VoiceCache(Generic[V]):
    """Values by key, up to a number of bytes; the one that was used longest ago goes first.

    Whoever speaks with a voice holds it: going from the cache takes it from nobody. Not for several threads.
    """

    def __init__(self, max_bytes: int):
        """
        Args:
            max_bytes: All values together. One that is larger by itself is not kept.
        """
        self._max_bytes = max_bytes
        self._values: OrderedDict[Hashable, V] = OrderedDict()
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable) -> V | None:
        """The value, which counts as used now; None where it is not there."""
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def put(self, key: Hashable, value: V) -> None:
        """Keep a value, in place of the key's last one; others may go."""
        self._drop(key)
        self._values[key] = value
        self.nbytes += value.nbytes
        while self.nbytes > self._max_bytes:
            self._drop(next(iter(self._values)))

    def _drop(self, key: Hashable) -> None:
        if (value := self._values.pop(key, None)) is not None:
            self.nbytes -= value.nbytes
