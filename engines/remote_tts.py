"""Text to speech by services on other ports or machines, over one WebSocket to each of them."""

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from dataclasses import replace

from engines.errors import (
    EngineBusy,
    EngineClosed,
    EngineError,
    EngineFailed,
    EngineRefused,
    EngineUnreachable,
)
from engines.protocol import DEFAULT_SPEECH, SpeechChunk, SpeechOptions, Voice
from engines.remote_pool import ServicePool, first
from engines.remote_trust import DOUBT_SECS, MOST_DOUBT_SECS, Backoff, Clock, Sleep, Trust
from engines.remote_voice import AHEAD_SECS, BYTES_PER_SAMPLE, SAMPLE_RATE, Stream, VoiceLink

MAX_LOSSES = 4
"""A stream that a service was lost with so often may be what kills it."""

MAX_FAILURES = 2
"""A stream at which so many services failed is at fault itself."""

MOVE_SECS = 1.5
MOVE_SHARE = 0.25
"""A stream without its first sound for so long, or for this share of the longest wait, goes to another service."""

TOLD_SAMPLES = int(AHEAD_SECS * SAMPLE_RATE / 5)
"""How often a service is told what was taken: before it would have to stop."""


class RemoteTextToSpeech(ServicePool[VoiceLink]):
    """Has each stream spoken by the service that has the fewest. Implements `engines.protocol.TextToSpeech`.

    Until the first sound of a stream its text is kept: what a service that is full, stops, fails, hangs or is lost has
    not begun to speak goes to another, or waits for its return. After it, the stream ends with the error.
    """

    sample_rate = SAMPLE_RATE

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        token: str | None = None,
        timeout_secs: float = 20.0,
        ready_secs: float = 30.0,
        max_streams: int = 120,
        voice: str | None = None,
        sleep: Sleep = asyncio.sleep,
        rng: Callable[[], float] = random.random,
        clock: Clock = time.monotonic,
    ):
        """Connects when it is first used, or in `warm_up`.

        Args:
            addresses: Of the services, e.g. `ws://127.0.0.1:8002`.
            token: Their access token.
            timeout_secs: Longest wait for sound once the text is complete or was flushed, with everything that happens
                meanwhile.
            ready_secs: Longest wait of `warm_up` for the first service.
            max_streams: Streams for each service; beyond that `EngineBusy`. It stays below the service's own
                `max_streams`.
            voice: Who speaks where a stream does not say; None leaves it to the service.
            sleep: Waits so many seconds between attempts to connect.
            rng: A number from 0 to 1, for the length of the waits between attempts and of the time a service goes last.
            clock: The time in seconds, for how long a service goes last.

        Raises:
            EngineRefused: There is no address, or one is not an address.
        """
        if not addresses:
            raise EngineRefused("no address of a text-to-speech service; expected e.g. ws://127.0.0.1:8002")
        self.name = f"text to speech at {', '.join(addresses)}"
        links = [
            VoiceLink(
                address,
                self,
                token=token,
                backoff=Backoff(rng=rng),
                trust=Trust(
                    backoff=Backoff(first_secs=DOUBT_SECS, most_secs=MOST_DOUBT_SECS, rng=rng),
                    clock=clock,
                    what="streams",
                ),
                sleep=sleep,
            )
            for address in addresses
        ]
        super().__init__(links, ready_secs=ready_secs)
        self._timeout_secs = timeout_secs
        self._move_secs = min(max(MOVE_SECS, timeout_secs * MOVE_SHARE), timeout_secs / 2)
        self._max_streams = max_streams * len(links)
        self._voice = voice
        self._streams: dict[str, Stream] = {}
        self._parked: list[Stream] = []
        self._ids = itertools.count(1)
        self._closed = False

    async def voices(self) -> tuple[Voice, ...]:
        """See `engines.protocol.TextToSpeech.voices`: those of the first service that tells.

        Raises:
            EngineUnreachable: None told in time.
        """
        self._check_open()
        self._start()
        try:
            async with asyncio.timeout(self._timeout_secs):
                while True:
                    await self._any_ready.wait()
                    for link in first(self._links):
                        asked = link.ask_voices()
                        try:
                            await asyncio.wait([asked])
                        finally:
                            asked.cancel()
                        if not asked.cancelled():
                            return asked.result()
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise EngineUnreachable(f"no answer in {self._timeout_secs:g} s: {self._problems()}") from None

    async def synthesize(
        self, text: AsyncIterable[str], options: SpeechOptions = DEFAULT_SPEECH
    ) -> AsyncIterator[SpeechChunk]:
        """See `engines.protocol.TextToSpeech.synthesize`.

        The service makes a few seconds more than was taken, and stops then.

        Raises:
            EngineUnreachable: No service gave sound in time, or the one that did was lost.
        """
        self._check_open()
        if len(self._streams) >= self._max_streams:
            raise EngineBusy(f"{self.name}: {len(self._streams)} streams are open, the most that may")
        self._start()
        if options.voice is None:
            options = replace(options, voice=self._voice)
        stream = Stream(f"s{next(self._ids)}", options)
        self._streams[stream.id] = stream
        writing = asyncio.create_task(self._write(stream, text))
        try:
            while (chunk := await self._next(stream)) is not None:
                yield chunk
                self._take(stream, chunk)
        finally:
            self._forget(stream)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    async def close(self) -> None:
        """See `engines.protocol.TextToSpeech.close`."""
        self._closed = True
        for stream in list(self._streams.values()):
            stream.fail(EngineClosed(f"{self.name} has been shut down"))
        await self._hang_up()

    def _check_open(self) -> None:
        if self._closed:
            raise EngineClosed(f"{self.name} has been shut down")

    # The text.

    async def _write(self, stream: Stream, text: AsyncIterable[str]) -> None:
        """Pass the text on as it is written. The service is chosen when there is some."""
        try:
            async for piece in text:
                if stream.is_done or stream.error is not None:
                    return
                stream.add(piece, self._now())
                if stream.link is not None:
                    stream.link.more(stream, piece)
                elif piece and stream not in self._parked:
                    self._dispatch(stream)
        except Exception as error:
            stream.fail(error)
            return
        stream.complete(self._now())
        if stream.link is not None:
            stream.link.end(stream)
        elif not any(stream.pieces):
            stream.is_done = True

    # The sound.

    async def _next(self, stream: Stream) -> SpeechChunk | None:
        """The next piece of sound; None at the end."""
        waited_from = self._now()
        while not stream.arrived:
            if stream.error is not None:
                raise stream.error
            if stream.is_done:
                return None
            stream.news.clear()
            try:
                async with asyncio.timeout_at(self._patience_ends(stream, waited_from)):
                    await stream.news.wait()
            except TimeoutError:
                self._miss(stream, waited_from)
        return stream.arrived.popleft()

    def _patience_ends(self, stream: Stream, waited_from: float) -> float | None:
        """Until when sound has to come, or the stream goes elsewhere; None while its text is not complete."""
        if stream.owed_since is None:
            return None
        since = max(stream.owed_since, waited_from)
        may_move = stream.link is not None and not stream.samples and not stream.tried
        return since + (self._move_secs if may_move and len(self._links) > 1 else self._timeout_secs)

    def _miss(self, stream: Stream, waited_from: float) -> None:
        """The sound is late."""
        if stream.owed_since is None:
            return
        link, waited = stream.link, self._now() - max(stream.owed_since, waited_from)
        if waited < self._timeout_secs - 0.01:
            assert link is not None and stream.sent is not None
            stream.tried.add(link)
            other = self._choose(stream)
            # One that is only slow, because there is much to do, would do the same work twice.
            if other is not None and link.trust.silent_since(stream.sent):
                self._left_unanswered(stream)
                link.cancel(stream)
                other.send(stream)
            return
        self._left_unanswered(stream)
        stream.fail(EngineUnreachable(f"no sound in {self._timeout_secs:g} s: {self._problems()}"))

    def _left_unanswered(self, stream: Stream) -> None:
        link, sent = stream.link, stream.sent
        # What waits for a stream's own turn, or for its listener, says nothing.
        if link is None or sent is None or link.trust.secs_since(sent) < self._move_secs:
            return
        is_fault, problem = link.trust.left_unanswered(sent), link.trust.problem
        if is_fault and problem and any(other.works for other in self._links):
            # The rest of what it has is spoken sooner by those that work.
            link.hang_up(problem)

    def _take(self, stream: Stream, chunk: SpeechChunk) -> None:
        stream.taken += len(chunk.pcm) // BYTES_PER_SAMPLE
        if stream.link is not None and not stream.is_done and stream.taken - stream.told >= TOLD_SAMPLES:
            stream.link.heard(stream)

    # Where a stream goes.

    def _dispatch(self, stream: Stream) -> None:
        link = self._choose(stream)
        if link is None:
            # One that had no room may have some by now; to wait for a service to return takes longer.
            stream.tried.clear()
            link = self._choose(stream)
        if link is None:
            stream.link = None
            self._parked.append(stream)
        else:
            link.send(stream)

    def _choose(self, stream: Stream) -> VoiceLink | None:
        links = first([link for link in self._links if link not in stream.tried])
        return min(links, key=lambda link: len(link.in_flight), default=None)

    def _forget(self, stream: Stream) -> None:
        """Nobody listens any more: what was not spoken is cancelled."""
        self._streams.pop(stream.id, None)
        if stream in self._parked:
            self._parked.remove(stream)
        if stream.link is not None:
            stream.link.cancel(stream)

    # What the links tell; see `engines.remote_voice.Desk`.

    def ready(self, link: VoiceLink) -> None:
        """A service has come or come back: what waited for one goes there."""
        self._any_ready.set()
        parked, self._parked = self._parked, []
        for stream in parked:
            self._dispatch(stream)

    def arrived(self, link: VoiceLink, stream: Stream) -> None:
        """Sound has come, or its end."""
        if not stream.is_complete:
            stream.owed_since = None  # Whether more follows of what was flushed, only the service knows.
        stream.news.set()

    def refused(self, link: VoiceLink, stream: Stream, code: str, error: EngineError) -> None:
        """What one has no room or no life for, or failed at, goes to another; other errors are the caller's."""
        assert stream.sent is not None
        if code == "draining":
            link.rest("is stopping")
        elif isinstance(error, EngineClosed):
            link.hang_up(str(error))
        if isinstance(error, EngineFailed):
            stream.failures += 1
            link.trust.failed(stream.sent, str(error).removeprefix(f"{link.address}: "))
        stream.link = None
        stream.tried.add(link)
        if stream.samples or not self._goes_on(stream, error):
            stream.fail(error)
        else:
            self._dispatch(stream)

    def _goes_on(self, stream: Stream, error: EngineError) -> bool:
        """Whether a stream that was refused before its first sound goes to another service."""
        if isinstance(error, EngineClosed):
            stream.losses += 1
            return stream.losses < MAX_LOSSES
        if isinstance(error, EngineFailed):
            return stream.failures < MAX_FAILURES and self._choose(stream) is not None
        return isinstance(error, EngineBusy) and self._choose(stream) is not None

    def lost(self, link: VoiceLink, streams: list[Stream]) -> None:
        """A service has gone with these."""
        for stream in streams:
            stream.link = None
            stream.losses += 1
            # Meanwhile those that had no room for it may have some.
            stream.tried.clear()
            if stream.samples:
                stream.fail(EngineUnreachable(f"{link.address} was lost while it spoke: {link.problem}"))
            elif stream.losses >= MAX_LOSSES:
                problem = f"services were lost {stream.losses} times while they had this text: {link.problem}"
                stream.fail(EngineFailed(f"{self.name}: {problem}"))
            else:
                self._dispatch(stream)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
