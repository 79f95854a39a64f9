"""Speech to text by services on other ports or machines, over one WebSocket to each of them."""

import asyncio
import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any

from engines.errors import (
    EngineBusy,
    EngineClosed,
    EngineError,
    EngineFailed,
    EngineOvertaken,
    EngineRefused,
    EngineUnreachable,
)
from engines.protocol import DEFAULT_OPTIONS, Transcript, TranscriptionOptions
from engines.remote_link import SAMPLE_RATE, Backoff, Link, Request, Sleep
from engines.wire import error_of, transcript_from_json

MAX_SENDS = 4
"""An utterance that a service was lost with so often may be what kills it."""


class RemoteSpeechToText:
    """Sends each utterance to the service that has the least to do. Implements `engines.protocol.SpeechToText`.

    A service that is lost is connected again in the background. What it had not answered goes to another, or waits for
    its return: finals do; a partial would come too late, and ends with `EngineOvertaken`.
    """

    sample_rate = SAMPLE_RATE

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        token: str | None = None,
        timeout_secs: float = 20.0,
        ready_secs: float = 30.0,
        max_in_flight: int = 48,
        sleep: Sleep = asyncio.sleep,
        rng: Callable[[], float] = random.random,
    ):
        """Connects when it is first used, or in `warm_up`.

        Args:
            addresses: Of the services, e.g. `ws://127.0.0.1:8001`.
            token: Their access token.
            timeout_secs: Longest wait for an answer, with everything that happens meanwhile.
            ready_secs: Longest wait of `warm_up` for the first service.
            max_in_flight: Utterances without an answer for each service; beyond that `EngineBusy`. It stays below the
                service's own `max_in_flight`.
            sleep: Waits so many seconds between attempts to connect.
            rng: A number from 0 to 1, for the length of those waits.

        Raises:
            EngineRefused: There is no address, or one is not an address.
        """
        if not addresses:
            raise EngineRefused("no address of a speech-to-text service; expected e.g. ws://127.0.0.1:8001")
        self.name = f"speech to text at {', '.join(addresses)}"
        self._links = [Link(address, self, token=token, backoff=Backoff(rng=rng), sleep=sleep) for address in addresses]
        self._timeout_secs = timeout_secs
        self._ready_secs = ready_secs
        self._max_in_flight = max_in_flight * len(self._links)
        self._requests: dict[str, Request] = {}
        self._parked: list[Request] = []
        self._ids = itertools.count(1)
        self._running: list[asyncio.Task[None]] = []
        self._any_ready = asyncio.Event()
        self._closed = False

    @property
    def has_room(self) -> bool:
        """See `engines.protocol.SpeechToText.has_room`: as far as the services have told."""
        return len(self._requests) < self._max_in_flight and any(link.has_room for link in self._links)

    @property
    def problem(self) -> str | None:
        """See `engines.protocol.SpeechToText.problem`."""
        return None if any(link.healthy for link in self._links) else self._problems()

    async def warm_up(self) -> None:
        """Connect, and wait until one service is ready.

        Raises:
            EngineUnreachable: None was in time.
        """
        self._start()
        try:
            async with asyncio.timeout(self._ready_secs):
                await self._any_ready.wait()
        except TimeoutError:
            raise EngineUnreachable(f"no service is ready after {self._ready_secs:g} s: {self._problems()}") from None

    async def transcribe(self, pcm: bytes, options: TranscriptionOptions = DEFAULT_OPTIONS) -> Transcript:
        """See `engines.protocol.SpeechToText.transcribe`.

        Raises:
            EngineUnreachable: No service answered in time.
        """
        if self._closed:
            raise EngineClosed(f"{self.name} has been shut down")
        if len(pcm) % 2:
            raise EngineRefused(f"{len(pcm)} bytes of PCM end in half a sample; expected 16-bit samples")
        if len(self._requests) >= self._max_in_flight:
            raise EngineBusy(f"{self.name}: {len(self._requests)} utterances wait for their answers, the most that may")
        self._start()
        request = Request(f"u{next(self._ids)}", pcm, options, asyncio.get_running_loop().create_future())
        self._requests[request.id] = request
        try:
            self._dispatch(request)
            async with asyncio.timeout(self._timeout_secs):
                return await request.future
        except TimeoutError:
            raise EngineUnreachable(f"no answer in {self._timeout_secs:g} s: {self._problems()}") from None
        finally:
            self._forget(request)

    async def close(self) -> None:
        """See `engines.protocol.SpeechToText.close`."""
        self._closed = True
        for request in list(self._requests.values()):
            self._fail(request, EngineClosed(f"{self.name} has been shut down"))
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _start(self) -> None:
        if not self._running:
            self._running = [asyncio.create_task(link.run()) for link in self._links]

    # Where a request goes.

    def _dispatch(self, request: Request) -> None:
        link = self._choose(request)
        if link is not None:
            link.send(request)
        elif request.options.partial:
            self._fail(request, EngineOvertaken(f"{self.name}: no service is ready for a partial"))
        else:
            request.tried.clear()
            self._parked.append(request)

    def _choose(self, request: Request) -> Link | None:
        healthy = [link for link in self._links if link.healthy and link not in request.tried]
        stream = request.options.stream
        for link in healthy:
            # Where its stream is, a request overtakes the partials of the stream, or joins them.
            if stream is not None and any(other.options.stream == stream for other in link.in_flight.values()):
                return link
        return min(healthy, key=lambda link: len(link.in_flight), default=None)

    # What the links tell; see `engines.remote_link.Desk`.

    def ready(self, link: Link) -> None:
        """A service has come or come back: what waited for one goes there."""
        self._any_ready.set()
        parked, self._parked = self._parked, []
        for request in parked:
            self._dispatch(request)

    def answered(self, link: Link, request: Request, message: dict[str, Any]) -> None:
        """A service has answered."""
        request.link = None
        if request.future.done():
            return
        if message["type"] == "final":
            try:
                request.future.set_result(transcript_from_json(message))
            except EngineError as error:
                self._fail(request, error)
            return
        code = message.get("code", "failed")
        error = error_of(code, f"{link.address}: {message.get('message', 'no reason given')}")
        if isinstance(error, EngineClosed) and code != "draining":
            link.hang_up(str(error))
        self._elsewhere(link, request, error)

    def lost(self, link: Link, requests: list[Request]) -> None:
        """A service has gone with these."""
        for request in requests:
            request.link = None
            if request.future.done():
                continue
            if request.options.partial:
                self._fail(request, EngineOvertaken(f"{link.address} was lost while it had a partial"))
            elif request.sends >= MAX_SENDS:
                problem = f"services were lost {request.sends} times while they had this utterance: {link.problem}"
                self._fail(request, EngineFailed(f"{self.name}: {problem}"))
            else:
                self._dispatch(request)

    def _elsewhere(self, link: Link, request: Request, error: EngineError) -> None:
        """A request that a service has no room or no life for goes to another; other errors are the caller's."""
        request.tried.add(link)
        if isinstance(error, EngineClosed):
            again = not request.options.partial and request.sends < MAX_SENDS
        else:
            again = isinstance(error, EngineBusy) and self._choose(request) is not None
        if again:
            self._dispatch(request)
        else:
            self._fail(request, error)

    def _fail(self, request: Request, error: EngineError) -> None:
        if not request.future.done():
            request.future.set_exception(error)

    def _forget(self, request: Request) -> None:
        self._requests.pop(request.id, None)
        if request in self._parked:
            self._parked.remove(request)
        if request.link is not None:
            request.link.cancel(request)
        if request.future.done() and not request.future.cancelled():
            request.future.exception()  # Looked at, also where the caller has gone in the meantime.

    def _problems(self) -> str:
        return "; ".join(f"{link.address} {'is slow' if link.healthy else link.problem}" for link in self._links)
