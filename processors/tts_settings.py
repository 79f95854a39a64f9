"""What may be changed about the voice during a call."""

from dataclasses import dataclass, field, fields
from typing import Any

from pipecat.services.settings import TTSSettings
from pipecat.utils.types import NOT_GIVEN, NotGiven

from engines.protocol import SpeechOptions

OPTIONS = tuple(option.name for option in fields(SpeechOptions) if option.name != "live")


def _unset() -> NotGiven:
    return NOT_GIVEN


@dataclass
class EngineTTSSettings(TTSSettings):
    """Settings that may change during a call, beside `voice`: they hold from the next answer on.

    See `engines.protocol.SpeechOptions`. None leaves a setting to the engine.
    """

    speed: float | NotGiven | None = field(default_factory=_unset)
    temperature: float | NotGiven | None = field(default_factory=_unset)
    top_p: float | NotGiven | None = field(default_factory=_unset)
    top_k: int | NotGiven | None = field(default_factory=_unset)
    min_p: float | NotGiven | None = field(default_factory=_unset)
    repetition_penalty: float | NotGiven | None = field(default_factory=_unset)
    cfg_weight: float | NotGiven | None = field(default_factory=_unset)
    exaggeration: float | NotGiven | None = field(default_factory=_unset)
    seed: int | NotGiven | None = field(default_factory=_unset)

    def options(self) -> SpeechOptions:
        """What a stream of speech asks for under these settings."""
        given = self.given_fields()
        return SpeechOptions(**{name: given[name] for name in OPTIONS if name in given})

    def completed(self, model: str) -> "EngineTTSSettings":
        """The same with every setting given that was not: None, and the engine's name as the model."""
        nothing: dict[str, Any] = dict.fromkeys(OPTIONS)
        complete = EngineTTSSettings(model=model, language=None, **nothing)
        complete.apply_update(self)
        return complete
