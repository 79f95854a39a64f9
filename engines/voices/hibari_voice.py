"""The embedded voice: hibari, English, 24 kHz, a hundred times faster than speech on one CPU core."""

from collections.abc import AsyncIterable, AsyncIterator

import numpy as np
from hibari import Hibari
from hibari.voices import VOICES

from engines.errors import EngineRefused, WeightsError
from engines.owner import ModelOwner
from engines.protocol import DEFAULT_SPEECH, Mark, SpeechChunk, SpeechOptions, Voice
from engines.voices.silence import trim_leading_silence
from engines.weights import HIBARI_HEART, verified

SAMPLE_RATE = 24_000
MAX_CHARS = 1_000
"""Longest sentence that is spoken as one; a longer one is a fault of the text, and is cut at a space."""


class HibariEngine:
    """Text to speech with hibari, for all calls of this process. Implements `engines.protocol.TextToSpeech`."""

    sample_rate = SAMPLE_RATE

    def __init__(self, voice: str = "heart", *, speed: float = 1.0, threads: int = 1, max_queue: int = 32):
        """Load the voice; takes about a second and is not for the event loop.

        Args:
            voice: One of hibari's voices. `heart` is packaged, the others are downloaded by its library.
            speed: 0.5 (slow) to 2 (fast).
            threads: CPU threads of one synthesis.
            max_queue: Sentences that may wait or run; one more is refused with `EngineBusy`.

        Raises:
            WeightsError: The voice is unknown, cannot be had, or is damaged.
        """
        self.name = f"hibari {voice}"
        self._voice = voice
        self._speed = speed
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
        """See `engines.protocol.TextToSpeech.synthesize`. Gives one chunk a sentence."""
        if options.voice not in (None, self._voice):
            raise EngineRefused(f"voice {options.voice!r} is not loaded; this engine speaks as {self._voice!r}")
        spoken = 0
        async for piece in text:
            for sentence in _sentences(piece):
                pcm = await self._owner.run(lambda sentence=sentence: self._speak(sentence))
                samples = len(pcm) // 2
                if samples:
                    yield SpeechChunk(pcm, (Mark(sentence, spoken, spoken + samples),))
                spoken += samples

    async def warm_up(self) -> None:
        """Run the model once, so that the first caller does not pay for its first run."""
        await self._owner.run(lambda: self._speak("Good morning, how are you?"))

    async def close(self) -> None:
        """See `engines.protocol.TextToSpeech.close`."""
        await self._owner.close()

    def _speak(self, sentence: str) -> bytes:
        audio = trim_leading_silence(self._model(sentence, speed=self._speed), SAMPLE_RATE)
        return (np.clip(audio, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()


def _sentences(text: str) -> list[str]:
    sentences: list[str] = []
    for sentence in Hibari.split_sentences(text):
        if not any(character.isalnum() for character in sentence):
            continue  # The model makes a sound even of bare punctuation.
        while len(sentence) > MAX_CHARS:
            cut = sentence.rfind(" ", 1, MAX_CHARS)
            cut = cut if cut > 0 else MAX_CHARS
            sentences.append(sentence[:cut])
            sentence = sentence[cut:].strip()
        sentences.append(sentence)
    return sentences
