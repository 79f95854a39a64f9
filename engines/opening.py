"""Opens the voice engine of a name, and loads only the libraries that it needs."""

from typing import Any

from engines.errors import EngineRefused, WeightsError
from engines.protocol import SpeechOptions, TextToSpeech

ENGINES = ("hibari", "chatterbox")


def open_voice(engine: str, **arguments: Any) -> TextToSpeech:
    """Load a voice engine; takes seconds to minutes and is not for the event loop.

    Args:
        engine: One of `ENGINES`.
        arguments: Of its constructor, as plain data: `hygiene` and `sampling` of Chatterbox as mappings.

    Raises:
        EngineRefused: There is no such engine, or an argument is out of range.
        WeightsError: The model cannot be found, is damaged, cannot be loaded, or its libraries are not installed.
    """
    if engine == "hibari":
        from engines.voices import HibariEngine

        return HibariEngine(**arguments)
    if engine == "chatterbox":
        try:
            from engines.chatterbox.engine import ChatterboxEngine, Hygiene
        except ImportError as error:
            mend = "expected its packages, which `make install-gpu` installs"
            raise WeightsError(f"Chatterbox cannot be loaded: {error}; {mend}") from error
        hygiene, sampling = Hygiene(**arguments.pop("hygiene", {})), SpeechOptions(**arguments.pop("sampling", {}))
        return ChatterboxEngine(**arguments, hygiene=hygiene, sampling=sampling)
    raise EngineRefused(f"voice engine {engine!r} is not known; expected {' or '.join(ENGINES)}")
