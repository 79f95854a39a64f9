"""The speakers: answers as a brain writes them, spoken by the engine, each heard by a listener at the pace of time.

What a speaker says, and where it is interrupted, depends on the seed and on its own number alone: more speakers are the
same speakers and some others. When it says it depends on the engine, as in a conversation: the next answer begins when
the listener has heard the last one out.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import numpy as np

from agent.bench.listener import Listener
from agent.bench.sentences import tokens
from engines.protocol import SpeechOptions, TextToSpeech

UNANSWERED = "Unanswered"
"""What an answer is counted as from which no sound came for so long that its listener lost patience."""

CHARS_PER_SEC = 14.0
"""Pace of speech, for guessing how long an answer will be."""

SHORTEST_PAUSE_SECS, LONGEST_PAUSE_SECS = 0.3, 1.0
MOST_SENTENCES = 3
POLL_SECS = 0.02


@dataclass(frozen=True)
class Speaking:
    """How many speak, for how long, and how.

    Attributes:
        speakers: How many.
        secs: Answers that are asked for within so long count.
        ramp_secs: Time before that, in which the speakers begin one after another.
        tokens_per_sec: Pace at which the text is written; None gives it whole.
        duty: Share of the time in which a speaker is heard; None lets it go on after 0.3 to 1 s.
        period_secs: Mean time from one answer of a speaker to its next, in place of `duty`.
        buffer_secs: Jitter buffer of the listeners.
        barge_in: Share of the answers that are cut off at some moment.
        patience_secs: A stream from which nothing came for so long is given up.
        seed: The same seed says the same.
    """

    speakers: int
    secs: float
    ramp_secs: float = 0.0
    tokens_per_sec: float | None = 60.0
    duty: float | None = None
    period_secs: float | None = None
    buffer_secs: float = 0.0
    barge_in: float = 0.0
    patience_secs: float = 30.0
    seed: int = 0


@dataclass(frozen=True)
class Reply:
    """One answer, as it is to be said.

    Attributes:
        sentences: What is said.
        cut_after_secs: It is cut off so long after its first sound; None lets it end.
        draw: 0 to 1, of which the pause after it is made.
    """

    sentences: tuple[str, ...]
    cut_after_secs: float | None
    draw: float

    @property
    def text(self) -> str:
        """All of it."""
        return " ".join(self.sentences)


@dataclass(frozen=True)
class Heard:
    """What became of one answer. Instants are those of the event loop's clock, lengths are seconds.

    Attributes:
        asked_at: The stream was opened, and the brain wrote its first piece.
        ready_at: The brain had written the last piece of the first sentence.
        first_at: The first sound came; None if none did.
        closed_at: The stream had ended or was closed.
        ends_at: The listener has heard it, to its end or to where it was cut off; None without sound.
        secs: Sound that came.
        gaps_secs, margins_secs, most_secs: As in `agent.bench.listener.Listener`.
        cut: Whether it was cut off.
        close_secs: From the cut to the stream's end, where the stream was still open.
        error: The type of the error, or None.
    """

    asked_at: float
    ready_at: float
    first_at: float | None
    closed_at: float
    ends_at: float | None
    secs: float
    gaps_secs: tuple[float, ...] = ()
    margins_secs: tuple[float, ...] = ()
    most_secs: float = 0.0
    cut: bool = False
    close_secs: float | None = None
    error: str | None = None


@dataclass
class Measured:
    """Everything that was said, and the time within which it counts.

    Attributes:
        answers: All, also those of the ramp and after the end.
        chunks: When sound came, and how many seconds of it.
        begins_at, ends_at: What is asked for between these instants counts.
    """

    answers: list[Heard] = field(default_factory=list)
    chunks: list[tuple[float, float]] = field(default_factory=list)
    begins_at: float = 0.0
    ends_at: float = 0.0

    @property
    def elapsed_secs(self) -> float:
        """Length of the time that counts."""
        return self.ends_at - self.begins_at

    @property
    def counted(self) -> list[Heard]:
        """The answers that were asked for in it."""
        return [answer for answer in self.answers if self.begins_at <= answer.asked_at < self.ends_at]


def replies(load: Speaking, speaker: int, sentences: Sequence[str]) -> Iterator[Reply]:
    """What one speaker says, without end."""
    random = np.random.default_rng([load.seed, speaker])
    while True:
        count = int(random.integers(1, MOST_SENTENCES + 1))
        said = tuple(sentences[int(index)] for index in random.integers(0, len(sentences), count))
        cut, where, draw = random.random(3)
        secs = sum(map(len, said)) / CHARS_PER_SEC
        yield Reply(said, float(where) * secs if cut < load.barge_in else None, float(draw))


def pause_secs(load: Speaking, heard_secs: float, draw: float) -> float:
    """How long a speaker is silent after an answer that lasted so long.

    With a share or a period the pauses are exponential beyond the shortest; their mean makes the share right.
    """
    if load.duty is None and load.period_secs is None:
        return SHORTEST_PAUSE_SECS + draw * (LONGEST_PAUSE_SECS - SHORTEST_PAUSE_SECS)
    mean_secs = heard_secs * (1 / load.duty - 1) if load.duty else (load.period_secs or 0) - heard_secs
    return SHORTEST_PAUSE_SECS + max(0.0, mean_secs - SHORTEST_PAUSE_SECS) * -math.log(1 - draw)


def written(reply: Reply, tokens_per_sec: float | None) -> tuple[list[tuple[float, str]], float]:
    """The pieces with the seconds at which the brain has written them, and when the first sentence is complete."""
    if tokens_per_sec is None:
        return [(0.0, reply.text)], 0.0
    pieces = [(number / tokens_per_sec, piece) for number, piece in enumerate(tokens(reply.text))]
    length = 0
    for secs, piece in pieces:
        length += len(piece)
        if length >= len(reply.sentences[0]):
            return pieces, secs
    return pieces, pieces[-1][0]


async def speak(
    engine: TextToSpeech,
    load: Speaking,
    sentences: Sequence[str],
    *,
    on_begin: Callable[[], None] = lambda: None,
    on_end: Callable[[], None] = lambda: None,
) -> Measured:
    """Let everybody speak until all that counts has been spoken.

    Nobody stops at the end of the time: what was asked for in it is spoken to its end beside as many as before.

    Args:
        engine: Who is asked.
        load: How many speak, and how.
        sentences: What they say.
        on_begin: Called at the first instant that counts.
        on_end: Called at the last.
    """
    run = _Run(engine, load, sentences)
    async with asyncio.TaskGroup() as group:
        speakers = [group.create_task(run.speaker(number)) for number in range(load.speakers)]
        await _until(run.measured.begins_at)
        on_begin()
        await _until(run.measured.ends_at)
        on_end()
        while run.under_way:
            await asyncio.sleep(POLL_SECS)
        for task in speakers:
            task.cancel()
    return run.measured


class _Run:
    def __init__(self, engine: TextToSpeech, load: Speaking, sentences: Sequence[str]):
        self._engine, self._load, self._sentences = engine, load, sentences
        self._began_at = asyncio.get_running_loop().time()
        begins_at = self._began_at + load.ramp_secs
        self.measured = Measured(begins_at=begins_at, ends_at=begins_at + load.secs)
        self.under_way = 0
        """Streams that are open and were asked for before the end."""

    async def speaker(self, number: int) -> None:
        loop, load = asyncio.get_running_loop(), self._load
        said = replies(load, number, self._sentences)
        # The share of a golden section spreads any number of speakers evenly over the ramp.
        await _until(self._began_at + load.ramp_secs * (number * 0.618034 % 1))
        while True:
            reply = next(said)
            matters = loop.time() < self.measured.ends_at
            self.under_way += matters
            heard = await self._listen(reply)
            self.measured.answers.append(heard)
            self.under_way -= matters
            await _until(heard.ends_at or 0)
            heard_secs = heard.ends_at - heard.first_at if heard.ends_at and heard.first_at is not None else 0.0
            await asyncio.sleep(pause_secs(load, heard_secs, reply.draw))

    async def _listen(self, reply: Reply) -> Heard:
        loop, load = asyncio.get_running_loop(), self._load
        pieces, ready_secs = written(reply, load.tokens_per_sec)
        listener = Listener(self._engine.sample_rate, buffer_secs=load.buffer_secs)
        asked_at = loop.time()
        error = await self._read(_write(pieces, asked_at), asked_at + ready_secs, listener, reply.cut_after_secs)
        closed_at = loop.time()
        cut_at = _cut_at(listener, reply.cut_after_secs)
        cut_open = error == UNANSWERED and closed_at >= cut_at
        cut = cut_open or (not error and listener.ends_at is not None and cut_at < listener.ends_at)
        if cut or error:
            listener.stop(cut_at if cut else closed_at)
        return Heard(
            asked_at=asked_at,
            ready_at=asked_at + ready_secs,
            first_at=listener.first_at,
            closed_at=closed_at,
            ends_at=listener.ends_at,
            secs=listener.secs,
            gaps_secs=tuple(listener.gaps_secs),
            margins_secs=tuple(listener.margins_secs),
            most_secs=listener.most_secs,
            cut=cut,
            close_secs=closed_at - cut_at if cut_open else None,
            error=None if cut else error,
        )

    async def _read(
        self, text: AsyncIterator[str], ready_at: float, listener: Listener, cut_after_secs: float | None
    ) -> str | None:
        """Read the stream to its end, to the cut, or until patience is lost; the error's type, or None."""
        loop, patience_secs = asyncio.get_running_loop(), self._load.patience_secs
        stream = self._engine.synthesize(text, SpeechOptions())
        limit = asyncio.timeout_at(ready_at + patience_secs)
        try:
            async with limit, aclosing(stream) as chunks:  # pyright: ignore[reportArgumentType]
                async for chunk in chunks:
                    now = loop.time()
                    self._receive(listener, chunk.pcm, now)
                    limit.reschedule(min(_cut_at(listener, cut_after_secs), now + patience_secs))
        except Exception as failure:  # Whatever it was, the others go on, and the report names it.
            return UNANSWERED if limit.expired() and isinstance(failure, TimeoutError) else type(failure).__name__
        return None

    def _receive(self, listener: Listener, pcm: bytes, now: float) -> None:
        before = listener.secs
        listener.receive(pcm, now)
        if listener.secs > before:
            self.measured.chunks.append((now, listener.secs - before))


def _cut_at(listener: Listener, cut_after_secs: float | None) -> float:
    return math.inf if cut_after_secs is None or listener.first_at is None else listener.first_at + cut_after_secs


async def _write(pieces: Sequence[tuple[float, str]], asked_at: float) -> AsyncIterator[str]:
    for secs, piece in pieces:
        await _until(asked_at + secs)
        yield piece


async def _until(when: float) -> None:
    secs = when - asyncio.get_running_loop().time()
    if secs > 0:
        await asyncio.sleep(secs)
