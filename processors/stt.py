"""Pipecat's speech-to-text service over any engine that keeps `engines.protocol.SpeechToText`."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from loguru import logger
from pipecat.frames.frames import ErrorFrame, Frame, InputAudioRawFrame, TranscriptionFrame
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.settings import STTSettings
from pipecat.services.stt_service import SegmentedSTTService
from pipecat.transcriptions.language import Language
from pipecat.utils.time import time_now_iso8601

from engines.errors import EngineError
from engines.protocol import SpeechToText

MAX_SEGMENT_SECS = 28.0
"""Speech without a pause is transcribed in pieces of this length, just under Whisper's window."""

TRAILING_SILENCE_SECS = 0.1
"""The voice activity detector already left its own silence at the end of each segment."""

SAMPLE_WIDTH = 2


@dataclass
class EngineSTTSettings(STTSettings):
    """Settings that may change during a call: `language`."""


class EngineSTTService(SegmentedSTTService):
    """Transcribes what was said between two pauses, with an engine that all calls share.

    Takes `InputAudioRawFrame` (PCM16 mono at the engine's sample rate) and VAD frames, gives a final
    `TranscriptionFrame` for each segment with words in it. A segment that cannot be transcribed becomes an
    `ErrorFrame`; the call goes on.
    """

    Settings = EngineSTTSettings
    _settings: EngineSTTSettings

    def __init__(self, *, engine: SpeechToText, ttfs_p99_secs: float = 1.0, settings: EngineSTTSettings | None = None):
        """
        Args:
            engine: The shared engine.
            ttfs_p99_secs: Longest usual time from the end of speech to its transcript; a turn that has ended waits so
                long for its words.
            settings: Overrides the engine's language.
        """
        super().__init__(
            sample_rate=engine.sample_rate,
            ttfs_p99_latency=ttfs_p99_secs,
            trailing_silence_secs=TRAILING_SILENCE_SECS,
            settings=settings or EngineSTTSettings(model=engine.name, language=None),
        )
        self._engine = engine
        self._max_segment_bytes = int(MAX_SEGMENT_SECS * engine.sample_rate) * SAMPLE_WIDTH

    @property
    def wants_wav_segments(self) -> bool:
        """Segments come as bare PCM16."""
        return False

    def can_generate_metrics(self) -> bool:
        """Time to first byte and processing time are reported."""
        return True

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Transcribe one segment of PCM16 mono audio."""
        language = self._settings.language
        await self.start_processing_metrics()
        try:
            transcript = await self._engine.transcribe(audio, language=language if isinstance(language, str) else None)
        except EngineError as error:
            yield ErrorFrame(error=str(error), exception=error)
            return
        finally:
            await self.stop_processing_metrics()
        logger.debug(f"{self}: heard [{transcript.text}] in {transcript.compute_secs:.3f} s")
        if transcript.text:
            yield TranscriptionFrame(transcript.text, self._user_id, time_now_iso8601(), _language(transcript.language))

    async def process_audio_frame(self, frame: InputAudioRawFrame, direction: FrameDirection) -> None:
        """Keep the audio for the segment; without a pause, transcribe what has come before it grows too long."""
        if self._muted:
            self._audio_buffer.clear()
            return
        await super().process_audio_frame(frame, direction)
        if len(self._audio_buffer) >= self._max_segment_bytes:
            segment = bytes(self._audio_buffer)
            self._audio_buffer.clear()
            await self._segment_queue.put(segment)


def _language(code: str) -> Language | None:
    try:
        return Language(code)
    except ValueError:
        return None
