"""What became of one turn, told from the sound at the caller. Pure; times in seconds on the caller's one clock.

The bot *talks* from the first sample heard to the last before a silence of `STOPPED_SECS`: shorter silences lie between
its sentences. What a turn was not fit to show is None, and counts in no rate: it was to be said over an answer, and the
bot was silent already; it was to be said in silence, and the bot was talking.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.bench.talk.script import Turn
from transports.caller_audio import Burst

STALL_SECS = 1.5
"""A longer wait for the answer is a stall."""

STOPPED_SECS = 0.5
"""Silence that ends the bot's talk. The packaged voice leaves 0.25 s between two sentences."""

YIELD_SECS = 1.0
"""Real speech must have silenced the bot by then; an answer that paused must have gone on by then."""

WATCHED_SECS = 2.0
"""So long after a sound over the answer it is watched whether the answer goes on."""

SILENT_SECS = 3.0
"""So long after a sound in silence it is watched whether the bot says something."""

ANSWER_SECS = 6.0
"""An answer that has not begun by then is not waited for any more."""


LATE_SECS = 0.2
"""A turn that left so late tells of this machine, not of the bot."""

ENDED = "the answer ended by itself"


@dataclass(frozen=True)
class Heard:
    """One turn as it was played, and all that was heard of the bot in its call.

    Attributes:
        turn: What was to be played.
        first: When its first sample of speech, or of another sound, was spoken.
        last: When its last one was.
        bursts: What was heard, in order.
        until: The bot was watched up to here: until the next turn began, or the call ended.
        replaced: Whether the bot began another answer than the one it was giving; told from the texts.
        told: Whether the server said that it was interrupted, where the answer may have ended by itself; None where it
            is known to be longer than the turn is watched.
        late_secs: How late the caller's own microphone was at worst.
    """

    turn: Turn
    first: float
    last: float
    bursts: Sequence[Burst]
    until: float
    replaced: bool = False
    told: bool | None = None
    late_secs: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """What became of a turn; None where the turn does not show it.

    Attributes:
        voice_to_voice_secs: From its last sample to the first of the answer; the time waited where there was none.
        answered: Whether there was an answer.
        cut_off: Whether the bot began to speak into it.
        stalled: Whether the answer took longer than `STALL_SECS`, or did not come.
        false_interruption: Whether the bot's answer was lost, or broke off and did not go on within `YIELD_SECS`.
        missed_interruption: Whether the bot went on for longer than `YIELD_SECS`.
        silence_secs: From the first sample of what interrupted to the bot's last sound; where it never stopped, as long
            as it was heard.
        false_answer: Whether the bot said something although nobody had spoken.
        void: Why nothing could be told.
    """

    voice_to_voice_secs: float | None = None
    answered: bool | None = None
    cut_off: bool | None = None
    stalled: bool | None = None
    false_interruption: bool | None = None
    missed_interruption: bool | None = None
    silence_secs: float | None = None
    false_answer: bool | None = None
    void: str | None = None

    @property
    def faults(self) -> list[str]:
        """Names of what went wrong."""
        names = ("cut_off", "stalled", "false_interruption", "missed_interruption", "false_answer")
        return [name for name in names if getattr(self, name)]


def judge(heard: Heard) -> Verdict:
    """What became of a turn."""
    expect = heard.turn.expect
    if heard.late_secs > LATE_SECS:
        return Verdict(void="this caller was late in sending")
    if "keeps_speaking" in expect:
        return _talked_beside(heard)
    if "stops" in expect:
        return _interrupted(heard)
    if _talk_at(heard.first, heard.bursts):
        return Verdict(void="the bot was speaking already")
    if "silence" in expect:
        return Verdict(false_answer=any(heard.first < it.start < heard.until for it in heard.bursts))
    return _answered(heard, heard.first)


def talks(bursts: Sequence[Burst], gap_secs: float = STOPPED_SECS) -> list[Burst]:
    """Bursts with shorter silences between them, as one."""
    joined: list[Burst] = []
    for burst in bursts:
        if joined and burst.start - joined[-1].end < gap_secs:
            joined[-1] = Burst(joined[-1].start, max(joined[-1].end, burst.end))
        else:
            joined.append(Burst(burst.start, burst.end))
    return joined


def answer_to(last: float, bursts: Sequence[Burst]) -> Burst | None:
    """The talk that begins after the last sample of a turn, as far as is known by now."""
    return next((talk for talk in talks(bursts) if talk.start >= last), None)


def _answered(heard: Heard, silent_from: float) -> Verdict:
    """A turn that wants an answer, said from `silent_from` on to a bot that was silent then."""
    cut_off = any(silent_from < talk.start < heard.last for talk in talks(heard.bursts))
    talk = _talk_at(heard.last, heard.bursts)
    if cut_off and talk and talk.end > heard.last + STOPPED_SECS:
        # It speaks on: what it says is the answer to half of a sentence, and no answer to the whole is due.
        return Verdict(cut_off=True)
    answer = answer_to(heard.last, heard.bursts)
    if answer is None or answer.start >= heard.until:
        return Verdict(max(heard.until - heard.last, 0.0), False, cut_off, stalled=True)
    waited = answer.start - heard.last
    return Verdict(waited, True, cut_off, stalled=waited > STALL_SECS)


def _talked_beside(heard: Heard) -> Verdict:
    if _talk_at(heard.first, heard.bursts) is None:
        return Verdict(void="the bot was not speaking any more")
    broke_off = _broke_off(heard)
    if broke_off and heard.told is False:
        return Verdict(void=ENDED)
    return Verdict(false_interruption=heard.replaced or broke_off)


def _broke_off(heard: Heard) -> bool:
    """Whether a silence of more than `YIELD_SECS` began at the sound, or while it could still have its effect."""
    told = [burst for burst in heard.bursts if burst.start < heard.until]
    ends = [*(burst.start for burst in told[1:]), heard.until]
    for burst, next_start in zip(told, ends, strict=True):
        if burst.end < heard.first - STOPPED_SECS or burst.end > heard.last + YIELD_SECS:
            continue
        if next_start - max(burst.end, heard.first) > YIELD_SECS:
            return True
    return False


def _interrupted(heard: Heard) -> Verdict:
    talk = _talk_at(heard.first, heard.bursts)
    if talk is None:
        return Verdict(void="the bot was not speaking any more")
    stopped = min(talk.end, heard.until)
    silence = max(stopped - heard.first, 0.0)
    found = Verdict(missed_interruption=silence > YIELD_SECS, silence_secs=silence)
    if not found.missed_interruption and heard.told is False:
        return Verdict(void=ENDED)
    if found.missed_interruption or "answer" not in heard.turn.expect:
        return found
    answered = _answered(heard, stopped)
    return Verdict(
        answered.voice_to_voice_secs,
        answered.answered,
        answered.cut_off,
        answered.stalled,
        missed_interruption=False,
        silence_secs=silence,
    )


def _talk_at(at: float, bursts: Sequence[Burst]) -> Burst | None:
    """The talk that goes on at an instant, a silence between two sentences included."""
    return next((talk for talk in talks(bursts) if talk.start <= at < talk.end + STOPPED_SECS), None)
