"""Which sound answers which file, and what follows from it.

**The answer that counts** is the first one that begins after the last sample of speech was sent. A file with a pause
in it may be answered in the pause. The rest of the file then interrupts that answer, the bot listens on, and answers
again: the second answer is the one measured, and the turn is marked `cut_in`. If the first one runs on past the end of
the file's speech, a gap between two of its sentences is not taken for the start of an answer: only sound that begins
after the bot stopped is (after 200 ms of silence, where the bot does not say when it stops). If there is none, the turn
has no voice-to-voice time, rather than a negative or a flattering one.

Times are in seconds on one monotonic clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from transports.caller_audio import Burst
from transports.caller_transcript import Talk

_INTERRUPT_SLACK_SECS = 1.8
"""The bot may fall silent at once and say only later, when it has understood why, that it was interrupted."""


@dataclass(frozen=True)
class Spoken:
    """When a file was spoken: its first sample of any kind, and its first and last sample of speech."""

    started: float
    first: float
    last: float


def find_answer(spoken: Spoken, bursts: Sequence[Burst], talks: Sequence[Talk]) -> Burst | None:
    """The burst that begins the answer to a file, as far as is known by now."""
    after = _bot_silent_from(spoken.last, bursts, talks)
    return next((burst for burst in bursts if burst.start >= after), None) if after is not None else None


def _bot_silent_from(speech_end: float, bursts: Sequence[Burst], talks: Sequence[Talk]) -> float | None:
    """The earliest time at which an answer can begin; None while the bot talks on from before the end of speech."""
    talk = next(
        (talk for talk in talks if talk.start < speech_end and (talk.stop is None or talk.stop > speech_end)), None
    )
    if talk is not None:
        return talk.stop
    # Sound outlasts the bot's own word by the way it has to travel.
    over = next((burst for burst in bursts if burst.start < speech_end <= burst.end), None)
    return over.end if over else speech_end


def cut_in(spoken: Spoken, bursts: Sequence[Burst], talks: Sequence[Talk]) -> bool:
    """Whether the bot started to talk while the file's speech was still going on."""
    starts = [talk.start for talk in talks] if talks else [burst.start for burst in bursts]
    return any(spoken.first < start < spoken.last for start in starts)


def answer_end(answer: Burst, bursts: Sequence[Burst], until: float) -> float:
    """Last audible sample of an answer whose bursts all begin before a time."""
    return max((burst.end for burst in bursts if answer.start <= burst.start < until), default=answer.end)


def talked_over_until(spoken: Spoken, next_answer: Burst | None, talks: Sequence[Talk]) -> float:
    """When an answer that a file was spoken over must be over: at the bot's own word, or where the next one begins."""
    word = next((talk.stop for talk in talks if talk.start < spoken.first < (talk.stop or float("inf"))), None)
    starts = [time for time in (word, next_answer.start if next_answer else None) if time is not None]
    return min(starts, default=float("inf"))


def was_interrupted(answer: Burst, end: float, interruptions: Sequence[float]) -> bool:
    """Whether the server says that it cut an answer off while it could be heard."""
    return any(answer.start <= time <= end + _INTERRUPT_SLACK_SECS for time in interruptions)


def milliseconds(secs: float) -> float:
    """Seconds as milliseconds, to a tenth."""
    return round(secs * 1000, 1)
