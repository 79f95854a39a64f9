"""When the caller has finished: the voice, what it said and how, together; and work ahead of that decision."""

import asyncio
from collections.abc import Callable

from loguru import logger
from pipecat.audio.turn.base_turn_analyzer import BaseTurnAnalyzer
from pipecat.frames.frames import (
    EagerEndOfTurnCancelFrame,
    EagerTranscriptionFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    MetricsFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameProcessorSetup
from pipecat.turns.types import ProcessFrameResult, UserTurnSpeculation
from pipecat.turns.user_stop import BaseUserTurnStopStrategy, NormalizedMatch

from processors.barge_in import CERTAIN_SECS
from processors.endings import Ending, ending_of
from processors.frames import NothingHeardFrame
from processors.patience import Patience, Pauses, wait_secs

SETTLE_SECS = 0.05
"""A turn that begins with words interrupts the agent: what was heard of its answer is remembered before they are."""

UNFINISHED = (Ending.HANGING, Ending.NONE)
"""Words that no answer is begun on: it would be thrown away."""


class TurnEnd(BaseUserTurnStopStrategy):
    """Ends a turn of the caller when the silence is as long as what was said asks for.

    Smart Turn and the transcript are asked at once when the voice pauses, and the brain is given the words before
    either is certain: Pipecat holds such an answer back, and drops it if the caller goes on.
    """

    def __init__(
        self,
        analyzer: BaseTurnAnalyzer | None,
        *,
        patience: Patience,
        guesses: int = 2,
        asked: Callable[[], str] = str,
        is_transcribing: Callable[[], bool] = bool,
    ):
        """
        Args:
            analyzer: Smart Turn; None judges by words and silence alone.
            patience: The silences.
            guesses: Answers begun ahead of the decision, at most, in one turn; 0 begins none.
            asked: What the agent said last.
            is_transcribing: Whether more words of what was said are to come.
        """
        super().__init__()
        self._analyzer = analyzer
        self._patience = patience
        self._guesses = guesses
        self._asked = asked
        self._is_transcribing = is_transcribing
        self._match = NormalizedMatch()
        self._pauses = Pauses()
        self._is_turn = False
        self._is_voice = False
        self._ended_at: float | None = None
        self._settled_at = float("-inf")
        self._awaits_words = False
        self._text = ""
        self._probability: float | None = None
        self._verdict: asyncio.Task | None = None
        self._timer: asyncio.Task | None = None
        self._guess: UserTurnSpeculation | None = None
        self._guesses_left = 0
        self._may_go_on = False
        self._onset: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task] = set()

    # The voice activity detector, before it is certain.

    def voice_began(self) -> None:
        """Perhaps the caller goes on: nothing is decided until that is certain, or has taken too long."""
        self._may_go_on = True
        self._forget_onset()
        self._onset = asyncio.get_running_loop().call_later(CERTAIN_SECS, self.voice_faded)

    def voice_faded(self) -> None:
        """They do not."""
        self._forget_onset()
        self._may_go_on = False
        if self._is_turn and not self._is_voice:
            task = self.task_manager.create_task(self._decide(), f"{self}::after all")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    # Pipecat's side.

    async def setup(self, setup: FrameProcessorSetup) -> None:
        """Tell Smart Turn the rate."""
        await super().setup(setup)
        if self._analyzer is not None:
            self._analyzer.set_sample_rate(setup.audio_in_sample_rate)

    async def cleanup(self) -> None:
        """Leave nothing behind."""
        self._forget_onset()
        await self._drop_work()
        if self._analyzer is not None:
            await self._analyzer.cleanup()
        await super().cleanup()

    async def handle_user_turn_started(self) -> None:
        """The turn may have begun with words whose voice is over already."""
        self._is_turn = True
        self._text = ""
        self._guesses_left = self._guesses
        self._guess = None
        if not self._is_voice:
            self._settled_at = self._now() + SETTLE_SECS
            if self._ended_at is not None:
                self._ask_smart_turn()

    async def handle_user_turn_stopped(self) -> None:
        """Whatever ended it."""
        self._is_turn = False
        guess = self._guess
        await self._drop_work()
        self._text, self._ended_at = "", None
        if self._analyzer is not None:
            self._analyzer.clear()
        if guess is not None:
            # It ended for another reason: nothing else would withdraw the answer that is held.
            await self.trigger_user_turn_speculation_cancelled()

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Follow the voice, the words and the time."""
        await super().process_frame(frame)
        match frame:
            case InputAudioRawFrame():
                if self._analyzer is not None:
                    self._analyzer.append_audio(frame.audio, self._is_voice)
            case VADUserStartedSpeakingFrame():
                await self._voice_began(frame)
            case VADUserStoppedSpeakingFrame():
                await self._voice_paused(frame)
            case EagerTranscriptionFrame():
                await self._guess_at(_joined(self._text, frame.text))
            case EagerEndOfTurnCancelFrame() | InterruptionFrame():
                # Whoever sent it has told the brain, too.
                self._guess = None
            case ErrorFrame():
                # If it is the brain's, the guess has no answer; the turn's own request will tell of it.
                await self._withdraw()
            case NothingHeardFrame():
                self._awaits_words = self._is_transcribing()
                await self._decide()
            case TranscriptionFrame():
                await self._words_came(frame)
        return ProcessFrameResult.CONTINUE

    async def _voice_began(self, frame: VADUserStartedSpeakingFrame) -> None:
        self._is_voice, self._may_go_on = True, False
        self._forget_onset()
        if self._analyzer is not None:
            self._analyzer.update_vad_start_secs(frame.start_secs)
        if self._is_turn and self._ended_at is not None:
            self._pauses.add(max(0.0, self._now() - frame.start_secs - self._ended_at))
        await self._withdraw()
        await self._drop_work()

    async def _voice_paused(self, frame: VADUserStoppedSpeakingFrame) -> None:
        self._is_voice = False
        self._ended_at = self._now() - frame.stop_secs
        self._awaits_words = True
        if self._is_turn:
            self._ask_smart_turn()

    async def _words_came(self, frame: TranscriptionFrame) -> None:
        self._awaits_words = self._is_transcribing()
        if not self._is_turn:
            return
        self._text = _joined(self._text, frame.text)
        if self._ended_at is None:
            # No voice was noticed: they are taken for what was said until now.
            self._ended_at = self._now()
        if self._is_voice or self._awaits_words:
            return
        if (unsettled := self._settled_at - self._now()) > 0:
            await self._stop_timer()
            self._timer = self.task_manager.create_task(self._go_on_later(unsettled), f"{self}::settling")
        else:
            await self._go_on()

    async def _go_on_later(self, secs: float) -> None:
        await asyncio.sleep(secs)
        self._timer = None
        await self._go_on()

    async def _go_on(self) -> None:
        await self._decide()
        # Where that has ended the turn, the brain has been asked.
        if self._is_turn:
            await self._guess_at(self._text)

    # The decision.

    def _ask_smart_turn(self) -> None:
        self._probability = None
        if self._analyzer is not None and self._verdict is None:
            self._verdict = self.task_manager.create_task(self._judge(), f"{self}::smart turn")

    async def _judge(self) -> None:
        assert self._analyzer is not None
        result = None
        try:
            _, result = await self._analyzer.analyze_end_of_turn()
        except Exception as error:
            logger.error(f"{self}: Smart Turn failed, words and silence decide: {error}")
        self._probability = getattr(result, "probability", None)
        self._verdict = None
        if result is not None:
            await self.push_frame(MetricsFrame(data=[result]))
        await self._decide()

    async def _decide(self) -> None:
        if not self._is_turn or self._is_voice or self._awaits_words or self._ended_at is None:
            return
        if self._may_go_on or self._now() < self._settled_at:
            return
        ending = ending_of(self._text, asked=self._asked())
        if ending is Ending.NONE:
            await self._end()
            return
        if self._verdict is not None and ending is not Ending.WHOLE:
            return
        secs = wait_secs(ending, self._probability, self._pauses, self._patience)
        left = self._ended_at + secs - self._now()
        logger.debug(f"{self}: {ending.value}, smart turn {self._probability}: {secs:.2f} s")
        await self._stop_timer()
        if left <= 0:
            await self._end()
        else:
            self._timer = self.task_manager.create_task(self._end_later(left), f"{self}::patience")

    async def _end_later(self, secs: float) -> None:
        await asyncio.sleep(secs)
        self._timer = None
        await self._decide()

    async def _end(self) -> None:
        guess, self._guess = self._guess, None
        if guess is not None and self._match.matches(guess.text, self._text):
            await self.trigger_user_turn_finalized(confirms_speculation=True)
            return
        if guess is not None:
            await self.trigger_user_turn_speculation_cancelled()
        await self.trigger_user_turn_stopped()

    # Work ahead of it.

    async def _guess_at(self, text: str) -> None:
        """Let the brain begin on these words, if they may be all."""
        if not self._is_turn:
            return
        if self._guess is not None and self._match.matches(self._guess.text, text):
            return
        await self._withdraw()
        if not self._guesses_left or ending_of(text, asked=self._asked()) in UNFINISHED:
            return
        self._guesses_left -= 1
        self._guess = UserTurnSpeculation(text=text)
        await self.trigger_user_turn_inference_triggered(speculation=self._guess)

    async def _withdraw(self) -> None:
        if self._guess is not None:
            self._guess = None
            await self.trigger_user_turn_speculation_cancelled()

    async def _drop_work(self) -> None:
        await self._stop_timer()
        self._guess = None
        verdict, self._verdict = self._verdict, None
        if verdict is not None and verdict is not asyncio.current_task():
            await self.task_manager.cancel_task(verdict)

    def _forget_onset(self) -> None:
        if self._onset is not None:
            self._onset.cancel()
            self._onset = None

    async def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer is not asyncio.current_task():
            await self.task_manager.cancel_task(timer)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _joined(before: str, text: str) -> str:
    return f"{before} {text.strip()}".strip()
