"""The embedded voice: hibari, English, 24 kHz, a hundred times faster than speech on one CPU core."""

from collections.abc import AsyncIterable, AsyncIterator

import numpy as np
from hibari import Hibari
from hibari.voices import VOICES

from engines.errors import EngineRefused, WeightsError
from engines.owner import ModelOwner
from engines.protocol import DEFAULT_SPEECH, SpeechChunk, SpeechOptions, Voice
from engines.speech import TrailingCut, trim_leading_silence
from engines.text import Sentence, SentenceAssembler, word_marks
from engines.weights import HIBARI_HEART, verified

SAMPLE_RATE = 24_000
MAX_CHARS = 400
"""Longest sentence that is spoken as one: nothing of it is heard before all of it is made."""

SPEEDS = (0.5, 2.0)


class HibariEngine:
    """Text to speech with hibari, for all calls of this process. Implements `engines.protocol.TextToSpeech`."""

    sample_rate = SAMPLE_RATE

    def __init__(
        self,
        voice: str = "heart",
        *,
        speed: float = 1.0,
        threads: int = 1,
        max_queue: int = 32,
        normalize_text: bool = True,
        trim_silence: bool = True,
    ):
        """Load the voice; takes about a second and is not for the event loop.

        Args:
            voice: One of hibari's voices. `heart` is packaged, the others are downloaded by its library.
            speed: 0.5 (slow) to 2 (fast).
            threads: CPU threads of one synthesis.
            max_queue: Sentences that may wait or run; one more is refused with `EngineBusy`.
            normalize_text: Whether numbers, symbols and markup are written out as words before they are spoken.
            trim_silence: Whether the silence around each sentence is cut to a natural pause.

        Raises:
            WeightsError: The voice is unknown, cannot be had, or is damaged.
        """
        self.name = f"hibari {voice}"
        self._voice = voice
        self._speed = speed
        self._normalize_text = normalize_text
        self._trim_silence = trim_silence
        try:
            path = str(verified(HIBARI_HEART)) if voice == "heart" else None
            self._model = Hibari(voice, model=path, threads=threads)
        except WeightsError:
            raise
        except Exception as error:
            known = ", ".join(VOICES)
            raise WeightsError(f"voice {voice!r} cannot be loaded: {error}; known voices: {known}") from error
        self._owner = ModelOwner("hibari", max_queue=max_queue)

    @property
    def problem(self) -> str | None:
        """See `engines.protocol.TextToSpeech.problem`."""
        return None

    async def voices(self) -> tuple[Voice, ...]:
        """See `engines.protocol.TextToSpeech.voices`."""
        return (Voice(self._voice, "hibari, made for 24 kHz English"),)

    async def synthesize(
        self, text: AsyncIterable[str], options: SpeechOptions = DEFAULT_SPEECH
    ) -> AsyncIterator[SpeechChunk]:
        """See `engines.protocol.TextToSpeech.synthesize`. Gives one chunk a sentence.

        Raises:
            EngineRefused: The voice is not this one, or the speed out of range.
        """
        if options.voice not in (None, self._voice):
            raise EngineRefused(f"voice {options.voice!r} is not loaded; this engine speaks as {self._voice!r}")
        speed = _speed(options.speed, self._speed)
        sentences = SentenceAssembler(MAX_CHARS, normalise=self._normalize_text, min_chars=0)
        spoken = 0
        async for piece in text:
            for sentence in sentences.push(piece) if piece else sentences.flush():
                chunk = await self._chunk(sentence, spoken, speed)
                spoken += len(chunk.pcm) // 2
                yield chunk
        for sentence in sentences.flush():
            chunk = await self._chunk(sentence, spoken, speed)
            spoken += len(chunk.pcm) // 2
            yield chunk

    async def warm_up(self) -> None:
        """Run the model once, so that the first caller does not pay for its first run."""
        await self._owner.run(lambda: self._speak("Good morning, how are you?", self._speed, 0.2))

    async def close(self) -> None:
        """See `engines.protocol.TextToSpeech.close`."""
        await self._owner.close()

    async def _chunk(self, sentence: Sentence, start: int, speed: float) -> SpeechChunk:
        pcm = await self._owner.run(lambda: self._speak(sentence.spoken, speed, sentence.pause_secs))
        return SpeechChunk(pcm, word_marks(sentence, start, len(pcm) // 2))

    def _speak(self, text: str, speed: float, pause_secs: float) -> bytes:
        audio = self._model(text, speed=speed)
        if self._trim_silence:
            audio = _trimmed(audio, pause_secs)
        return (np.clip(audio, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()


def _trimmed(audio: np.ndarray, pause_secs: float) -> np.ndarray:
    end = TrailingCut(SAMPLE_RATE, babble=False)
    return np.concatenate([end.push(trim_leading_silence(audio, SAMPLE_RATE)), end.finish(pause_secs)])


def _speed(asked: float | None, usual: float) -> float:
    if asked is None:
        return usual
    if not SPEEDS[0] <= asked <= SPEEDS[1]:
        raise EngineRefused(f"speed is {asked}; expected {SPEEDS[0]} to {SPEEDS[1]}")
    return asked
