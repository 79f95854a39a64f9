"""Silero VAD and Smart Turn v3, loaded once in the process and shared by all calls.

Pipecat's analyzers each load a model of their own. Those here borrow one session: the state of a stream (Silero's
recurrent state, Smart Turn's audio) lives in the analyzer, not in the session. They also share a thread for each model
instead of starting two a call.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from pipecat.audio.turn.base_turn_analyzer import BaseTurnAnalyzer
from pipecat.audio.turn.smart_turn.base_smart_turn import BaseSmartTurn, SmartTurnParams
from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
from pipecat.audio.vad.silero import SileroOnnxModel, SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADAnalyzer, VADParams, VADState
from pipecat.turns.empty_user_turn import DEFAULT_EMPTY_USER_TURN_INTERRUPTED_PROMPT, EmptyUserTurnConfig

from configs.settings import TurnSettings
from processors.patience import Patience

SAMPLE_RATE = 16_000
SILENCE_SECS = 3.0
"""Smart Turn's audio of a turn is dropped after so long a silence."""


ONSET_LEVEL = 260.0
"""Root mean square, int16 (-42 dBFS): a fainter sound does not make the agent fall silent."""

FADED_WINDOWS = 3
"""So many windows (32 ms) without a voice, and it was none."""


class DipListener(Protocol):
    """Who wants to know of a dip in the voice, before it is known to be a pause."""

    def pause_began(self) -> None:
        """The voice has gone down."""
        ...

    def speech_resumed(self) -> None:
        """The voice is back."""
        ...


class OnsetListener(Protocol):
    """Who wants to know of a voice before it is certain to be one."""

    def voice_began(self) -> None:
        """A first window of voice."""
        ...

    def voice_faded(self) -> None:
        """It was not followed by enough others."""
        ...


class SharedSileroVADAnalyzer(SileroVADAnalyzer):
    """Silero VAD of one call, on a session and a thread that it shares."""

    def __init__(self, session: object, executor: ThreadPoolExecutor, params: VADParams):
        # SileroVADAnalyzer's own constructor would load the model again.
        VADAnalyzer.__init__(self, params=params)
        self._executor.shutdown(wait=False)
        self._executor = executor
        model = SileroOnnxModel.__new__(SileroOnnxModel)
        model.session = session  # pyright: ignore[reportAttributeAccessIssue]
        model.sample_rates = [8000, 16000]
        model.reset_states()
        self._model = model
        self._windows_since_reset = 0
        self._low_confidence_windows = 0
        self._dip_listeners: list[DipListener] = []
        self._onset_listeners: list[OnsetListener] = []
        self._is_voiced = self._has_begun = False
        self._unvoiced = 0

    def watch_dips(self, listener: "DipListener") -> None:
        """Tell `listener`, on the event loop, when the voice goes down and when it comes back before a pause."""
        self._dip_listeners.append(listener)

    def watch_onsets(self, listener: "OnsetListener") -> None:
        """Tell `listener`, on the event loop, of a voice's first window, and where no voice comes of it."""
        self._onset_listeners.append(listener)

    async def analyze_audio(self, buffer: bytes) -> VADState:
        """Analyze PCM16 audio; goes to the thread only when a whole window of the model has come together."""
        if len(self._vad_buffer) + len(buffer) < self._vad_frames_num_bytes:
            self._vad_buffer += buffer
            return self._vad_state
        before = self._vad_state
        state = await super().analyze_audio(buffer)
        for listener in self._dip_listeners:
            if before == VADState.SPEAKING and state == VADState.STOPPING:
                listener.pause_began()
            elif before == VADState.STOPPING and state == VADState.SPEAKING:
                listener.speech_resumed()
        self._tell_onset(state)
        return state

    def voice_confidence(self, buffer: bytes) -> float:
        """As Silero's; also notes whether this window is a voice by itself."""
        confidence = super().voice_confidence(buffer)
        samples = np.frombuffer(buffer, dtype="<i2").astype(np.float32)
        loud = float(np.sqrt(np.mean(np.square(samples)))) >= ONSET_LEVEL
        self._is_voiced = loud and float(np.ravel(confidence)[0]) >= self._params.confidence
        return confidence

    def _tell_onset(self, state: VADState) -> None:
        # Pipecat smooths the volume, so that it is certain of a voice only a third of a second into it. Whoever is to
        # fall silent for it cannot wait so long.
        if state not in (VADState.QUIET, VADState.STARTING):
            self._has_begun, self._unvoiced = False, 0
        elif self._is_voiced:
            self._unvoiced = 0
            if not self._has_begun:
                self._has_begun = True
                for listener in self._onset_listeners:
                    listener.voice_began()
        elif self._has_begun:
            self._unvoiced += 1
            if self._unvoiced >= FADED_WINDOWS:
                self._has_begun, self._unvoiced = False, 0
                for listener in self._onset_listeners:
                    listener.voice_faded()

    async def cleanup(self) -> None:
        """The session and the thread belong to the process."""


class SharedSmartTurnAnalyzer(LocalSmartTurnAnalyzerV3):
    """Smart Turn of one call, on a session and a thread that it shares."""

    def __init__(self, session: object, executor: ThreadPoolExecutor, params: SmartTurnParams):
        # LocalSmartTurnAnalyzerV3's own constructor would load the model again.
        BaseSmartTurn.__init__(self, params=params)
        self._session = session  # pyright: ignore[reportAttributeAccessIssue]
        self._log_data = False
        self._shared_executor = executor

    @property
    def _model_executor(self) -> ThreadPoolExecutor:
        return self._shared_executor


class RecoveryWhenHeard(EmptyUserTurnConfig):
    """Pipecat's answer to a turn without words, unless the words may still come or could not be heard.

    Then the brain would answer what nobody said; the caller is told of the fault instead.
    """

    def __init__(self, is_behind: Callable[[], bool], has_interrupted: Callable[[], bool] = lambda: True):
        """
        Args:
            is_behind: Whether speech is still being transcribed, or the last of it could not be.
            has_interrupted: Whether the turn broke anything off; Pipecat says so of every turn before the first answer.
        """
        self.idle_prompt = None
        self.max_consecutive_recoveries = 1
        self._is_behind = is_behind
        self._has_interrupted = has_interrupted

    @property
    def interrupted_prompt(self) -> str | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What the brain is told when a turn without words interrupted it."""
        if self._is_behind() or not self._has_interrupted():
            return None
        return DEFAULT_EMPTY_USER_TURN_INTERRUPTED_PROMPT


@dataclass(frozen=True)
class TurnModels:
    """The two models of the process. Build it with `load`, once."""

    settings: TurnSettings
    vad_session: object
    turn_session: object
    vad_executor: ThreadPoolExecutor
    turn_executor: ThreadPoolExecutor

    @classmethod
    def load(cls, settings: TurnSettings) -> "TurnModels":
        """Load both models and run each once; takes a tenth of a second and is not for the event loop."""
        vad = SileroVADAnalyzer()
        turn = LocalSmartTurnAnalyzerV3(sample_rate=SAMPLE_RATE)
        turn.set_sample_rate(SAMPLE_RATE)
        vad._model(np.zeros(512, dtype=np.float32), SAMPLE_RATE)
        turn._predict_endpoint(np.zeros(SAMPLE_RATE, dtype=np.float32))
        return cls(
            settings=settings,
            vad_session=vad._model.session,
            turn_session=turn._session,
            vad_executor=ThreadPoolExecutor(max_workers=1, thread_name_prefix="vad"),
            turn_executor=ThreadPoolExecutor(max_workers=1, thread_name_prefix="smart-turn"),
        )

    def vad_analyzer(self) -> SharedSileroVADAnalyzer:
        """A voice activity detector for one call."""
        settings = self.settings
        params = VADParams(
            confidence=settings.vad_confidence,
            start_secs=settings.vad_start_secs,
            stop_secs=settings.vad_stop_secs,
            min_volume=settings.vad_min_volume,
        )
        return SharedSileroVADAnalyzer(self.vad_session, self.vad_executor, params)

    def turn_analyzer(self) -> BaseTurnAnalyzer | None:
        """Smart Turn for one call; None where it is switched off."""
        if not self.settings.smart_turn:
            return None
        params = SmartTurnParams(stop_secs=SILENCE_SECS)
        return SharedSmartTurnAnalyzer(self.turn_session, self.turn_executor, params)

    @property
    def patience(self) -> Patience:
        """The silences that end a turn."""
        settings = self.settings
        return Patience(
            settings.sure_secs, settings.doubt_secs, settings.open_secs, settings.spelling_secs, settings.longest_secs
        )

    async def close(self) -> None:
        """Let the two threads end."""
        for executor in (self.vad_executor, self.turn_executor):
            await asyncio.get_running_loop().run_in_executor(None, executor.shutdown)
