"""How long the agent took to answer, and where the time went.

Two readings of the same turn. The timeline says when each stage worked: stages overlap, and one may begin before the
one ahead of it has ended, or before the caller's turn is decided to be over. The stages say what each added to the
wait: they do not overlap, and they sum to the whole.
"""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, fields

Interval = tuple[float, float]
"""Begin and end in milliseconds from the caller's last word."""


@dataclass(frozen=True)
class Stages:
    """What each stage added to one answer's latency, in milliseconds, in the order vad, stt, turn, llm, tts.

    Work that was done by the time the stage before it ended added nothing, and counts 0.

    Attributes:
        vad_ms: Silence that the voice activity detector waited for.
        stt_ms: From there to the transcript.
        turn_ms: From there to the decision that the caller has finished.
        llm_ms: From there to the first sentence of the brain.
        tts_ms: From there to the first sound handed to the transport.
    """

    vad_ms: float | None = None
    turn_ms: float | None = None
    stt_ms: float | None = None
    llm_ms: float | None = None
    tts_ms: float | None = None


@dataclass(frozen=True)
class Timeline:
    """When each stage of one answer worked. A stage that did not happen, or happened unseen, is None.

    Attributes:
        vad_ms: From the last word until the pause was certain.
        stt_ms: From the beginning of the transcription that was used until the transcript.
        turn_ms: From the certain pause until the decision that the caller has finished.
        llm_ms: From the question to the brain until its first sentence was whole.
        tts_ms: From there until the voice had made its first sound.
    """

    vad_ms: Interval | None = None
    turn_ms: Interval | None = None
    stt_ms: Interval | None = None
    llm_ms: Interval | None = None
    tts_ms: Interval | None = None


@dataclass(frozen=True)
class TurnLatency:
    """One answered turn, measured at the agent: from the caller's last word to the agent's first sound.

    Attributes:
        turn: Its number in the call, from 1.
        voice_to_voice_ms: The whole.
        stages: Its parts; they sum to the whole.
        timeline: When each stage worked.
        spoke_until: Unix time in seconds of the caller's last word.
    """

    turn: int
    voice_to_voice_ms: float
    stages: Stages
    timeline: Timeline = Timeline()
    spoke_until: float = 0.0

    def as_dict(self) -> dict[str, object]:
        """As it goes over the data channel."""
        message = asdict(self)
        del message["spoke_until"]
        return message


BEGAN_AT = "transcription_began_at"
"""Key of a `TranscriptionFrame`'s metadata: Unix time in seconds at which the transcription was begun."""

OnTurn = Callable[[TurnLatency], Awaitable[None]]

ORDER = ("vad_ms", "stt_ms", "turn_ms", "llm_ms", "tts_ms")
"""Each stage needs what the one before it gives, though it may begin on a guess of it."""

assert {field.name for field in fields(Stages)} == {field.name for field in fields(Timeline)} == set(ORDER)


def stages_of(timeline: Timeline, voice_to_voice_ms: float) -> Stages:
    """Part the whole among the stages: each counts from where all before it had ended to its own end.

    What comes after the voice's first sound belongs to the voice. A stage that is not in the timeline is None.
    """
    parts: dict[str, float] = {}
    reached = 0.0
    for name in ORDER:
        interval: Interval | None = getattr(timeline, name)
        if interval is None:
            continue
        end = voice_to_voice_ms if name == ORDER[-1] else min(max(reached, interval[1]), voice_to_voice_ms)
        parts[name] = round(end - reached, 1)
        reached = end
    return Stages(**parts)
