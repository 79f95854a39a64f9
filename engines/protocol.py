"""What an engine is, whether it runs in this process or behind a socket."""

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Word:
    """One word and where it lies: seconds from the beginning of the utterance, and its probability, 0 to 1."""

    text: str
    start: float
    end: float
    probability: float


@dataclass(frozen=True)
class Segment:
    """A stretch of the utterance that was decoded together: seconds from its beginning, and how sure the model was."""

    text: str
    start: float
    end: float
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    temperature: float = 0.0
    tokens: tuple[int, ...] = ()


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
        compute_secs: Time the model took, together with what shared its batch.
        language_probability: How sure the model was of the language; 1 where it was given.
        segments: The stretches of the utterance; more than one where it was long or where timestamps were asked for.
        words: The words with their times, where they were asked for.
        gate: Why there are no words in it, where a gate removed them: `silence`, `no_speech`, `loop` or `phantom`.
        batch_size: Utterances that went through the model together, this one included.
        passes: How often it went through the model; more than one where the first result was doubtful.
        features_secs: Part of `compute_secs`, or before it, spent on the spectrogram.
        encode_secs: Part of `compute_secs` in the encoder.
        decode_secs: Part of `compute_secs` in the decoder.
    """

    text: str
    language: str
    avg_logprob: float
    no_speech_prob: float
    audio_secs: float
    queue_secs: float
    compute_secs: float
    language_probability: float = 1.0
    segments: tuple[Segment, ...] = ()
    words: tuple[Word, ...] = ()
    gate: str | None = None
    batch_size: int = 1
    passes: int = 1
    features_secs: float = 0.0
    encode_secs: float = 0.0
    decode_secs: float = 0.0


@dataclass(frozen=True)
class TranscriptionOptions:
    """What one utterance asks for; None leaves it to the engine's own setting.

    Attributes:
        language: Language code; `auto` detects it (multilingual models).
        prompt: Text that came before, for spelling and style.
        hotwords: Words to expect, e.g. names.
        beam_size: 1 is greedy.
        temperatures: Tried in this order until a result is not doubtful; `(0.0,)` never falls back.
        timestamps: Whether segments are wanted with their own times.
        word_timestamps: Whether words are wanted with their times.
        partial: Whether the speaker is still speaking: it yields to finals, and is dropped when it was overtaken.
        stream: Whose utterance it is. A newer request of the same stream overtakes a partial that still waits; the same
            audio asked for again, this time not as a partial, takes over the one that waits or runs.
    """

    language: str | None = None
    prompt: str | None = None
    hotwords: str | None = None
    beam_size: int | None = None
    temperatures: tuple[float, ...] | None = None
    timestamps: bool = False
    word_timestamps: bool = False
    partial: bool = False
    stream: str | None = None


DEFAULT_OPTIONS = TranscriptionOptions()


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

    @property
    def has_room(self) -> bool:
        """Whether nothing waits, so that a partial would hold up nobody."""
        ...

    @property
    def problem(self) -> str | None:
        """Why it cannot hear anybody now, in a sentence; None where it can."""
        ...

    async def transcribe(self, pcm: bytes, options: TranscriptionOptions = DEFAULT_OPTIONS) -> Transcript:
        """Transcribe one utterance.

        Args:
            pcm: Signed 16-bit little-endian mono samples at `sample_rate`.
            options: What this utterance asks for.

        Raises:
            EngineOvertaken: A partial was overtaken before its turn came.
            EngineBusy: The queue is full.
            EngineRefused: The options or the audio are not what this engine takes.
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
