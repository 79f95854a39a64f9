"""What one client of `/v1/stream/tts` has under way. Knows the messages, but not the socket."""

import asyncio
from collections.abc import Callable

from services.common.errors import Refusal
from services.common.messages import WrongRequest
from services.tts.messages import Heard, Speak, Start, StreamOptions, Text, complete
from services.tts.service import TtsService
from services.tts.spoken import PutAudio, Say, SpokenStream

MAX_REFUSED = 1024
"""Streams that were refused, whose text is passed over; older ones are forgotten."""


class Streams:
    """The streams of one connection, each spoken in a task."""

    def __init__(self, service: TtsService, say: Say, put_audio: PutAudio, fail: Callable[[BaseException], None]):
        """
        Args:
            service: Speaks.
            say: Sends a message to the client.
            put_audio: Sends sound to it, and waits while it has enough to read.
            fail: Told of an error that ends the connection.
        """
        self._service = service
        self._say = say
        self._put_audio = put_audio
        self._fail = fail
        self._streams: dict[str, SpokenStream] = {}
        self._tasks: dict[str, asyncio.Task[Refusal | None]] = {}
        self._refused: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    # What the client says.

    def begin(self, start: Start, message: Speak) -> None:
        """A stream is opened.

        Raises:
            Refusal: One of this id is under way (`bad_message`).
        """
        self._claim(message.id)
        try:
            self._service.state.check_open()
            most = self._service.settings.max_streams
            if len(self) >= most:
                raise Refusal("busy", f"{most} streams of this connection are open, the most that may")
            self._run(message.id, complete(start, message))
        except Refusal as refusal:
            self.refuse(message.id, refusal)

    def begin_wrong(self, message: WrongRequest) -> None:
        """A stream is opened that asks for what cannot be.

        Raises:
            Refusal: As `begin`.
        """
        self._claim(message.id)
        self.refuse(message.id, Refusal("refused", message.reason))

    def _claim(self, stream_id: str) -> None:
        if stream_id in self._tasks:
            raise Refusal("bad_message", f"stream {stream_id!r} is under way; expected an id of its own")
        self._refused.pop(stream_id, None)

    def _run(self, stream_id: str, asked: StreamOptions) -> None:
        stream = SpokenStream(self._service, stream_id, asked, self._say, self._put_audio)
        task = asyncio.create_task(stream.run())
        self._streams[stream_id], self._tasks[stream_id] = stream, task
        task.add_done_callback(lambda ended: self._ended(stream, ended))

    def write(self, message: Text) -> None:
        """More text of a stream."""
        if stream := self._writable(message.id):
            try:
                stream.write(message.text)
            except Refusal as refusal:
                self.refuse(message.id, refusal)

    def flush(self, stream_id: str) -> None:
        """What has come of a stream's text is spoken."""
        if stream := self._writable(stream_id):
            stream.flush()

    def end(self, stream_id: str) -> None:
        """The text of a stream is complete."""
        if stream := self._writable(stream_id):
            stream.end()
        self._refused.pop(stream_id, None)

    def _writable(self, stream_id: str) -> SpokenStream | None:
        """The stream; None where it was refused, and where there is none, which is told.

        Raises:
            Refusal: Its text was complete (`bad_message`).
        """
        stream = self._streams.get(stream_id)
        if stream is not None and stream.script.is_complete:
            raise Refusal("bad_message", f"text of stream {stream_id!r} came after its `end`; expected none")
        if stream is None and stream_id not in self._refused:
            self._tell(stream_id, Refusal("unknown_id", f"stream {stream_id!r} is not open; expected `speak` first"))
        return stream

    def hear(self, message: Heard) -> None:
        """The client has done with sound. Of one that has ended meanwhile nothing need be known."""
        if stream := self._streams.get(message.id):
            stream.hear(message.samples)

    def cancel(self, stream_id: str) -> None:
        """Drop a stream; `cancelled` is said when its place is free. One that is not there has ended meanwhile."""
        self._refused.pop(stream_id, None)
        if stream := self._streams.pop(stream_id, None):
            stream.is_cancelled = True
            self._tasks[stream_id].cancel()

    def refuse(self, stream_id: str, refusal: Refusal) -> None:
        """Give a stream up, and say why; text of it that still comes is passed over."""
        if self._streams.pop(stream_id, None):
            self._tasks[stream_id].cancel()
        self._pass_over(stream_id)
        self._tell(stream_id, refusal)

    def finish(self) -> None:
        """No more text will come."""
        for stream in self._streams.values():
            if not stream.script.is_complete:
                stream.end()

    # What becomes of them.

    async def done(self) -> None:
        """Wait until everything is spoken."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    async def close(self) -> None:
        """Cancel everything."""
        tasks = list(self._tasks.values())
        self._streams.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _pass_over(self, stream_id: str) -> None:
        self._refused[stream_id] = None
        if len(self._refused) > MAX_REFUSED:
            del self._refused[next(iter(self._refused))]

    def _tell(self, stream_id: str, refusal: Refusal) -> None:
        self._service.metrics.refused.labels(refusal.code).inc()
        self._say({"type": "error", "id": stream_id, "code": refusal.code, "message": str(refusal)})

    def _ended(self, stream: SpokenStream, task: "asyncio.Task[Refusal | None]") -> None:
        del self._tasks[stream.id]
        self._streams.pop(stream.id, None)
        try:
            if task.cancelled():
                if stream.is_cancelled:
                    self._say({"type": "cancelled", "id": stream.id})
            elif (error := task.exception()) is not None:
                self._fail(error)
            elif (refusal := task.result()) is not None:
                if not stream.script.is_complete:
                    self._pass_over(stream.id)
                self._tell(stream.id, refusal)
        except Refusal as unread:
            self._fail(unread)
