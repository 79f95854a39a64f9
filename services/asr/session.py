"""What one client of `/v1/stream/asr` has under way. Knows the messages, but not the socket."""

import asyncio
import dataclasses
import itertools
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from engines.protocol import TranscriptionOptions
from services.asr.intake import Intake
from services.asr.messages import Cancel, End, Start, Utterance, WrongUtterance, options_for
from services.asr.service import AsrService
from services.asr.utterance import UtteranceWork
from services.common.errors import Refusal

Say = Callable[[Mapping[str, Any]], None]
_SESSIONS = itertools.count(1)


class Audience(Protocol):
    """Who hears the audio of a connection: utterances that the client marks, or the service's own ear."""

    async def hear(self, pcm: bytes) -> None:
        """Take the audio of one binary message, at the client's rate."""
        ...

    async def finish(self) -> None:
        """No more audio will come."""
        ...


class Works:
    """The utterances of one connection that are not answered yet, each in a task."""

    def __init__(self, service: AsrService, say: Say, fail: Callable[[BaseException], None]):
        """
        Args:
            service: Transcribes.
            say: Sends a message to the client.
            fail: Told of an error that ends the connection.
        """
        self.service = service
        self.say = say
        self._fail = fail
        self._number = next(_SESSIONS)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def __contains__(self, utterance_id: str) -> bool:
        return utterance_id in self._tasks

    def __len__(self) -> int:
        return len(self._tasks)

    def begin(self, utterance_id: str, options: TranscriptionOptions, *, partials: bool) -> UtteranceWork:
        """Begin to collect an utterance, and to transcribe it in parts where that is wanted.

        Raises:
            Refusal: As many utterances as may be wait for their answers (`busy`).
        """
        most = self.service.settings.max_in_flight
        if len(self) >= most:
            raise Refusal("busy", f"{most} utterances of this connection wait for their answers, the most that may")
        # Streams of two clients may have one name.
        stream = f"{self._number}/{options.stream or utterance_id}"
        work = UtteranceWork(self.service, utterance_id, dataclasses.replace(options, stream=stream), self.say)
        if partials and not options.partial:
            self._run(utterance_id, work.partials())
        return work

    def end(self, work: UtteranceWork) -> None:
        """Transcribe an utterance whose audio is complete."""
        self.drop(work.id)
        self._run(work.id, work.final())

    def drop(self, utterance_id: str) -> None:
        """Cancel what is done for an utterance, if anything is."""
        if task := self._tasks.pop(utterance_id, None):
            task.cancel()

    async def done(self) -> None:
        """Wait until every utterance is answered."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    async def close(self) -> None:
        """Cancel everything."""
        tasks = list(self._tasks.values())
        for utterance_id in list(self._tasks):
            self.drop(utterance_id)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _run(self, utterance_id: str, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks[utterance_id] = task
        task.add_done_callback(lambda ended: self._ended(utterance_id, ended))

    def _ended(self, utterance_id: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(utterance_id) is task:
            del self._tasks[utterance_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)


class MarkedUtterances:
    """Client endpointing: `utterance`, binary messages, `end`."""

    def __init__(self, start: Start, works: Works):
        self._start = start
        self._works = works
        self._open: UtteranceWork | None = None
        self._open_id: str | None = None
        # Audio of an utterance that was cancelled may still be on its way.
        self._passes_over = False
        self._intake = Intake(start.sample_rate)

    @property
    def expects_audio(self) -> bool:
        """Whether an utterance is open whose audio is wanted."""
        return self._open is not None

    def begin(self, message: Utterance) -> None:
        """An utterance begins.

        Raises:
            Refusal: Another is open, or one of this id is not answered yet (`bad_message`).
        """
        self._claim(message.id)
        options = dataclasses.replace(options_for(self._start, message), partial=message.partial, stream=message.stream)
        self._intake = Intake(self._start.sample_rate)
        try:
            self._works.service.state.check_open()
            self._open = self._works.begin(message.id, options, partials=self._start.partials)
        except Refusal as refusal:
            self.refuse(refusal)

    def begin_wrong(self, message: WrongUtterance) -> None:
        """An utterance begins that asks for what cannot be.

        Raises:
            Refusal: As `begin`.
        """
        self._claim(message.id)
        self.refuse(Refusal("refused", message.reason))

    def _claim(self, utterance_id: str) -> None:
        if self._open_id is not None:
            raise Refusal("bad_message", f"utterance {self._open_id!r} is still open; expected its end or cancel first")
        if utterance_id in self._works:
            raise Refusal("bad_message", f"utterance {utterance_id!r} is not answered yet; expected an id of its own")
        self._open_id = utterance_id
        self._passes_over = False

    async def hear(self, pcm: bytes) -> None:
        """See `Audience.hear`. What follows a refusal, up to the end of the utterance, is passed over."""
        if self._open_id is None:
            if self._passes_over:
                return
            raise Refusal(
                "bad_message", f"{len(pcm)} bytes of audio belong to no utterance; expected `utterance` first"
            )
        if self._open is None:
            return
        try:
            self._open.feed(self._intake.feed(pcm))
        except Refusal as refusal:
            self.refuse(refusal)

    def end(self, message: End) -> None:
        """The open utterance is complete."""
        if message.id != self._open_id:
            open_now = "none is" if self._open_id is None else f"{self._open_id!r} is"
            text = f"utterance {message.id!r} is not open; {open_now}"
            self._works.say({"type": "error", "id": message.id, "code": "unknown_id", "message": text})
            return
        work, self._open, self._open_id = self._open, None, None
        if work is None:
            return
        try:
            work.feed(self._intake.finish())
        except Refusal as refusal:
            self._tell(work.id, refusal)
            return
        self._works.end(work)

    def cancel(self, message: Cancel) -> None:
        """Drop an utterance. One that is not there has been answered in the meantime."""
        self._works.drop(message.id)
        if message.id == self._open_id:
            self._open = self._open_id = None
            self._passes_over = True

    def refuse(self, refusal: Refusal) -> None:
        """Give the open utterance up, and say why; the rest of its audio is passed over."""
        assert self._open_id is not None
        self._open = None
        self._tell(self._open_id, refusal)

    async def finish(self) -> None:
        """See `Audience.finish`. An utterance that was not ended is dropped."""
        if self._open_id is not None:
            self._works.drop(self._open_id)
            self._open = self._open_id = None

    def _tell(self, utterance_id: str, refusal: Refusal) -> None:
        self._works.drop(utterance_id)
        self._works.service.metrics.refused.labels(refusal.code).inc()
        self._works.say({"type": "error", "id": utterance_id, "code": refusal.code, "message": str(refusal)})
