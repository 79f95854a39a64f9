"""Speech to text by services on other ports or machines, over one WebSocket to each of them."""

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Mapping, Sequence
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
from engines.remote_link import SAMPLE_RATE, Link, Request
from engines.remote_pool import ServicePool, first
from engines.remote_trust import DOUBT_SECS, MOST_DOUBT_SECS, Backoff, Clock, Sent, Sleep, Trust
from engines.wire import error_of, transcript_from_json

MAX_SENDS = 4
"""An utterance that a service was lost with so often may be what kills it."""

MAX_FAILURES = 2
"""An utterance at which so many services failed is at fault itself."""

HEDGE_SECS = 1.5
HEDGE_SHARE = 0.25
"""A final without an answer for so long, or for this share of the longest wait, is sent to another service as well."""


class RemoteSpeechToText(ServicePool[Link]):
    """Sends each utterance to the service that has the least to do. Implements `engines.protocol.SpeechToText`.

    A service that is lost is connected again in the background. What it had not answered goes to another, or waits for
    its return: finals do; a partial would come too late, and ends with `EngineOvertaken`. A final that a service fails
    at, or keeps for too long, is sent to another too; a service that goes on so goes last for some seconds.
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
        clock: Clock = time.monotonic,
    ):
        """Connects when it is first used, or in `warm_up`.

        Args:
            addresses: Of the services, e.g. `ws://127.0.0.1:8001`.
            token: Their access token.
            timeout_secs: Longest wait for an answer, with everything that happens meanwhile.
            ready_secs: Longest wait of `warm_up` for the first service.
            max_in_flight: Utterances without an answer for each service; beyond that `EngineBusy`. It stays below the
                service's own `max_in_flight`.
            sleep: Waits so many seconds between attempts to connect, and before a final is sent to a second service.
            rng: A number from 0 to 1, for the length of the waits between attempts and of the time a service goes last.
            clock: The time in seconds, for how long a service goes last.

        Raises:
            EngineRefused: There is no address, or one is not an address.
        """
        if not addresses:
            raise EngineRefused("no address of a speech-to-text service; expected e.g. ws://127.0.0.1:8001")
        self.name = f"speech to text at {', '.join(addresses)}"
        links = [
            Link(
                address,
                self,
                token=token,
                backoff=Backoff(rng=rng),
                trust=Trust(backoff=Backoff(first_secs=DOUBT_SECS, most_secs=MOST_DOUBT_SECS, rng=rng), clock=clock),
                sleep=sleep,
            )
            for address in addresses
        ]
        super().__init__(links, ready_secs=ready_secs)
        self._sleep = sleep
        self._timeout_secs = timeout_secs
        # Half of a short wait is left to the second service.
        self._hedge_secs = min(max(HEDGE_SECS, timeout_secs * HEDGE_SHARE), timeout_secs / 2)
        self._max_in_flight = max_in_flight * len(self._links)
        self._requests: dict[str, Request] = {}
        self._parked: list[Request] = []
        self._ids = itertools.count(1)
        self._closed = False

    @property
    def has_room(self) -> bool:
        """See `engines.protocol.SpeechToText.has_room`: as far as the services have told."""
        return len(self._requests) < self._max_in_flight and any(link.has_room for link in first(self._links))

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
        hedge = None
        if len(self._links) > 1 and not options.partial:
            hedge = asyncio.create_task(self._hedge(request))
        try:
            self._dispatch(request)
            async with asyncio.timeout(self._timeout_secs):
                return await request.future
        except TimeoutError:
            # One that was asked only now, on its return, had no time.
            asked = {link: sent for link, sent in request.links.items() if self._had_time(link, sent)}
            self._left_unanswered(request, asked)
            raise EngineUnreachable(f"no answer in {self._timeout_secs:g} s: {self._problems()}") from None
        finally:
            if hedge is not None:
                hedge.cancel()
            self._forget(request)

    async def close(self) -> None:
        """See `engines.protocol.SpeechToText.close`."""
        self._closed = True
        for request in list(self._requests.values()):
            self._fail(request, EngineClosed(f"{self.name} has been shut down"))
        await self._hang_up()

    # Where a request goes.

    def _dispatch(self, request: Request) -> None:
        link = self._choose(request)
        if link is None and not request.options.partial:
            # One that had no room may have some by now; to wait for a service to return takes longer.
            request.tried.clear()
            link = self._choose(request)
        if link is not None:
            link.send(request)
        elif request.options.partial:
            self._fail(request, EngineOvertaken(f"{self.name}: no service is ready for a partial"))
        else:
            self._parked.append(request)

    def _choose(self, request: Request) -> Link | None:
        links = first([link for link in self._links if link not in request.tried and link not in request.links])
        stream = request.options.stream
        for link in links:
            # Where its stream is, a request overtakes the partials of the stream, or joins them.
            if stream is not None and any(other.options.stream == stream for other in link.in_flight.values()):
                return link
        return min(links, key=lambda link: len(link.in_flight), default=None)

    async def _hedge(self, request: Request) -> None:
        """Send a request to a second service when the first keeps it for too long: the first answer is taken."""
        while True:
            sends = request.sends
            await self._sleep(self._hedge_secs)
            if request.sends != sends or len(request.links) != 1:
                continue  # It was sent only now, or waits for a service to return, or two have it.
            ((link, sent),) = request.links.items()
            other = self._choose(request)
            # Services that are only slow, because there is much to do, would have twice as much to do.
            if other is not None and (link.trust.silent_since(sent) or other.has_room):
                other.send(request)

    def _had_time(self, link: Link, sent: Sent) -> bool:
        return link.trust.secs_since(sent) >= self._hedge_secs

    def _left_unanswered(self, request: Request, asked: Mapping[Link, Sent]) -> None:
        """These should have answered a request by now."""
        if request.options.partial:
            return  # It yields to others: that it waits says nothing.
        for link, sent in asked.items():
            if not link.trust.left_unanswered(sent):
                continue
            problem = link.trust.problem
            if problem and any(other.works for other in self._links):
                # The rest of what it has is answered sooner by those that work.
                link.hang_up(problem)

    # What the links tell; see `engines.remote_link.Desk`.

    def ready(self, link: Link) -> None:
        """A service has come or come back: what waited for one goes there."""
        self._any_ready.set()
        parked, self._parked = self._parked, []
        for request in parked:
            self._dispatch(request)

    def answered(self, link: Link, request: Request, message: dict[str, Any]) -> None:
        """A service has answered."""
        asked_before = dict(itertools.takewhile(lambda asked: asked[0] is not link, request.links.items()))
        sent = request.links.pop(link)
        if message["type"] == "final":
            try:
                transcript = transcript_from_json(message)
            except EngineError as error:
                self._elsewhere(link, sent, request, error)
                return
            link.trust.worked()
            if not request.future.done():
                request.future.set_result(transcript)
                # Where one was asked before, it would have kept the caller waiting.
                self._left_unanswered(request, asked_before)
            return
        code = message.get("code", "failed")
        error = error_of(code, f"{link.address}: {message.get('message', 'no reason given')}")
        if code == "draining":
            link.rest("is stopping")
        elif isinstance(error, EngineClosed):
            link.hang_up(str(error))
        self._elsewhere(link, sent, request, error)

    def lost(self, link: Link, requests: list[Request]) -> None:
        """A service has gone with these."""
        for request in requests:
            request.links.pop(link, None)
            request.losses += 1
            # Meanwhile those that had no room for it may have some.
            request.tried.clear()
            if request.future.done() or request.links:
                continue
            if request.options.partial:
                self._fail(request, EngineOvertaken(f"{link.address} was lost while it had a partial"))
            elif request.losses >= MAX_SENDS:
                problem = f"services were lost {request.losses} times while they had this utterance: {link.problem}"
                self._fail(request, EngineFailed(f"{self.name}: {problem}"))
            else:
                self._dispatch(request)

    def _elsewhere(self, link: Link, sent: Sent, request: Request, error: EngineError) -> None:
        """What one has no room or no life for, or failed at, goes to another; other errors are the caller's."""
        request.tried.add(link)
        if isinstance(error, EngineFailed):
            request.failures += 1
            link.trust.failed(sent, str(error).removeprefix(f"{link.address}: "))
        if request.future.done() or request.links:
            return  # Another has it too, and may do better.
        final = not request.options.partial
        if isinstance(error, EngineClosed):
            request.losses += 1
            again = final and request.losses < MAX_SENDS
        elif isinstance(error, EngineFailed):
            again = final and request.failures < MAX_FAILURES and self._choose(request) is not None
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
        for link in request.links:
            link.cancel(request)
        if request.future.done() and not request.future.cancelled():
            request.future.exception()  # Looked at, also where the caller has gone in the meantime.
