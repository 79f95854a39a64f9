"""Where utterances begin and end, from the probabilities of speech of successive windows. Pure: no model, no clock."""

from dataclasses import dataclass

SHORT_PAUSE = 0.2
"""Part of `stop_secs` that ends an utterance which is about to become too long."""

HURRY_SHARE = 0.8
"""Share of `max_secs` after which a short pause is enough."""


@dataclass(frozen=True)
class EndpointingRules:
    """When speech counts; all times in seconds.

    Attributes:
        speech_threshold: Probability that begins speech.
        silence_threshold: Probability below which a window of speech is silent.
        start_secs: Speech lasts so long to count.
        stop_secs: Silence that ends an utterance.
        preroll_secs: Sound before the speech that goes with it.
        max_secs: Longest utterance, its preroll included; one that goes on is cut, and the next begins there.
        window_secs: Length of a window.
    """

    speech_threshold: float = 0.5
    silence_threshold: float = 0.35
    start_secs: float = 0.1
    stop_secs: float = 0.5
    preroll_secs: float = 0.3
    max_secs: float = 30.0
    window_secs: float = 0.032


@dataclass(frozen=True)
class SpeechStarted:
    """An utterance began. Seconds from the start of the stream.

    Attributes:
        at: When the speech began.
        audio_from: Where its audio begins.
    """

    at: float
    audio_from: float


@dataclass(frozen=True)
class SpeechStopped:
    """An utterance ended. Seconds from the start of the stream.

    Attributes:
        at: When the speech ended.
        audio_to: Where its audio ends.
        cut: Whether the speech goes on, in the next utterance.
    """

    at: float
    audio_to: float
    cut: bool = False


Event = SpeechStarted | SpeechStopped


class Endpointer:
    """Quiet, then speech for `start_secs`, then silence for `stop_secs`."""

    def __init__(self, rules: EndpointingRules):
        self._rules = rules
        self._windows = 0
        self._speech_from: float | None = None
        self._silence_from: float | None = None
        self._audio_from = 0.0
        self._audio_to = 0.0
        self.speaking = False

    @property
    def needed_from(self) -> float:
        """Sound before this may be forgotten, in seconds from the start of the stream."""
        if self.speaking:
            return self._audio_from
        began = self._now if self._speech_from is None else self._speech_from
        return self._with_preroll(began)

    @property
    def _now(self) -> float:
        return self._windows * self._rules.window_secs

    def update(self, probability: float) -> list[Event]:
        """Hear the next window."""
        began_at = self._now
        self._windows += 1
        return (
            self._while_speaking(probability, began_at) if self.speaking else self._while_quiet(probability, began_at)
        )

    def finish(self) -> list[Event]:
        """The stream has ended: so has the utterance."""
        return [self._stop(self._now, self._now)] if self.speaking else []

    def _while_quiet(self, probability: float, began_at: float) -> list[Event]:
        if probability < self._rules.speech_threshold:
            self._speech_from = None
            return []
        if self._speech_from is None:
            self._speech_from = began_at
        if self._now - self._speech_from < self._rules.start_secs:
            return []
        return [self._start(self._speech_from, self._with_preroll(self._speech_from))]

    def _while_speaking(self, probability: float, began_at: float) -> list[Event]:
        rules = self._rules
        if probability >= rules.silence_threshold:
            self._silence_from = None
        elif self._silence_from is None:
            self._silence_from = began_at
        silent_secs = 0.0 if self._silence_from is None else self._now - self._silence_from
        lasted = self._now - self._audio_from
        enough = rules.stop_secs * (SHORT_PAUSE if lasted > HURRY_SHARE * rules.max_secs else 1.0)
        if self._silence_from is not None and silent_secs >= enough:
            return [self._stop(self._silence_from, self._now)]
        if lasted + rules.window_secs > rules.max_secs:
            return [self._stop(self._now, self._now, cut=True), self._start(self._now, self._now)]
        return []

    def _with_preroll(self, at: float) -> float:
        return max(self._audio_to, at - self._rules.preroll_secs, 0.0)

    def _start(self, at: float, audio_from: float) -> SpeechStarted:
        self.speaking = True
        self._audio_from = audio_from
        self._speech_from = self._silence_from = None
        return SpeechStarted(at, audio_from)

    def _stop(self, at: float, audio_to: float, *, cut: bool = False) -> SpeechStopped:
        self.speaking = False
        self._audio_to = audio_to
        self._speech_from = self._silence_from = None
        return SpeechStopped(at, audio_to, cut)
