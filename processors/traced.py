"""The ears and the voice with Pipecat's spans around what they do. Only a call that is traced is built of these."""

from collections.abc import AsyncGenerator

from pipecat.frames.frames import Frame
from pipecat.utils.tracing.service_decorators import traced_stt, traced_tts

from processors.stt import EngineSTTService
from processors.tts import EngineTTSService


class TracedEngineSTTService(EngineSTTService):
    """A span for each segment, from its first sound to its transcript."""

    @traced_stt
    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Transcribe one segment of PCM16 mono audio."""
        async for frame in super().run_stt(audio):
            yield frame


class TracedEngineTTSService(EngineTTSService):
    """A span for each answer, from its first sentence to its last sound."""

    @traced_tts
    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Give the answer's next sentence to the engine; its sound comes on its own."""
        async for frame in super().run_tts(text, context_id):
            yield frame
