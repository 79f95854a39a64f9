"""The callers: they ask for the text of each utterance when its last sample has been spoken, and time the answer.

The clock is that of the event loop. Nobody waits for an earlier answer before speaking again, so that an engine that
falls behind cannot slow the load down: latency counts from when the utterance ended, not from when it was sent.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from agent.bench.load import Turn, Utterance
from engines.errors import EngineError, EngineOvertaken
from engines.protocol import SpeechToText, Transcript, TranscriptionOptions

LEAD_SECS = 0.1
"""Between the making of the tasks and the first instant of the round."""

UNANSWERED = "Unanswered"
"""What an utterance is counted as whose caller lost patience."""

BYTES_PER_SEC = 32_000


@dataclass(frozen=True)
class Answer:
    """What became of one utterance.

    Attributes:
        utterance: What was said.
        latency_secs: From its end to its text, or to the error.
        late_secs: From its end to the request: what the measuring itself took.
        transcript: What was heard, if anything was answered.
        error: The type of the error, or None.
    """

    utterance: Utterance
    latency_secs: float
    late_secs: float
    transcript: Transcript | None
    error: str | None = None


@dataclass
class Partials:
    """What became of the requests for the words so far."""

    asked: int = 0
    answered: int = 0
    overtaken: int = 0
    no_room: int = 0
    errors: dict[str, int] = field(default_factory=dict)


@dataclass
class Measured:
    """What one engine did in one round, or in several.

    Attributes:
        answers: One for each utterance.
        elapsed_secs: From the beginning of a round to its end or its last answer, the later; all rounds together.
        partials: Counts, where partials were asked for.
    """

    answers: list[Answer] = field(default_factory=list)
    elapsed_secs: float = 0.0
    partials: Partials = field(default_factory=Partials)

    def add(self, other: "Measured") -> None:
        """Take in another round."""
        self.answers += other.answers
        self.elapsed_secs += other.elapsed_secs
        for name in ("asked", "answered", "overtaken", "no_room"):
            setattr(self.partials, name, getattr(self.partials, name) + getattr(other.partials, name))
        for kind, count in other.partials.errors.items():
            self.partials.errors[kind] = self.partials.errors.get(kind, 0) + count


async def speak(
    engine: SpeechToText,
    turns: Sequence[Turn],
    *,
    secs: float,
    patience_secs: float,
    partial_secs: float | None = None,
) -> Measured:
    """Play a schedule at its own pace.

    Args:
        engine: Who is asked.
        turns: The schedule.
        secs: Its length.
        patience_secs: After so long an utterance counts as unanswered.
        partial_secs: How often the words so far are asked for while an utterance is spoken; None never.
    """
    loop = asyncio.get_running_loop()
    measured = Measured()
    began_at = loop.time() + LEAD_SECS

    async def final(turn: Turn) -> None:
        measured.answers.append(await _ask(engine, turn.utterance, _stream(turn), began_at + turn.ends, patience_secs))

    async with asyncio.TaskGroup() as group:
        for turn in turns:
            group.create_task(_at(began_at + turn.ends, final, turn))
            for secs in _instants(turn, partial_secs):
                group.create_task(
                    _at(began_at + turn.begins + secs, _ask_partial, engine, turn, secs, measured.partials)
                )
    measured.elapsed_secs = max(secs, loop.time() - began_at)
    return measured


async def saturate(
    engine: SpeechToText, utterances: Sequence[Sequence[Utterance]], *, secs: float, patience_secs: float
) -> Measured:
    """Let each caller ask for its next utterance as soon as the last is answered, for so long.

    Args:
        engine: Who is asked.
        utterances: What each caller says, in turn and over again.
        secs: Nobody asks after so long; what has been asked by then is waited for and counts.
        patience_secs: After so long an utterance counts as unanswered.
    """
    loop = asyncio.get_running_loop()
    measured = Measured()
    began_at = loop.time()

    async def caller(number: int) -> None:
        said = utterances[number]
        count = 0
        while loop.time() < began_at + secs:
            stream = f"bench-{number}"
            answer = await _ask(engine, said[count % len(said)], stream, loop.time(), patience_secs)
            measured.answers.append(answer)
            count += 1
            if answer.error:
                await asyncio.sleep(0.02)  # One who is refused at once would ask without end.

    async with asyncio.TaskGroup() as group:
        for number in range(len(utterances)):
            group.create_task(caller(number))
    measured.elapsed_secs = loop.time() - began_at
    return measured


async def _at(when: float, call: Callable[..., Awaitable[None]], *arguments: object) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(max(0.0, when - loop.time()))
    await call(*arguments)


async def _ask(
    engine: SpeechToText, utterance: Utterance, stream: str, ended_at: float, patience_secs: float
) -> Answer:
    loop = asyncio.get_running_loop()
    late_secs = max(0.0, loop.time() - ended_at)
    transcript, error = None, None
    try:
        async with asyncio.timeout_at(ended_at + patience_secs):
            transcript = await engine.transcribe(utterance.pcm, TranscriptionOptions(stream=stream))
    except TimeoutError:
        error = UNANSWERED
    except EngineError as failure:
        error = type(failure).__name__
    return Answer(utterance, loop.time() - ended_at, late_secs, transcript, error)


async def _ask_partial(engine: SpeechToText, turn: Turn, secs: float, partials: Partials) -> None:
    """As the pipeline does: not while anything waits."""
    if not engine.has_room:
        partials.no_room += 1
        return
    partials.asked += 1
    pcm = turn.utterance.pcm[: int(secs * BYTES_PER_SEC) // 2 * 2]
    try:
        await engine.transcribe(pcm, TranscriptionOptions(stream=_stream(turn), partial=True))
        partials.answered += 1
    except EngineOvertaken:
        partials.overtaken += 1
    except EngineError as failure:
        kind = type(failure).__name__
        partials.errors[kind] = partials.errors.get(kind, 0) + 1


def _stream(turn: Turn) -> str:
    return f"bench-{turn.caller}"


def _instants(turn: Turn, partial_secs: float | None) -> list[float]:
    if not partial_secs:
        return []
    instants = (number * partial_secs for number in range(1, math.ceil(turn.utterance.secs / partial_secs)))
    return [secs for secs in instants if turn.begins + secs >= 0]
