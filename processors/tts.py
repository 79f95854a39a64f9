"""Pipecat's text-to-speech service over any engine that keeps `engines.protocol.TextToSpeech`."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field

from pipecat.frames.frames import (
    AggregatedTextFrame,
    CancelFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    InterruptionFrame,
    SystemFrame,
    TTSAudioRawFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.tts_service import TextAggregationMode, TTSService
from pipecat.utils.text.transforms import strip_markdown

from engines.errors import EngineError, EngineFailed
from engines.protocol import Mark, SpeechChunk, TextToSpeech
from processors.playout import Playout
from processors.speech_stream import SpeechStream
from processors.tts_settings import EngineTTSSettings

STOP_SECS = 30.0
"""How long the brain may pause in the middle of an answer before Pipecat takes the answer for ended."""

SOUND_SECS = 10.0
"""Longest wait for the first sound of an answer."""

MAX_AHEAD_SECS = 20.0
"""Sound that is kept for a listener; an engine that is further ahead is not asked for more until some was played."""

PIECE_SECS = 0.5
"""Longest piece of sound that is handed on at once."""

LEAST_PIECE_SECS = 0.08
"""Words that end closer together than this are told together."""

CLOSE_SECS = 1.0
"""How long an interruption waits for an engine to close its stream."""


@dataclass(eq=False)
class _Answer:
    """An answer that is being spoken.

    Attributes:
        speech: Its stream of the engine.
        task: What hands the stream's sound on.
        samples: Sound handed on to Pipecat, in samples.
        waiting_secs: The part of it that Pipecat holds back behind the answer before it.
        unheard: Marks of words that end in sound yet to come.
        failed: Whether the engine gave up: the rest of the answer stays unspoken.
    """

    speech: SpeechStream
    task: asyncio.Task[None] | None = None
    samples: int = 0
    waiting_secs: float = 0.0
    unheard: deque[Mark] = field(default_factory=deque)
    failed: bool = False


class EngineTTSService(TTSService):
    """Speaks the brain's words sentence by sentence, with an engine that all calls share.

    Each answer (and each `TTSSpeakFrame`) is one stream of the engine, which is given every sentence as soon as it is
    written, and so makes the next one while the last is played. Gives `TTSAudioRawFrame` (PCM16 mono at the engine's
    sample rate), and each word when it has been heard: an interrupted answer stands in the conversation as far as it
    was heard. An interruption closes the engine's stream, which frees its place at once.

    What the engine cannot speak becomes an `ErrorFrame`; the rest of that answer is left out, and the call goes on.
    """

    Settings = EngineTTSSettings
    _settings: EngineTTSSettings

    def __init__(
        self,
        *,
        engine: TextToSpeech,
        settings: EngineTTSSettings | None = None,
        timeout_secs: float = SOUND_SECS,
        on_sound: Callable[[], None] = lambda: None,
    ):
        """
        Args:
            engine: The shared engine.
            settings: Overrides the engine's own voice and manner.
            timeout_secs: Longest wait for the first sound of an answer, and for the rest once its text is complete.
            on_sound: Called before each piece of sound leaves for the transport.
        """
        super().__init__(
            sample_rate=engine.sample_rate,
            push_start_frame=True,
            push_stop_frames=True,
            push_text_frames=False,
            text_aggregation_mode=TextAggregationMode.SENTENCE,
            text_transforms=[("*", strip_markdown)],
            stop_frame_timeout_s=STOP_SECS,
            # An answer of symbols alone is silent by right; the engine raises when it is really out of order.
            max_consecutive_zero_audio_contexts=0,
            settings=(settings or EngineTTSSettings()).completed(engine.name),
        )
        self._engine = engine
        self._timeout_secs = timeout_secs
        self._on_sound = on_sound
        self._answers: dict[str, _Answer] = {}
        self._mouth = asyncio.Lock()
        self._playout = Playout()

    def can_generate_metrics(self) -> bool:
        """Time to first byte and the characters spoken are reported."""
        return True

    @property
    def supports_processing_metrics(self) -> bool:
        """No: the sound comes after `run_tts` has returned."""
        return False

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Give the answer's next sentence to the engine; its sound comes on its own."""
        answer = self._answers.get(context_id) or self._begin(context_id)
        if not answer.failed:
            await self.start_tts_usage_metrics(text)
            await answer.speech.say(text)
        yield None

    async def flush_audio(self, context_id: str | None = None) -> None:
        """The answer's text is complete."""
        if answer := self._answers.get(context_id or ""):
            answer.speech.end()
        else:
            await self.remove_audio_context(context_id)

    async def on_audio_context_interrupted(self, context_id: str) -> None:
        """The caller interrupts this answer. The transport is not kept waiting for the engine to close its stream."""
        answer = self._answers.pop(context_id, None)
        if answer is not None and answer.task is not None:
            self.create_task(self.cancel_task(answer.task, CLOSE_SECS), name="closing")
        await self.stop_all_metrics()

    async def on_audio_context_completed(self, context_id: str) -> None:
        """All sound of this answer has left, or nothing came for `STOP_SECS`."""
        await self._close(context_id)

    async def stop(self, frame: EndFrame) -> None:
        """Speak what has been given, and no more."""
        for answer in self._answers.values():
            answer.speech.end()
        await super().stop(frame)

    async def cancel(self, frame: CancelFrame) -> None:
        """Stop at once."""
        await self._close_all()
        await super().cancel(frame)

    async def cleanup(self) -> None:
        """Leave no stream open."""
        await self._close_all()
        await super().cleanup()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """As Pipecat's; an interruption also silences what the transport was to play."""
        await super().process_frame(frame, direction)
        if isinstance(frame, InterruptionFrame):
            self._playout.silence()

    async def push_frame(self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        """As Pipecat's, but what is told of a word follows the sound of it, and sound that leaves is timed.

        Pipecat has such frames told at a time, which would pass while the sound is held.
        """
        if direction is FrameDirection.DOWNSTREAM and not isinstance(frame, SystemFrame):
            frame.pts = None
        if isinstance(frame, TTSAudioRawFrame):
            self._on_sound()
        await super().push_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            secs = frame.num_frames / frame.sample_rate
            self._playout.sound(secs, self.get_clock().get_time(), interruptible=frame.interruptible)
            if answer := self._answers.get(frame.context_id or ""):
                answer.waiting_secs -= secs

    def _stamp_segment_announcement(self, frame: AggregatedTextFrame) -> None:
        """A sentence is announced in its place before its sound, too."""

    def _begin(self, context_id: str) -> _Answer:
        answer = _Answer(
            SpeechStream(
                self._engine,
                self._settings.options(),
                timeout_secs=self._timeout_secs,
                ahead_secs=lambda: self._ahead_secs(answer),
            )
        )
        self._answers[context_id] = answer
        answer.task = self.create_task(self._speak(context_id, answer), name="answer")
        return answer

    async def _speak(self, context_id: str, answer: _Answer) -> None:
        """Hand the answer's sound on as the engine gives it, to the end."""
        try:
            # The next answer could not be heard before this one ends, so a call needs no second place at the engine.
            async with self._mouth, aclosing(answer.speech.chunks()) as chunks:
                async for chunk in chunks:
                    await self._hand_on(context_id, answer, chunk)
        except EngineError as error:
            await self._give_up(answer, error)
        except Exception as error:
            # Without this nobody would end the answer.
            await self._give_up(answer, EngineFailed(f"{self._engine.name} broke off: {type(error).__name__}"))
        await answer.speech.until_text_ended()
        await self.remove_audio_context(context_id)

    async def _give_up(self, answer: _Answer, error: EngineError) -> None:
        answer.failed = True
        await self.push_error_frame(ErrorFrame(error=str(error), exception=error))

    async def _hand_on(self, context_id: str, answer: _Answer, chunk: SpeechChunk) -> None:
        answer.unheard.extend(chunk.marks)
        await self._note_words(context_id, answer)
        for pcm in self._pieces(chunk.pcm, answer):
            await self._wait_for_room(answer)
            frame = TTSAudioRawFrame(pcm, self.sample_rate, 1, context_id=context_id)
            answer.samples += frame.num_frames
            answer.waiting_secs += frame.num_frames / self.sample_rate
            await self.append_to_audio_context(context_id, frame)
            await self._note_words(context_id, answer)

    def _pieces(self, pcm: bytes, answer: _Answer) -> Iterator[bytes]:
        """Cut sound at the ends of its words: what is told of a word takes its place behind it."""
        longest = int(PIECE_SECS * self.sample_rate)
        while pcm:
            word = answer.unheard[0].end - answer.samples if answer.unheard else longest
            size = 2 * min(max(word, int(LEAST_PIECE_SECS * self.sample_rate)), longest)
            yield pcm[:size]
            pcm = pcm[size:]

    async def _note_words(self, context_id: str, answer: _Answer) -> None:
        """Tell the words that end in the sound so far. Pipecat adds lone symbols to the word before them."""
        while answer.unheard and answer.unheard[0].end <= answer.samples:
            mark = answer.unheard.popleft()
            words = [word for word in mark.text.split() if any(character.isalnum() for character in word)]
            await self.add_word_timestamps([(word, mark.end / self.sample_rate) for word in words], context_id)

    async def _wait_for_room(self, answer: _Answer) -> None:
        while (excess := self._ahead_secs(answer) - MAX_AHEAD_SECS) > 0:
            await asyncio.sleep(min(excess, PIECE_SECS))

    def _ahead_secs(self, answer: _Answer) -> float:
        """How much the listener has yet to hear before this answer's next sound."""
        return answer.waiting_secs + self._playout.ahead_secs(self.get_clock().get_time())

    async def _apply_force_complete(self, context_id: str) -> None:
        """Take the rest of an answer's text for spoken when its sound has ended, unless the engine gave up."""
        answer = self._answers.get(context_id)
        if answer is not None and answer.failed:
            self._aggregated_frame_sequencer.force_complete(context_id, 0)
        else:
            await super()._apply_force_complete(context_id)

    async def _close(self, context_id: str) -> None:
        answer = self._answers.pop(context_id, None)
        if answer is not None and answer.task is not None:
            await self.cancel_task(answer.task, CLOSE_SECS)

    async def _close_all(self) -> None:
        for context_id in list(self._answers):
            await self._close(context_id)
