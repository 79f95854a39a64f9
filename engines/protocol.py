"""What an engine is, whether it runs in this process or behind a socket."""

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Transcript:
    """What was heard in one utterance.

    Attributes:
        text: The words, without space at either end; empty when there was no speech.
        language: Language code of the words, e.g. `en`.
        avg_logprob: Mean log-probability of the tokens, 0 at best.
        no_speech_prob: Probability, 0 to 1, that there was no speech.
        audio_secs: Length of the utterance.
        queue_secs: Time it waited before the model took it.
        compute_secs: Time the model took.
    """

    text: str
    language: str
    avg_logprob: float
    no_speech_prob: float
    audio_secs: float
    queue_secs: float
    compute_secs: float


class SpeechToText(Protocol):
    """Turns the PCM of one utterance into words."""

    @property
    def name(self) -> str:
        """Engine and model, for people."""
        ...

    @property
    def sample_rate(self) -> int:
        """Sample rate of the PCM it takes, in Hz."""
        ...

    async def transcribe(self, pcm: bytes, *, language: str | None = None) -> Transcript:
        """Transcribe one utterance.

        Args:
            pcm: Signed 16-bit little-endian mono samples at `sample_rate`.
            language: Overrides the engine's language for this utterance.

        Raises:
            EngineError: The utterance could not be transcribed. Cancelling the call drops work that has not begun.
        """
        ...

    async def close(self) -> None:
        """Give the model back. What waits is refused with `EngineClosed`."""
        ...


@dataclass(frozen=True)
class Mark:
    """Where a piece of text lies in the audio of one stream: samples `start` to `end` (exclusive)."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class SpeechChunk:
    """A piece of speech: signed 16-bit little-endian mono PCM, and the marks of the text that begins in it."""

    pcm: bytes
    marks: tuple[Mark, ...] = ()


class TextToSpeech(Protocol):
    """Turns a stream of text into a stream of speech."""

    @property
    def name(self) -> str:
        """Engine and voice, for people."""
        ...

    @property
    def sample_rate(self) -> int:
        """Sample rate of the PCM it gives, in Hz."""
        ...

    def synthesize(self, text: AsyncIterable[str], *, voice: str | None = None) -> AsyncIterator[SpeechChunk]:
        """Speak the text as it comes.

        Args:
            text: Pieces of text, each a sentence or more.
            voice: Overrides the engine's voice for this stream.

        Returns:
            An async generator of speech. Closing it cancels what has not been spoken and frees its place at once.

        Raises:
            EngineError: While iterating: the text could not be spoken.
        """
        ...

    async def close(self) -> None:
        """Give the model back. What waits is refused with `EngineClosed`."""
        ...
