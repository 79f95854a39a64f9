"""Pipecat's text-to-speech service over any engine that keeps `engines.protocol.TextToSpeech`."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from pipecat.frames.frames import ErrorFrame, Frame, TTSAudioRawFrame
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TextAggregationMode, TTSService
from pipecat.utils.text.transforms import strip_markdown

from engines.errors import EngineError
from engines.protocol import SpeechOptions, TextToSpeech

STOP_SECS = 30.0
"""How long the engine may let a sentence wait before Pipecat takes the answer for ended. Each answer's end is told, so
this matters only for an engine that is out of order."""


@dataclass
class EngineTTSSettings(TTSSettings):
    """Settings that may change during a call: `voice`."""


class EngineTTSService(TTSService):
    """Speaks the brain's words sentence by sentence, with an engine that all calls share.

    Gives `TTSAudioRawFrame` (PCM16 mono at the engine's sample rate). A sentence that cannot be spoken becomes an
    `ErrorFrame`; the call goes on. An interruption closes the engine's stream, which frees its place at once.
    """

    Settings = EngineTTSSettings
    _settings: EngineTTSSettings

    def __init__(self, *, engine: TextToSpeech, settings: EngineTTSSettings | None = None):
        """
        Args:
            engine: The shared engine.
            settings: Overrides the engine's voice.
        """
        super().__init__(
            sample_rate=engine.sample_rate,
            push_start_frame=True,
            push_stop_frames=True,
            text_aggregation_mode=TextAggregationMode.SENTENCE,
            text_transforms=[("*", strip_markdown)],
            stop_frame_timeout_s=STOP_SECS,
            # One sentence of symbols alone is silent by right; the engine raises when it is really out of order.
            max_consecutive_zero_audio_contexts=0,
            settings=settings or EngineTTSSettings(model=engine.name, voice=None, language=None),
        )
        self._engine = engine

    def can_generate_metrics(self) -> bool:
        """Time to first byte and the characters spoken are reported."""
        return True

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Speak one sentence."""
        voice = self._settings.voice
        await self.start_tts_usage_metrics(text)
        stream = self._engine.synthesize(_once(text), SpeechOptions(voice=voice if isinstance(voice, str) else None))
        try:
            async with aclosing(stream) as chunks:  # pyright: ignore[reportArgumentType]
                async for chunk in chunks:
                    yield TTSAudioRawFrame(chunk.pcm, self.sample_rate, 1, context_id=context_id)
        except EngineError as error:
            yield ErrorFrame(error=str(error), exception=error)

    async def flush_audio(self, context_id: str | None = None) -> None:
        """End an answer that had no sound, so that the next need not wait for it."""
        await self.remove_audio_context(context_id)


async def _once(text: str) -> AsyncIterator[str]:
    yield text
