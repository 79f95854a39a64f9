"""When somebody who speaks while the agent does takes the floor, and when not.

Any voice holds the agent's sound at once; what it was is found out while it is silent. A cough, a "mhm" or the agent's
own echo lets it go on where it stopped, words take the floor.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from loguru import logger
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    ErrorFrame,
    Frame,
    FunctionCallCancelFrame,
    FunctionCallResultFrame,
    FunctionCallsStartedFrame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    LLMMessagesAppendFrame,
    TranscriptionFrame,
    UserBackchannelFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_start import BaseUserTurnStartStrategy

from processors.backchannels import is_backchannel, is_echo
from processors.echo import is_echo as sounds_like_echo
from processors.frames import NothingHeardFrame
from processors.mouth import Mouth

Manner = Literal["polite", "eager", "never"]

VOICE_SECS = 1.2
"""So long a voice takes the floor whatever it says: words may be long in coming."""

WORDS_SECS = 1.5
"""Longest wait for the words of a voice that has ended."""

CERTAIN_SECS = 0.6
"""A voice that is not certain by then, nor gone, is a flicker: it holds nothing any longer."""

OWED_SECS = 60.0
"""An answer is waited for so long after a turn, if nothing comes of it."""

SHORT_ECHO_WORDS = 4
ECHO_SECS = 0.3
TAIL_WORDS = 30
ECHOING = 2
"""After so many echoes the line is one on which a voice alone does not hold the agent's sound, until words take the
floor."""


@dataclass
class _Candidate:
    """A voice over the agent's, of which it is not known yet what it wants."""

    is_certain: bool = False
    is_voice: bool = True
    is_echo: bool = False
    timer: asyncio.TimerHandle | None = None

    def settle(self) -> None:
        """It is decided."""
        if self.timer is not None:
            self.timer.cancel()


class BargeIn(BaseUserTurnStartStrategy):
    """Begins a turn of the caller: at the first voice while the agent is silent, with care while it speaks or thinks.

    `polite` as above; `eager` lets any voice interrupt; with `never` the agent finishes, and answers then.
    """

    def __init__(self, mouth: Mouth, *, manner: Manner = "polite", said: Callable[[], str] = str):
        """
        Args:
            mouth: Holds the agent's sound.
            manner: How readily the agent falls silent.
            said: What the caller has heard of the answer that is being spoken.
        """
        super().__init__()
        self._mouth = mouth
        self._manner: Manner = manner
        self._said = said
        self._heard: deque[np.ndarray] = deque()
        self._heard_rate = 16_000
        self._heard_samples = 0
        self._is_turn = False
        self._has_words = False
        self._is_speaking = False
        self._owed_until = float("-inf")
        self._asides = self._calls = 0
        self.typed = 0
        """Messages that came as text, not as speech."""

        self._candidate: _Candidate | None = None
        self._echoes = 0
        self.has_interrupted = False
        """Whether the turn that began last broke off something that the agent said or was about to say."""

        self._tasks: set[asyncio.Task] = set()

    @property
    def is_busy(self) -> bool:
        """Whether the agent speaks, or is about to."""
        return self._is_speaking or self.owes_answer

    @property
    def owes_answer(self) -> bool:
        """Whether the caller has spoken, or a tool runs, and the answer has not been heard."""
        return self._now() < self._owed_until

    @property
    def is_thinking(self) -> bool:
        """Whether an answer is owed, and everybody is silent."""
        is_silent = not self._is_turn and self._candidate is None
        return is_silent and not self._is_speaking and self.owes_answer

    def aside(self) -> None:
        """What is said next is not the answer that is owed."""
        self._asides += 1

    @property
    def is_turn(self) -> bool:
        """Whether the caller has the floor."""
        return self._is_turn

    # The voice activity detector, before it is certain.

    def voice_began(self) -> None:
        """A first window of voice."""
        may_hold = self._manner == "polite" and self.is_busy and not self._is_turn and self._echoes < ECHOING
        if may_hold and self._candidate is None:
            # What there is of it is too short to be told from an echo; the first echoes hold the sound for a moment.
            self._candidate = _Candidate()
            self._mouth.hold()
            self._set_timer(CERTAIN_SECS)

    def voice_faded(self) -> None:
        """It was none: a click."""
        if self._candidate is not None and not self._candidate.is_certain:
            self._echoes += self._is_echo()
            self._go_on()

    # Pipecat's side.

    async def handle_user_turn_started(self) -> None:
        """The caller has the floor."""
        self._is_turn, self._has_words = True, False
        self._asides = 0
        self._forget_candidate()

    async def handle_user_turn_stopped(self) -> None:
        """The caller has finished; if there were words, the brain is at work on them."""
        self._is_turn = False
        if self._has_words:
            self._owed_until = self._now() + OWED_SECS

    async def cleanup(self) -> None:
        """Leave nothing behind."""
        self._forget_candidate()
        for task in list(self._tasks):
            await self.cancel_task(task)
        await super().cleanup()

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Decide on what has come."""
        match frame:
            case InputAudioRawFrame():
                self._keep(frame)
            case BotStartedSpeakingFrame():
                self._is_speaking = True
            case BotStoppedSpeakingFrame():
                return await self._bot_has_spoken()
            case FunctionCallsStartedFrame():
                self._calls += len(frame.function_calls)
                self._owed_until = self._now() + OWED_SECS
            case FunctionCallResultFrame() | FunctionCallCancelFrame():
                self._calls = max(0, self._calls - 1)
            case InterruptionFrame() | ErrorFrame():
                self._owed_until = float("-inf")
            case LLMMessagesAppendFrame():
                self.typed += 1
            case VADUserStartedSpeakingFrame():
                return await self._voice_is_certain()
            case VADUserStoppedSpeakingFrame():
                self._voice_has_ended()
            case NothingHeardFrame():
                if self._candidate is not None and not self._candidate.is_voice:
                    self._go_on()
            case TranscriptionFrame():
                return await self._weigh_words(frame)
            case InterimTranscriptionFrame():
                return await self._weigh_first_words(frame)
        return ProcessFrameResult.CONTINUE

    async def _bot_has_spoken(self) -> ProcessFrameResult:
        self._is_speaking = False
        if self._asides:
            self._asides -= 1
        elif not self._calls:
            self._owed_until = float("-inf")
        candidate = self._candidate
        if candidate is None or self.is_busy:
            return ProcessFrameResult.CONTINUE
        if candidate.is_certain and candidate.is_voice and not candidate.is_echo:
            return await self._take_floor()
        if not candidate.is_certain:
            # There is nothing left to hold; should it be a voice, its turn begins as any other.
            self._go_on()
        return ProcessFrameResult.CONTINUE

    async def _voice_is_certain(self) -> ProcessFrameResult:
        if self._is_turn:
            return ProcessFrameResult.CONTINUE
        if not self.is_busy or self._manner != "polite":
            return await self._take_floor()
        candidate = self._candidate = self._candidate or _Candidate()
        candidate.is_certain = candidate.is_voice = True
        candidate.is_echo = self._is_echo()
        if candidate.is_echo:
            self._echoes += 1
            self._mouth.release()
        elif self._echoes < ECHOING:
            self._mouth.hold()
        self._set_timer(VOICE_SECS)
        return ProcessFrameResult.CONTINUE

    def _voice_has_ended(self) -> None:
        if self._candidate is not None:
            self._candidate.is_voice = False
            self._set_timer(WORDS_SECS)

    async def _weigh_words(self, frame: TranscriptionFrame) -> ProcessFrameResult:
        if not frame.text.strip():
            return ProcessFrameResult.CONTINUE
        if self._is_turn:
            self._has_words = True
            return ProcessFrameResult.CONTINUE
        if self._manner == "polite" and self.is_busy:
            if self._echoes_words(frame.text):
                self._echoes += 1
                return await self._pass_over()
            if is_backchannel(frame.text) and not self._asked():
                await self.push_frame(UserBackchannelFrame(frame.text, frame.user_id, frame.timestamp))
                return await self._pass_over()
        # Also words that come when the turn they belong to is long over.
        result = await self._take_floor()
        self._has_words = self._has_words or self._is_turn
        return result

    async def _weigh_first_words(self, frame: InterimTranscriptionFrame) -> ProcessFrameResult:
        """Words of somebody who still speaks: enough to take the floor, not enough to be passed over."""
        if self._candidate is None or is_echo(frame.text, self._tail()) or is_backchannel(frame.text):
            return ProcessFrameResult.CONTINUE
        if self._candidate.is_echo and len(frame.text.split()) == 1:
            return ProcessFrameResult.CONTINUE
        return await self._take_floor()

    async def _take_floor(self) -> ProcessFrameResult:
        interrupts = self._manner != "never" or not self.is_busy
        self.has_interrupted = interrupts and self.is_busy
        self._echoes = 0
        if self.has_interrupted:
            logger.debug(f"{self}: the caller takes the floor")
            self._owed_until = float("-inf")
            self._mouth.silence()
        elif not self.is_busy:
            # The last packet of an answer may have been faded for this voice; the next answer does not begin with it.
            self._mouth.silence()
            self._mouth.open()
        self._forget_candidate()
        await self.trigger_user_turn_started(enable_interruptions=interrupts)
        return ProcessFrameResult.STOP

    async def _pass_over(self) -> ProcessFrameResult:
        """What was said is not for the brain."""
        self._go_on()
        await self.trigger_reset_aggregation()
        return ProcessFrameResult.CONTINUE

    # The candidate.

    def _go_on(self) -> None:
        self._forget_candidate()
        self._mouth.release()

    def _set_timer(self, secs: float) -> None:
        candidate = self._candidate
        assert candidate is not None
        candidate.settle()
        candidate.timer = asyncio.get_running_loop().call_later(secs, self._time_is_up, candidate)

    def _time_is_up(self, candidate: _Candidate) -> None:
        if candidate is not self._candidate:
            return
        if not candidate.is_certain:
            self.voice_faded()
            return
        if not candidate.is_voice:
            self._go_on()
            return
        candidate.is_echo = self._is_echo()
        if candidate.is_echo or self._echoes >= ECHOING:
            # Words alone can tell a caller from an echo now; they are listened to as they come.
            self._mouth.release()
            self._set_timer(VOICE_SECS)
            return
        task = self.create_task(self._take_floor(), "taking the floor")  # pyright: ignore[reportArgumentType]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _forget_candidate(self) -> None:
        if self._candidate is not None:
            self._candidate.settle()
            self._candidate = None

    # What is heard and said.

    def _keep(self, frame: InputAudioRawFrame) -> None:
        if self._manner != "polite":
            return
        samples = np.frombuffer(frame.audio, dtype="<i2")
        self._heard_rate = frame.sample_rate
        self._heard.append(samples)
        self._heard_samples += len(samples)
        while self._heard_samples - len(self._heard[0]) > ECHO_SECS * self._heard_rate:
            self._heard_samples -= len(self._heard.popleft())

    def _is_echo(self) -> bool:
        if not self._is_speaking or not self._heard:
            return False
        heard = np.concatenate(self._heard)
        return sounds_like_echo(heard, self._heard_rate, self._mouth.played(), self._mouth.sample_rate)

    def _echoes_words(self, text: str) -> bool:
        """Whether these are the agent's words; a few may as well be the caller's choice of those it offered."""
        is_short = len(text.split()) < SHORT_ECHO_WORDS
        by_sound = self._candidate is not None and self._candidate.is_echo
        return is_echo(text, self._tail()) and (by_sound or not is_short)

    def _tail(self) -> str:
        return " ".join(self._said().split()[-TAIL_WORDS:])

    def _asked(self) -> bool:
        """Whether the agent has just asked something: then "yes" is an answer."""
        return self._said().rstrip().endswith("?")

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
