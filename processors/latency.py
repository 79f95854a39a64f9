"""How long the agent took to answer, and where the time went."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

from pipecat.observers.user_bot_latency_observer import LatencyBreakdown, MeasuredFrom, UserBotLatencyObserver

STAGE_OF = {
    "endpointing_wait": "vad_ms",
    "transcription": "stt_ms",
    "turn_detection": "turn_ms",
    "llm_inference": "llm_ms",
    "awaiting_speakable_text": "llm_ms",
    "sentence_aggregation": "llm_ms",
    "speech_synthesis": "tts_ms",
    "output_transport": "tts_ms",
}


@dataclass(frozen=True)
class Stages:
    """Parts of one answer's latency in milliseconds. They come in the order vad, stt, turn, llm, tts.

    Attributes:
        vad_ms: Silence that the voice activity detector waited for.
        stt_ms: From there to the transcript.
        turn_ms: From the transcript to the decision that the caller has finished.
        llm_ms: From there to the first sentence of the brain.
        tts_ms: From there to the first sound handed to the transport.
    """

    vad_ms: float | None = None
    turn_ms: float | None = None
    stt_ms: float | None = None
    llm_ms: float | None = None
    tts_ms: float | None = None


@dataclass(frozen=True)
class TurnLatency:
    """One answered turn, measured at the agent: from the caller's last word to the agent's first sound."""

    turn: int
    voice_to_voice_ms: float
    stages: Stages

    def as_dict(self) -> dict[str, object]:
        """As it goes over the data channel."""
        return asdict(self)


def stages_of(breakdown: LatencyBreakdown) -> Stages:
    """Sum the named parts of Pipecat's breakdown into our stages; a stage without a part is None."""
    sums: dict[str, float] = {}
    for part in breakdown.contributions:
        if stage := STAGE_OF.get(part.key):
            sums[stage] = round(sums.get(stage, 0.0) + part.duration_secs * 1000, 1)
    return Stages(**sums)


def latency_observer(on_turn: Callable[[TurnLatency], Awaitable[None]]) -> UserBotLatencyObserver:
    """An observer that reports each spoken turn's latency, numbered from 1. Greetings are not turns."""
    observer = UserBotLatencyObserver()
    answered = 0

    @observer.event_handler("on_latency_breakdown")
    async def _(_: UserBotLatencyObserver, breakdown: LatencyBreakdown) -> None:
        nonlocal answered
        if breakdown.measured_from is not MeasuredFrom.USER_SILENCE:
            return
        answered += 1
        await on_turn(TurnLatency(answered, round(breakdown.total_secs * 1000, 1), stages_of(breakdown)))

    return observer
