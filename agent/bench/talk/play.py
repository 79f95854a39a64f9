"""Plays a dialogue over a real call, each turn at its moment, and notes when what was said and heard."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx
import numpy as np

from agent.bench.speech import BenchError
from agent.bench.talk.measure import ANSWER_SECS, SILENT_SECS, STOPPED_SECS, WATCHED_SECS, Heard, answer_to
from agent.bench.talk.render import Rendered
from transports.caller import normal_url
from transports.caller_audio import Listener
from transports.caller_microphone import Microphone, Speaking, clock
from transports.caller_peer import Line
from transports.caller_report import CallError
from transports.caller_transcript import Transcript

LEAD_SECS = 0.4
CONNECT_SECS = 15.0
READY_SECS = 5.0
POLL_SECS = 0.01

SETTLE_SECS = 0.8
"""Silence that ends an answer, once the bot said that it stopped; three times as long where it did not say so."""

LONGEST_ANSWER_SECS = 40.0
ENOUGH_SECS = 0.4
"""The last answer of a call is heard for so long before the caller hangs up."""


class Prompter(Protocol):
    """Who decides what the bot answers.

    Attributes:
        knows_lengths: Whether long answers are longer than the turns over them are watched.
    """

    knows_lengths: bool

    async def next_answer(self, *, long: bool) -> None:
        """The next answers are long ones, to be talked over, or short ones."""
        ...

    def is_same_answer(self, one: str, other: str) -> bool:
        """Whether two sentences belong to one answer."""
        ...


class UnknownBrain:
    """A brain that answers what it likes: its answers cannot be told apart, and may be short."""

    knows_lengths = False

    async def next_answer(self, *, long: bool) -> None:
        """See `Prompter`."""

    def is_same_answer(self, one: str, other: str) -> bool:
        """See `Prompter`."""
        return True


@dataclass
class Played:
    """A dialogue that was played.

    Attributes:
        heard: What was heard, turn by turn.
        words: What the server understood of each turn.
        stages: What the server says each stage of the answer to each turn took, in ms.
        problem: Why the call was over before the dialogue was.
        late_secs: How late the microphone was at worst.
    """

    heard: list[Heard] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    stages: list[dict[str, float | None]] = field(default_factory=list)
    problem: str | None = None
    late_secs: float = 0.0


async def play(url: str, rendered: Rendered, prompter: Prompter, token: str | None = None) -> Played:
    """Place a call, play every turn, hang up.

    Raises:
        BenchError: The call could not be placed.
    """
    call = _Call(rendered, prompter)
    try:
        await call.run(normal_url(url), token)
    except CallError as error:
        raise BenchError(f"dialogue {rendered.dialogue.id}: {error}") from error
    return call.played()


@dataclass
class _Taken:
    """A turn that was begun."""

    speaking: Speaking
    began: float
    late_secs: float = 0.0


@dataclass(frozen=True)
class _Said:
    """A sentence of the bot, as the server tells it; `aloud` once a word of it was spoken."""

    at: float
    text: str
    aloud: bool


class _Over(Exception):
    """The call has ended."""


class _Call:
    def __init__(self, rendered: Rendered, prompter: Prompter) -> None:
        self._dialogue = rendered.dialogue
        self._files = [clip.as_file(f"{self._dialogue.id} {number}") for number, clip in enumerate(rendered.clips, 1)]
        self._prompter = prompter
        self._listener = Listener()
        self._transcript = Transcript()
        self._microphone = Microphone(lambda *_: None, rendered.background)
        self._line = Line(self._microphone, self._on_heard, self._on_message)
        self._taken: list[_Taken] = []
        self._said: list[_Said] = []
        self._problem: str | None = None
        self._ended = float("inf")
        self._late_secs = 0.0

    async def run(self, url: str, token: str | None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            async with httpx.AsyncClient(headers=headers, timeout=CONNECT_SECS) as http:
                await self._line.dial(http, url, CONNECT_SECS)
            await self._until(lambda: self._transcript.ready, READY_SECS)
            await self._until(lambda: False, LEAD_SECS)
            await self._until(self._quiet, LONGEST_ANSWER_SECS)  # It may greet its callers.
            for index in range(len(self._files)):
                await self._take(index)
        except _Over:
            self._problem = (
                self._problem
                or f"the call was lost: {self._line.gone or self._transcript.ending or 'the server hung up'}"
            )
        finally:
            self._ended = clock()
            self._note_lateness()
            await self._line.close()
            self._microphone.stop()

    def played(self) -> Played:
        """What there is to judge."""
        whole = [taken for taken in self._taken if taken.speaking.first is not None and taken.speaking.last is not None]
        starts = [*(taken.began for taken in whole[1:]), self._ended]
        bursts = tuple(self._listener.bursts)
        return Played(
            [
                Heard(
                    self._dialogue.turns[index],
                    taken.speaking.first or 0.0,
                    taken.speaking.last or 0.0,
                    bursts,
                    until,
                    self._replaced(taken, until),
                    None if self._prompter.knows_lengths else self._told(taken, until),
                    taken.late_secs,
                )
                for index, (taken, until) in enumerate(zip(whole, starts, strict=True))
            ],
            [turn.heard_text() for turn in self._transcript.turns],
            [turn.stages for turn in self._transcript.turns],
            self._problem,
            self._late_secs,
        )

    async def _take(self, index: int) -> None:
        turn, is_last = self._dialogue.turns[index], index + 1 == len(self._files)
        if turn.over_ms is None:
            await self._until(self._quiet, LONGEST_ANSWER_SECS)
            self._transcript.assume_stopped(clock())
        elif not await self._until_over(index, turn.over_ms / 1000):
            raise _Over
        self._note_lateness()
        await self._prompter.next_answer(long=self._dialogue.is_talked_over(index))
        self._transcript.begin_turn()
        speaking = self._microphone.speak(self._files[index])
        self._taken.append(_Taken(speaking, clock()))
        await self._until(lambda: speaking.last is not None, len(self._files[index].pcm) / 48_000 + 5)
        self._note_lateness()
        last = speaking.last or clock()
        self._transcript.end_of_speech(last)
        if "silence" in turn.expect:
            await self._until(lambda: clock() > last + SILENT_SECS, SILENT_SECS + 1)
        elif "keeps_speaking" in turn.expect:
            await self._until(lambda: clock() > last + WATCHED_SECS, WATCHED_SECS + 1)
        elif "answer" in turn.expect:
            await self._until(lambda: self._answered(last, is_last), ANSWER_SECS)
        else:
            await self._until(lambda: clock() > last + STOPPED_SECS * 2, STOPPED_SECS * 2 + 1)

    def _note_lateness(self) -> None:
        """Of the turn taken last, since this was last asked."""
        if self._taken:
            self._taken[-1].late_secs = max(self._taken[-1].late_secs, self._microphone.worst_lateness_secs)
        self._late_secs = max(self._late_secs, self._microphone.worst_lateness_secs)
        self._microphone.worst_lateness_secs = 0.0

    def _answered(self, last: float, is_last: bool) -> bool:
        answer = answer_to(last, self._listener.bursts)
        return answer is not None and (not is_last or clock() > answer.start + ENOUGH_SECS)

    async def _until_over(self, index: int, secs: float) -> bool:
        """Wait for the moment in the answer to the turn before; whether there is such an answer."""
        last = self._taken[index - 1].speaking.last
        answer = answer_to(last or clock(), self._listener.bursts)
        if answer is None:
            self._problem = f"turn {index + 1}: there was no answer to talk over"
            return False
        await self._until(lambda: clock() >= answer.start + secs, secs + 1)
        return True

    def _quiet(self) -> bool:
        said = self._transcript.talks
        silent_secs = clock() - max(self._listener.last_audible, said[-1].start if said else float("-inf"))
        stopped = not said or not self._transcript.bot_talking
        return silent_secs >= (SETTLE_SECS if stopped else 3 * SETTLE_SECS)

    async def _until(self, reached: Callable[[], bool], timeout_secs: float) -> bool:
        deadline = clock() + timeout_secs
        while not reached():
            if self._transcript.peer_left or self._line.gone:
                raise _Over
            if clock() >= deadline:
                return False
            await asyncio.sleep(POLL_SECS)
        return True

    def _replaced(self, taken: _Taken, until: float) -> bool:
        """Whether the bot, after the turn began, spoke words of another answer than the one that it was giving."""
        before = [said.text for said in self._said if said.at < taken.began]
        after = [said.text for said in self._said if taken.began <= said.at < until and said.aloud]
        return bool(before) and any(not self._prompter.is_same_answer(before[-1], text) for text in after)

    def _told(self, taken: _Taken, until: float) -> bool:
        return any(taken.began <= at < until for at in self._transcript.interruptions)

    def _on_heard(self, arrival: float, pcm: np.ndarray) -> None:
        self._listener.hear(arrival, pcm)

    def _on_message(self, message: dict[str, Any], at: float) -> None:
        self._transcript.receive(message, at)
        data = message.get("data")
        if message.get("type") == "bot-output" and isinstance(data, dict):
            # What is new was written only, and is spoken later or never.
            self._said.append(_Said(at, str(data.get("text", "")), data.get("spoken_status") != "new"))
