"""Pipecat's speech-to-text service over any engine that keeps `engines.protocol.SpeechToText`.

A segment is what lies between two pauses. Its transcription begins when the voice dips, well before the pause is
certain: if the speaker goes on, that work is dropped, otherwise its result is there when the pause is.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from itertools import count
from uuid import uuid4

import numpy as np
from loguru import logger
from pipecat.frames.frames import (
    CancelFrame,
    EagerEndOfTurnCancelFrame,
    EagerTranscriptionFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    STTMuteFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.settings import STTSettings
from pipecat.services.stt_service import SegmentedSTTService
from pipecat.transcriptions.language import Language
from pipecat.utils.time import time_now_iso8601
from pipecat.utils.types import NOT_GIVEN, NotGiven, is_given

from engines.agreement import LocalAgreement
from engines.errors import EngineError, EngineFailed, EngineOvertaken
from engines.protocol import SpeechToText, Transcript, TranscriptionOptions
from processors.frames import NothingHeardFrame
from processors.latency import BEGAN_AT

MAX_SEGMENT_SECS = 28.0
"""Speech without a pause is transcribed in pieces of this length, just under Whisper's window."""

CUT_SEARCH_SECS = 6.0
"""Such a piece ends at the quietest place of its last seconds; the rest begins the next one."""

TRAILING_SILENCE_SECS = 0.1
"""The voice activity detector already left its own silence at the end of each segment."""

MIN_PARTIAL_SECS = 0.6
"""Less speech than this makes no words worth showing."""

STALE_SECS = 6.0
"""A segment that has waited so long for those before it, since the engine was away, is answered no more."""

SAMPLE_WIDTH = 2


@dataclass
class EngineSTTSettings(STTSettings):
    """Settings that may change during a call.

    Attributes:
        language: Language code; `auto` detects it.
        prompt: Text that came before, for spelling and style.
        hotwords: Words to expect, e.g. names.
    """

    prompt: str | NotGiven | None = field(default_factory=lambda: NOT_GIVEN)
    hotwords: str | NotGiven | None = field(default_factory=lambda: NOT_GIVEN)


@dataclass
class _Handed:
    """What belongs to a segment that is queued."""

    stream: str
    early: "_Early | None"
    at: float


@dataclass
class _Early:
    """The transcription of a segment whose end is not certain yet; it was begun at a Unix time."""

    pcm: bytes
    task: asyncio.Task
    began_at: float
    is_told: bool = False
    """Whether its words went on as those of a turn that has probably ended."""


class EngineSTTService(SegmentedSTTService):
    """Transcribes what was said between two pauses, with an engine that all calls share.

    Takes `InputAudioRawFrame` (PCM16 mono at the engine's sample rate) and VAD frames, gives a final
    `TranscriptionFrame` for each segment with words in it and a `NothingHeardFrame` for each without,
    `InterimTranscriptionFrame` while the caller speaks, and `EagerTranscriptionFrame` where the words are there before
    the pause is certain (withdrawn with `EagerEndOfTurnCancelFrame`). A segment that cannot be transcribed becomes an
    `ErrorFrame`; the call goes on.
    """

    Settings = EngineSTTSettings
    _settings: EngineSTTSettings

    def __init__(
        self,
        *,
        engine: SpeechToText,
        ttfs_p99_secs: float = 1.0,
        early_secs: float | None = None,
        partial_secs: float | None = None,
        settings: EngineSTTSettings | None = None,
    ):
        """
        Args:
            engine: The shared engine.
            ttfs_p99_secs: Longest usual time from the end of speech to its transcript; a turn that has ended waits so
                long for its words.
            early_secs: Transcription begins when the voice has been down for so long, if `pause_began` is called;
                None waits for the pause.
            partial_secs: While the caller speaks, what has come is transcribed so often, if the engine has room; None
                never does.
            settings: Overrides the engine's own.
        """
        super().__init__(
            sample_rate=engine.sample_rate,
            ttfs_p99_latency=ttfs_p99_secs,
            trailing_silence_secs=TRAILING_SILENCE_SECS,
            settings=settings or EngineSTTSettings(model=engine.name, language=None, prompt=None, hotwords=None),
        )
        self._engine = engine
        self._max_segment_bytes = int(MAX_SEGMENT_SECS * engine.sample_rate) * SAMPLE_WIDTH
        self._early_secs = early_secs
        self._early: _Early | None = None
        self._handed: deque[_Handed] = deque()
        self._transcribing = False
        self._failed = False
        self._dip: asyncio.TimerHandle | None = None
        self._partial_bytes = int(partial_secs * engine.sample_rate) * SAMPLE_WIDTH if partial_secs else None
        self._min_partial_bytes = int(MIN_PARTIAL_SECS * engine.sample_rate) * SAMPLE_WIDTH
        self._partial: asyncio.Task | None = None
        self._heard_bytes = 0
        self._agreement = LocalAgreement()
        self._call_stream = uuid4().hex
        self._segments = count(1)
        self._stream = self._next_stream()

    @property
    def is_transcribing(self) -> bool:
        """Whether words of speech that has ended are still to come."""
        return bool(self._handed) or self._transcribing

    @property
    def is_behind(self) -> bool:
        """Whether speech is still being transcribed, or the last of it could not be."""
        return self.is_transcribing or self._failed

    @property
    def wants_wav_segments(self) -> bool:
        """Segments come as bare PCM16."""
        return False

    def can_generate_metrics(self) -> bool:
        """Time to first byte and processing time are reported."""
        return True

    def pause_began(self) -> None:
        """The voice has just gone down; it may be the end of the segment."""
        if self._early_secs is not None and self._user_speaking and not self._muted and self._dip is None:
            self._dip = asyncio.get_running_loop().call_later(self._early_secs, self._begin_early)

    def speech_resumed(self) -> None:
        """The voice is back before the pause was certain: what was begun is dropped."""
        self._forget_dip()
        self._drop_early()

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Transcribe one segment of PCM16 mono audio."""
        await self.start_processing_metrics()
        self._transcribing = self._failed = True
        try:
            transcript, began_at = await self._final(audio)
            self._failed = False
        except EngineError as error:
            # The text goes to the caller's side, too: addresses and causes are for the log, with the exception.
            yield ErrorFrame(error="The speech could not be transcribed.", exception=error)
            yield NothingHeardFrame()
            return
        finally:
            self._transcribing = False
            await self.stop_processing_metrics()
        logger.debug(f"{self}: heard [{transcript.text}] in {transcript.compute_secs:.3f} s ({transcript.gate})")
        if transcript.text:
            frame = TranscriptionFrame(
                transcript.text, self._user_id, time_now_iso8601(), _language(transcript.language), result=transcript
            )
            frame.metadata[BEGAN_AT] = began_at
            yield frame
        else:
            yield NothingHeardFrame()

    async def process_audio_frame(self, frame: InputAudioRawFrame, direction: FrameDirection) -> None:
        """Keep the audio for the segment; without a pause, transcribe what has come before it grows too long."""
        if self._muted:
            self._forget_segment()
            return
        await super().process_audio_frame(frame, direction)
        if not self._user_speaking:
            return
        self._heard_bytes += len(frame.audio)
        if len(self._audio_buffer) >= self._max_segment_bytes:
            await self._cut_segment()
        elif self._partial_bytes and self._heard_bytes >= self._partial_bytes:
            self._heard_bytes = 0
            self._begin_partial()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Process frames; a muted caller's segment is forgotten."""
        await super().process_frame(frame, direction)
        if isinstance(frame, STTMuteFrame) and frame.mute:
            self._forget_segment()

    async def stop(self, frame: EndFrame) -> None:
        """Transcribe what is queued, then stop."""
        self._forget_work()
        await super().stop(frame)

    async def cancel(self, frame: CancelFrame) -> None:
        """Stop at once."""
        self._forget_work()
        self._forget_queue()
        await super().cancel(frame)

    async def cleanup(self) -> None:
        """Drop what still runs for this call."""
        self._forget_work()
        self._forget_queue()
        await super().cleanup()

    async def _handle_user_started_speaking(self, frame: VADUserStartedSpeakingFrame) -> None:
        await super()._handle_user_started_speaking(frame)
        self._heard_bytes = 0

    async def _handle_user_stopped_speaking(self, frame: VADUserStoppedSpeakingFrame) -> None:
        self._forget_dip()
        self._drop_partial()
        if self._early is not None:
            # What followed was the silence that made the pause certain: the same audio is asked for as a final.
            self._audio_buffer[:] = self._early.pcm[: len(self._early.pcm) - len(self._trailing_silence())]
        if self._muted:
            self._user_speaking = False
            self._forget_segment()
            return
        if self.is_usable:
            self._hand_over()
        await super()._handle_user_stopped_speaking(frame)

    def _hand_over(self) -> None:
        """The segment's end is certain: what follows is another."""
        self._handed.append(_Handed(self._stream, self._early, asyncio.get_running_loop().time()))
        self._early = None
        self._stream = self._next_stream()
        self._agreement = LocalAgreement()

    # Early transcription.

    def _begin_early(self) -> None:
        self._dip = None
        if not self._user_speaking or self._muted or not self._audio_buffer:
            return
        self._drop_partial()
        pcm = bytes(self._audio_buffer) + self._trailing_silence()
        self._early = _Early(pcm, self.create_task(self._guess(pcm, self._stream), "early transcription"), time.time())

    async def _guess(self, pcm: bytes, stream: str) -> Transcript | None:
        """Transcribe before the end is certain; failing now is no fault, since the final is asked for again."""
        try:
            transcript = await self._engine.transcribe(pcm, self._options(stream, partial=True))
        except EngineError:
            return None
        if transcript.text and self._early is not None and self._early.pcm is pcm:
            self._early.is_told = True
            await self.push_frame(
                EagerTranscriptionFrame(
                    transcript.text, self._user_id, time_now_iso8601(), _language(transcript.language), transcript
                )
            )
        return transcript

    async def _final(self, pcm: bytes) -> tuple[Transcript, float]:
        """The segment's transcript, and the Unix time at which the work on it was begun."""
        now = asyncio.get_running_loop().time()
        handed = self._handed.popleft() if self._handed else _Handed(self._next_stream(), None, now)
        options, early = self._options(handed.stream, partial=False), handed.early
        try:
            done = early and early.task.done() and not early.task.cancelled()
            if early and done and (transcript := early.task.result()) is not None:
                return transcript, early.began_at
            began_at = early.began_at if early and not done else time.time()
            if now - handed.at > STALE_SECS:
                raise EngineFailed(f"speech of {now - handed.at:.0f} s ago is no longer transcribed")
            # The engine joins it with the one that waits or runs, and makes it a final.
            return await self._engine.transcribe(pcm, options), began_at
        finally:
            if early:
                early.task.cancel()

    # Partial transcripts.

    def _begin_partial(self) -> None:
        busy = self._partial is not None and not self._partial.done()
        if busy or self._early or not self._engine.has_room or len(self._audio_buffer) < self._min_partial_bytes:
            return
        pcm = bytes(self._audio_buffer) + self._trailing_silence()
        self._partial = self.create_task(self._show_partial(pcm), "partial transcription")

    async def _show_partial(self, pcm: bytes) -> None:
        try:
            transcript = await self._engine.transcribe(pcm, self._options(self._stream, partial=True))
        except EngineOvertaken:
            return
        except EngineError as error:
            logger.debug(f"{self}: no partial transcript: {error}")
            return
        if not transcript.text:
            return
        stable, unstable = self._agreement.update(transcript.text)
        text = " ".join(part for part in (stable, unstable) if part)
        await self.push_frame(
            InterimTranscriptionFrame(text, self._user_id, time_now_iso8601(), _language(transcript.language))
        )

    # Housekeeping.

    async def _cut_segment(self) -> None:
        """End the segment at the quietest place of its last seconds, and keep the rest."""
        self.speech_resumed()
        self._drop_partial()
        end = _quietest(bytes(self._audio_buffer), self._engine.sample_rate)
        segment = bytes(self._audio_buffer[:end])
        del self._audio_buffer[:end]
        self._hand_over()
        await self._segment_queue.put(segment)

    def _options(self, stream: str, *, partial: bool) -> TranscriptionOptions:
        settings = self._settings
        return TranscriptionOptions(
            language=_text(settings.language),
            prompt=_text(settings.prompt),
            hotwords=_text(settings.hotwords),
            partial=partial,
            stream=stream,
        )

    def _next_stream(self) -> str:
        return f"{self._call_stream}-{next(self._segments)}"

    def _forget_segment(self) -> None:
        self._audio_buffer.clear()
        self._agreement = LocalAgreement()
        self._forget_work()

    def _forget_work(self) -> None:
        self._forget_dip()
        self._drop_early()
        self._drop_partial()

    def _forget_queue(self) -> None:
        """The call ends: nobody will take what was begun for the segments that are queued."""
        for handed in self._handed:
            if handed.early is not None:
                handed.early.task.cancel()
        self._handed.clear()

    def _forget_dip(self) -> None:
        if self._dip is not None:
            self._dip.cancel()
            self._dip = None

    def _drop_early(self) -> None:
        early, self._early = self._early, None
        if early is None:
            return
        early.task.cancel()
        if early.is_told:
            self.create_task(self.push_frame(EagerEndOfTurnCancelFrame()), "withdrawing early words")

    def _drop_partial(self) -> None:
        if self._partial is not None:
            self._partial.cancel()
            self._partial = None


def _quietest(pcm: bytes, sample_rate: int) -> int:
    """Where to cut, in bytes: the middle of the quietest tenth of a second in the last seconds."""
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32)
    width = sample_rate // 10
    first = max(0, len(samples) - int(CUT_SEARCH_SECS * sample_rate))
    tail = samples[first:]
    energy = np.convolve(np.square(tail), np.ones(width), mode="valid")
    return (first + int(np.argmin(energy)) + width // 2) * SAMPLE_WIDTH


def _text(value: object) -> str | None:
    return value if is_given(value) and isinstance(value, str) and value else None


def _language(code: str) -> Language | None:
    try:
        return Language(code)
    except ValueError:
        return None
