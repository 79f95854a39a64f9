"""Watches the frames of a call and times each turn that is answered."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    EagerEndOfTurnCancelFrame,
    Frame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.observers.base_observer import BaseObserver, FramePushed
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregator
from pipecat.processors.frame_processor import FrameDirection

from processors.latency import BEGAN_AT, Interval, OnTurn, Timeline, TurnLatency, stages_of


@dataclass
class _Speech:
    """The caller's last stretch of speech. `ended` and `certain` are seconds of the pipeline's clock."""

    ended: float
    certain: float
    ended_unix: float


@dataclass
class _Answer:
    """What the brain and the voice are doing, in seconds of the pipeline's clock; None until it has happened."""

    asked: float | None = None
    has_words: bool = False
    sentence: float | None = None
    sound: float | None = None


@dataclass
class _Turn:
    """What is known of the caller's turn and the answer to it.

    The answer may be begun before the pause is certain, and the decision may come at any time after that.
    """

    speech: _Speech | None = None
    transcript: tuple[float | None, float] | None = None
    """When it was begun (Unix time, where that is known) and when it was there (pipeline's clock)."""
    decided: float | None = None
    answer: _Answer = field(default_factory=_Answer)


class LatencyObserver(BaseObserver):
    """Reports each answered turn's latency, numbered from 1.

    A turn has words of the caller's, a decision that they have finished, and words of the brain's that sounded. So
    greetings, spoken faults, questions to repeat what was not understood, and answers that were interrupted before
    they sounded are not turns.
    """

    def __init__(self, on_turn: OnTurn):
        """
        Args:
            on_turn: Called with each answered turn when its first sound is handed to the transport.
        """
        super().__init__(observe_every_push=False)
        self._on_turn = on_turn
        self._answered = 0
        self._turn = _Turn()
        self._turn_is_open = False
        self._has_words = False
        # Looked up by exact type: most frames are audio, and pass by at the cost of one look.
        self._handlers: dict[type[Frame], Callable[[Any, float], Awaitable[None] | None]] = {
            VADUserStartedSpeakingFrame: self._speech_began,
            VADUserStoppedSpeakingFrame: self._speech_ended,
            TranscriptionFrame: self._transcribed,
            UserStartedSpeakingFrame: self._turn_began,
            UserStoppedSpeakingFrame: self._decided,
            LLMContextFrame: self._asked,
            LLMFullResponseStartFrame: self._answer_began,
            LLMTextFrame: self._worded,
            TTSStartedFrame: self._sentence_was_whole,
            TTSAudioRawFrame: self._sounded,
            InterruptionFrame: self._answer_dropped,
            EagerEndOfTurnCancelFrame: self._answer_withdrawn,
            BotStartedSpeakingFrame: self._heard,
        }

    async def on_push_frame(self, data: FramePushed) -> None:
        """Note what the frame tells, at the time at which it was pushed."""
        handler = self._handlers.get(type(data.frame))
        if handler is None or data.direction != FrameDirection.DOWNSTREAM:
            return
        # The assistant's half pushes the conversation, too, when an answer has ended.
        if handler == self._asked and not isinstance(data.source, LLMUserAggregator):
            return
        if (result := handler(data.frame, data.timestamp / 1e9)) is not None:
            await result

    def _speech_began(self, _: Frame, __: float) -> None:
        self._turn = _Turn()
        if not self._turn_is_open:
            self._has_words = False

    def _speech_ended(self, frame: VADUserStoppedSpeakingFrame, now: float) -> None:
        self._turn.speech = _Speech(now - frame.stop_secs, now, frame.timestamp - frame.stop_secs)

    def _transcribed(self, frame: TranscriptionFrame, now: float) -> None:
        self._has_words = True
        self._turn.transcript = (frame.metadata.get(BEGAN_AT), now)

    def _turn_began(self, _: Frame, __: float) -> None:
        self._turn_is_open = True

    def _decided(self, _: Frame, now: float) -> None:
        self._turn_is_open = False
        self._turn.decided = now

    def _asked(self, _: Frame, now: float) -> None:
        self._turn.answer = _Answer(asked=now)

    def _answer_began(self, _: Frame, now: float) -> None:
        # An answer that calls tools begins once for each round; all of them are the brain's.
        if self._turn.answer.asked is None:
            self._turn.answer = _Answer(asked=now)

    def _worded(self, _: Frame, __: float) -> None:
        self._turn.answer.has_words = True

    def _sentence_was_whole(self, _: Frame, now: float) -> None:
        answer = self._turn.answer
        if answer.has_words and answer.sentence is None:
            answer.sentence = now

    def _sounded(self, _: Frame, now: float) -> None:
        answer = self._turn.answer
        if answer.sentence is not None and answer.sound is None:
            answer.sound = now

    def _answer_dropped(self, _: Frame, __: float) -> None:
        self._turn.decided = None
        self._turn.answer = _Answer()

    def _answer_withdrawn(self, _: Frame, __: float) -> None:
        self._turn.answer = _Answer()

    async def _heard(self, _: Frame, now: float) -> None:
        turn, self._turn = self._turn, _Turn()
        has_words, self._has_words = self._has_words, False
        speech, sound = turn.speech, turn.answer.sound
        if not has_words or speech is None or turn.decided is None or sound is None:
            return
        self._answered += 1
        whole_ms = round((now - speech.ended) * 1000, 1)
        timeline = _timeline(turn, speech)
        await self._on_turn(
            TurnLatency(self._answered, whole_ms, stages_of(timeline, whole_ms), timeline, speech.ended_unix)
        )


def _timeline(turn: _Turn, speech: _Speech) -> Timeline:
    def interval(begin: float | None, end: float | None) -> Interval | None:
        if begin is None or end is None or end <= speech.ended:
            return None
        return round((begin - speech.ended) * 1000, 1), round((end - speech.ended) * 1000, 1)

    answer = turn.answer
    stt = None
    if turn.transcript is not None:
        began_unix, there = turn.transcript
        stt = interval(speech.certain if began_unix is None else speech.ended + began_unix - speech.ended_unix, there)
    return Timeline(
        vad_ms=interval(speech.ended, speech.certain),
        stt_ms=stt,
        turn_ms=interval(speech.certain, turn.decided),
        llm_ms=interval(answer.asked, answer.sentence),
        tts_ms=interval(answer.sentence, answer.sound),
    )
