"""Signalling: offers and answers over Pipecat's SmallWebRTC, and the watch over the connections that come of them."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import aiortc.sdp
from aiortc import RTCIceServer
from aiortc.exceptions import InternalError, InvalidAccessError, InvalidStateError, OperationError
from aiortc.rtcrtpreceiver import RTCRtpReceiver
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection
from pipecat.transports.smallwebrtc.request_handler import (
    IceCandidate,
    SmallWebRTCPatchRequest,
    SmallWebRTCRequest,
    SmallWebRTCRequestHandler,
)

from transports.inbound_audio import take_over_audio
from transports.reordering import WaitBounds

MAX_CANDIDATES = 64
MAX_SECTIONS = 4
"""Audio, two videos that some clients offer and nobody sends, the data channel. Each more costs a decoder's thread."""

SDP_FAULTS = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError),
    *(InternalError, InvalidAccessError, InvalidStateError, OperationError),
)
"""What aiortc raises at an SDP that it cannot accept."""

POLL_SECS = 0.5

OnConnection = Callable[[SmallWebRTCConnection, Any], Awaitable[None]]


class SignallingError(Exception):
    """A request of the signalling is malformed.

    Attributes:
        where: The field at fault.
        expected: What was expected there.
    """

    def __init__(self, message: str, *, where: str, expected: str):
        super().__init__(message)
        self.where = where
        self.expected = expected


class UnknownConnection(Exception):
    """There is no connection of that `pc_id`, or no longer."""


@dataclass(frozen=True)
class Offer:
    """A checked offer. `pc_id` names a running connection that the caller renegotiates or restarts."""

    sdp: str
    pc_id: str | None = None
    restart: bool = False
    request_data: Any = None


def parse_offer(body: Any) -> Offer:
    """Check the JSON of `POST /api/offer`.

    Raises:
        SignallingError: A field is missing, of the wrong type, or the SDP could not carry a call.
    """
    fields = _object(body)
    if fields.get("type") != "offer":
        raise SignallingError(f"type is {str(fields.get('type'))[:40]!r}", where="type", expected='"offer"')
    sdp = fields.get("sdp")
    if not isinstance(sdp, str) or not sdp.strip():
        raise SignallingError("sdp is missing or not a string", where="sdp", expected="an SDP offer")
    pc_id = fields.get("pc_id")
    if pc_id is not None and not isinstance(pc_id, str):
        raise SignallingError("pc_id is not a string", where="pc_id", expected="a string, or nothing")
    restart = fields.get("restart_pc")
    if restart is not None and not isinstance(restart, bool):
        raise SignallingError("restart_pc is not a boolean", where="restart_pc", expected="true, false, or nothing")
    _check_sdp(sdp)
    data = fields.get("request_data", fields.get("requestData"))
    return Offer(sdp=sdp, pc_id=pc_id, restart=bool(restart), request_data=data)


def parse_candidates(body: Any) -> SmallWebRTCPatchRequest:
    """Check the JSON of `PATCH /api/offer`.

    Raises:
        SignallingError: A field is missing or of the wrong type.
    """
    fields = _object(body)
    pc_id, candidates = fields.get("pc_id"), fields.get("candidates")
    if not isinstance(pc_id, str):
        raise SignallingError("pc_id is missing or not a string", where="pc_id", expected="the pc_id of the answer")
    if not isinstance(candidates, list) or len(candidates) > MAX_CANDIDATES:
        raise SignallingError(
            "candidates is not a list, or too long",
            where="candidates",
            expected=f"a list of at most {MAX_CANDIDATES} ICE candidates",
        )
    return SmallWebRTCPatchRequest(pc_id, [_candidate(entry, f"candidates[{i}]") for i, entry in enumerate(candidates)])


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise SignallingError(f"the body is a JSON {type(body).__name__}", where="body", expected="a JSON object")
    return body


def _check_sdp(sdp: str) -> None:
    try:
        session = aiortc.sdp.SessionDescription.parse(sdp)
    except Exception as error:
        raise SignallingError(
            f"the SDP cannot be read: {type(error).__name__}",
            where="sdp",
            expected="a session description as in RFC 8866",
        ) from error
    if len(session.media) > MAX_SECTIONS:
        raise SignallingError(
            f"the SDP has {len(session.media)} sections", where="sdp", expected=f"at most {MAX_SECTIONS} m= sections"
        )
    audio = [media for media in session.media if media.kind == "audio"]
    if not audio:
        raise SignallingError("the SDP offers no audio", where="sdp", expected="an m=audio section")
    if not any(codec.mimeType.lower() == "audio/opus" for media in audio for codec in media.rtp.codecs):
        raise SignallingError("the SDP offers no Opus", where="sdp", expected="Opus in the m=audio section")
    for media in session.media:
        if media.ice is None or not media.ice.usernameFragment or not media.ice.password:
            raise SignallingError("the SDP has no ICE credentials", where="sdp", expected="a=ice-ufrag and a=ice-pwd")
        if media.dtls is None or not media.dtls.fingerprints:
            raise SignallingError("the SDP has no DTLS fingerprint", where="sdp", expected="a=fingerprint")


def _candidate(entry: Any, where: str) -> IceCandidate:
    if not isinstance(entry, dict):
        raise SignallingError("a candidate is not an object", where=where, expected="an object")
    text, mid, index = entry.get("candidate"), entry.get("sdp_mid"), entry.get("sdp_mline_index")
    if not isinstance(text, str):
        raise SignallingError(
            "candidate is missing or not a string",
            where=f"{where}.candidate",
            expected="an ICE candidate, or an empty string at their end",
        )
    if mid is not None and not isinstance(mid, str):
        raise SignallingError("sdp_mid is not a string", where=f"{where}.sdp_mid", expected="a string")
    if index is not None and (not isinstance(index, int) or isinstance(index, bool)):
        raise SignallingError(
            "sdp_mline_index is not an integer", where=f"{where}.sdp_mline_index", expected="an integer"
        )
    if text:
        text = re.sub(r"^(a=)?candidate:", "", text)
        try:
            aiortc.sdp.candidate_from_sdp(text)
        except Exception as error:
            raise SignallingError(
                "the ICE candidate cannot be read", where=f"{where}.candidate", expected="a candidate as in RFC 8839"
            ) from error
    return IceCandidate(candidate=text, sdp_mid=mid or "0", sdp_mline_index=index or 0)


class Signalling(SmallWebRTCRequestHandler):
    """Pipecat's request handler, for checked requests.

    Args:
        ice_servers: STUN and TURN servers.
        waits: Bounds of the wait for a missing packet of the caller's audio.
    """

    def __init__(self, ice_servers: Sequence[RTCIceServer] = (), waits: WaitBounds | None = None):
        super().__init__(ice_servers=list(ice_servers) or None)
        self._waits = waits or WaitBounds()
        self._renegotiating = asyncio.Lock()

    def knows(self, pc_id: str | None) -> bool:
        """Whether a running connection goes by this id."""
        return pc_id is not None and pc_id in self._pcs_map

    async def answer(self, offer: Offer, on_connection: OnConnection) -> dict[str, str]:
        """Answer an offer: a new connection is handed to `on_connection`, a known one is renegotiated.

        Returns:
            `sdp`, `type` and `pc_id`.

        Raises:
            SignallingError: aiortc cannot accept the SDP after all.
        """
        request = SmallWebRTCRequest(
            sdp=offer.sdp,
            type="offer",
            pc_id=offer.pc_id,
            restart_pc=offer.restart,
            request_data=offer.request_data,
        )
        failure: list[BaseException] = []
        known = self._pcs_map.get(offer.pc_id) if offer.pc_id else None

        async def connected(connection: SmallWebRTCConnection) -> None:
            # The handler answers even when this raises, so a failure is kept and raised after it.
            try:
                await on_connection(connection, offer.request_data)
            except BaseException as error:
                failure.append(error)
                raise

        try:
            # Two restarts of one connection at once would answer each other's offers.
            async with self._renegotiating if known else nullcontext():
                answer = await self.handle_web_request(request, connected)
        except SDP_FAULTS as error:
            if known is not None:
                # A restart closes the old connection before it tries the new one: there is no call to go back to.
                await known.disconnect()
            raise SignallingError(
                f"the SDP cannot be accepted: {error}", where="sdp", expected="an offer of one audio stream"
            ) from error
        if failure:
            connection = self._pcs_map[answer["pc_id"]] if answer else None
            if connection is not None:
                self.forget(connection)
                await connection.disconnect()
            raise failure[0]
        assert answer is not None
        take_over_audio(self._pcs_map[answer["pc_id"]].pc, self._waits)
        return {**answer, "sdp": asking_for_correction(answer["sdp"])}

    async def add_candidates(self, request: SmallWebRTCPatchRequest) -> None:
        """Give a running connection more of the caller's ICE candidates.

        Raises:
            UnknownConnection: It is not running.
        """
        if not self.knows(request.pc_id):
            raise UnknownConnection(request.pc_id)
        await self.handle_patch_request(request)

    def forget(self, connection: SmallWebRTCConnection) -> None:
        """Drop every id of an ended connection; one that was restarted has had several."""
        self._pcs_map = {pc_id: known for pc_id, known in self._pcs_map.items() if known is not connection}


def asking_for_correction(sdp: str) -> str:
    """The answer with Opus' in-band forward error correction asked for, which aiortc leaves out.

    A browser sends it only to those who ask, and only when packets get lost.
    """
    if "useinbandfec=1" in sdp:
        return sdp
    line = r"\g<0>a=fmtp:\g<1> minptime=10;useinbandfec=1\r\n"
    return re.sub(r"a=rtpmap:(\d+) opus/48000/2\r\n", line, sdp, flags=re.IGNORECASE)


class Liveness:
    """Notices that a caller has vanished.

    A caller is there as long as audio packets or the data channel's pings come. WebRTC itself would notice after half a
    minute, and Pipecat's transport not at all.
    """

    def __init__(self, connection: SmallWebRTCConnection, clock: Callable[[], float]):
        """
        Args:
            connection: The caller's connection.
            clock: Monotonic time in seconds.
        """
        self._connection = connection
        self._clock = clock
        self._last_sign: tuple[Any, ...] = ()
        self._last_change = clock()

    async def silent_secs(self) -> float:
        """Time since the last sign of life."""
        sign = await self._sign()
        if sign != self._last_sign:
            self._last_sign, self._last_change = sign, self._clock()
        return self._clock() - self._last_change

    async def until_gone(self, *, vanish_secs: float, connect_secs: float) -> str:
        """Return when the caller has been silent for `vanish_secs`, or has not come within `connect_secs`.

        Returns:
            `vanished` or `never-connected`.
        """
        began_at, arrived = self._clock(), False
        while True:
            await asyncio.sleep(POLL_SECS)
            silent = await self.silent_secs()
            arrived = arrived or self._connection.pc.connectionState == "connected"
            if arrived and silent >= vanish_secs:
                return "vanished"
            if not arrived and self._clock() - began_at >= connect_secs:
                return "never-connected"

    async def _sign(self) -> tuple[Any, ...]:
        packets = 0
        for transceiver in self._connection.pc.getTransceivers():
            receiver: RTCRtpReceiver = transceiver.receiver
            for report in (await receiver.getStats()).values():
                packets += getattr(report, "packetsReceived", 0)
        # The time of the last ping is kept by the connection for its own use.
        return packets, self._connection._last_received_time
