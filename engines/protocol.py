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
    """Where a word lies in the audio of one stream: samples `start` to `end` (exclusive).

    Attributes:
        text: The word as it was written, with the punctuation that clings to it; `$5` is a word although it is spoken
            as two. The texts of all marks of a stream, in order, are the words that were asked for.
        start: First sample, counted from the first one of the stream.
        end: First sample after it. Within a sentence the words are placed by their length, the sentence itself exactly.
    """

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class SpeechChunk:
    """A piece of speech: signed 16-bit little-endian mono PCM, and the marks of the words that begin in it."""

    pcm: bytes
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class SpeechOptions:
    """What one stream of speech asks for; None leaves it to the engine's own setting.

    An engine refuses a voice that it does not have; of the rest it takes what its model knows, and leaves the others.

    Attributes:
        voice: One of the engine's voices.
        speed: 0.5 (slow) to 2 (fast).
        temperature: Of the sampling; above 0.
        top_p: Only the likeliest tokens that make up so much are sampled from; 1 takes all.
        top_k: Only so many of the likeliest tokens are sampled from; 0 takes all.
        min_p: Only tokens at least so likely, relative to the likeliest, are sampled from; 0 takes all.
        repetition_penalty: 1 does not penalise what was already said.
        cfg_weight: Weight of classifier-free guidance, 0 to 1.
        exaggeration: Emotion, 0 to 2; 0.5 is the voice's own.
        seed: The same seed, text and voice give the same speech; None draws one.
        live: Whether somebody listens while it is made. One that nobody listens to yields to those, and is made as far
            ahead as there is room.
    """

    voice: str | None = None
    speed: float | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    cfg_weight: float | None = None
    exaggeration: float | None = None
    seed: int | None = None
    live: bool = True


DEFAULT_SPEECH = SpeechOptions()


@dataclass(frozen=True)
class Voice:
    """A voice that an engine can speak with.

    Attributes:
        id: What `SpeechOptions.voice` names.
        description: For people: where it comes from.
        language: Language code it was made for; None where it speaks several.
    """

    id: str
    description: str
    language: str | None = "en"


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

    @property
    def problem(self) -> str | None:
        """Why it cannot speak to anybody now, in a sentence; None where it can."""
        ...

    async def voices(self) -> tuple[Voice, ...]:
        """What can be spoken with, the default first.

        Raises:
            EngineError: It cannot be told now.
        """
        ...

    def synthesize(
        self, text: AsyncIterable[str], options: SpeechOptions = DEFAULT_SPEECH
    ) -> AsyncIterator[SpeechChunk]:
        """Speak the text as it comes.

        Args:
            text: Pieces of text as they are written, of any length: the engine puts the sentences together, and begins
                with the first that is complete. The end of the iterable completes the last. An empty piece says that
                nothing follows for now: what has come is spoken.
            options: What this stream asks for.

        Returns:
            An async generator of speech. Closing it cancels what has not been spoken and frees its place at once.

        Raises:
            EngineRefused: While iterating: an unknown voice, or an option out of range.
            EngineBusy: While iterating: the engine speaks to as many as it can.
            EngineError: While iterating: the text could not be spoken.
        """
        ...

    async def close(self) -> None:
        """Give the model back. What waits is refused with `EngineClosed`."""
        ...
