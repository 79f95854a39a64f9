"""The caller's end of the line: signalling, the incoming audio and the data channel."""

import asyncio
import contextlib
import json
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

import av
import httpx
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.jitterbuffer import JitterFrame
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import RtpPacket
from aiortc.utils import uint16_add

from transports.caller_audio import RATE
from transports.caller_microphone import Microphone, clock
from transports.caller_report import CallNotConnected, CallRefused

RTVI_VERSION = "2.2.0"


class ArrivalBuffer:
    """Stands in for aiortc's jitter buffer and lets each packet through as it arrives, with its time.

    aiortc's own holds audio back for 80 ms, and for 200 ms more after one lost packet: that would be measured as the
    server's delay. How late packets are played is the `Listener`'s business. A packet that comes after its successor
    is dropped, and counted as lost.
    """

    def __init__(self) -> None:
        self.lost = 0
        self._newest: int | None = None
        self._arrivals: deque[tuple[JitterFrame, float]] = deque(maxlen=256)

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """aiortc's interface: whether to ask for a key frame, and the next frame to decode."""
        ahead = 1 if self._newest is None else uint16_add(packet.sequence_number, -self._newest)
        if not 0 < ahead < 0x8000:
            return False, None
        self.lost += ahead - 1
        self._newest = packet.sequence_number
        frame = JitterFrame(data=packet._data, timestamp=packet.timestamp)  # type: ignore[attr-defined]
        self._arrivals.append((frame, clock()))
        return False, frame

    def arrival_of(self, timestamp: int | None) -> float:
        """When the packet of a decoded frame arrived. aiortc has put its own timestamp on the frame by then."""
        while self._arrivals:
            frame, arrival = self._arrivals.popleft()
            if frame.timestamp == timestamp:
                return arrival
        return clock()


class Line:
    """One peer connection to the agent.

    Args:
        microphone: What is sent.
        on_audio: Told the arrival time and the samples (int16, shape (samples,), 48 kHz mono) of each frame.
        on_message: Told each JSON message of the data channel and when it came.
    """

    def __init__(
        self,
        microphone: Microphone,
        on_audio: Callable[[float, np.ndarray], None],
        on_message: Callable[[dict[str, Any], float], None],
    ) -> None:
        self.gone: str | None = None
        self.pc_id: str | None = None
        self.arrivals = ArrivalBuffer()
        self._on_audio = on_audio
        self._on_message = on_message
        self._opened = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._take_over_jitter_buffer(self._pc.addTrack(microphone))
        self._channel = self._pc.createDataChannel("chat", ordered=True)
        self._channel.on("open", self._on_open)
        self._channel.on("message", self._on_channel_message)
        self._pc.on("track", self._on_track)
        self._pc.on("connectionstatechange", self._on_state)

    async def dial(self, http: httpx.AsyncClient, url: str, timeout_secs: float) -> None:
        """Send the offer and wait until media and data channel are open.

        Raises:
            CallRefused: The server answered with an HTTP error.
            CallNotConnected: No server, no usable answer, or no media path in time.
        """
        try:
            async with asyncio.timeout(timeout_secs):
                answer = await self._offer(http, url)
                await self._pc.setRemoteDescription(answer)
                await self._opened.wait()
        except TimeoutError:
            state = f"ICE {self._pc.iceConnectionState}, peer connection {self._pc.connectionState}"
            raise CallNotConnected(f"No connection to {url} within {timeout_secs:g} s ({state}).") from None
        if self.gone:
            raise CallNotConnected(f"The connection to {url} was lost while it was being set up: {self.gone}.")

    async def close(self) -> None:
        """Hang up; nothing is left running."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._pc.close()

    def _take_over_jitter_buffer(self, sender: object) -> None:
        transceiver = next(t for t in self._pc.getTransceivers() if t.sender is sender)
        name = "_RTCRtpReceiver__jitter_buffer"
        if not hasattr(transceiver.receiver, name):
            raise RuntimeError("This aiortc keeps its jitter buffer elsewhere; arrival times would be 80 ms late.")
        setattr(transceiver.receiver, name, self.arrivals)

    async def _offer(self, http: httpx.AsyncClient, url: str) -> RTCSessionDescription:
        await self._pc.setLocalDescription(await self._pc.createOffer())
        local = self._pc.localDescription
        try:
            response = await http.post(f"{url}/api/offer", json={"sdp": local.sdp, "type": local.type})
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise CallNotConnected(f"There is no server to call at {url} ({_reason(error)}).") from error
        if not response.is_success:
            raise CallRefused(response.status_code, *_error_of(response))
        try:
            answer = response.json()
            self.pc_id = answer.get("pc_id")
            return RTCSessionDescription(sdp=answer["sdp"], type=answer["type"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CallNotConnected(
                f"{url}/api/offer did not answer with a WebRTC answer (sdp, type, pc_id)."
            ) from error

    def _on_open(self) -> None:
        self._tasks.append(asyncio.create_task(self._ping()))
        about = {"library": "voice-agent-caller"}
        ready = {"version": RTVI_VERSION, "about": about}
        message = {"label": "rtvi-ai", "type": "client-ready", "id": uuid.uuid4().hex[:8], "data": ready}
        self._channel.send(json.dumps(message))
        self._opened.set()

    async def _ping(self) -> None:
        # The server takes a peer for dead after three seconds without one.
        while self._channel.readyState == "open":
            self._channel.send(f"ping: {time.time_ns() // 1_000_000}")
            await asyncio.sleep(1.0)

    def _on_channel_message(self, raw: str | bytes) -> None:
        now = clock()
        with contextlib.suppress(ValueError):
            message = json.loads(raw)
            if isinstance(message, dict):
                self._on_message(message, now)

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "audio":
            self._tasks.append(asyncio.create_task(self._listen(track)))

    async def _listen(self, track: MediaStreamTrack) -> None:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        try:
            while True:
                frame = await track.recv()
                assert isinstance(frame, av.AudioFrame)
                arrival = self.arrivals.arrival_of(frame.pts)
                for mono in resampler.resample(frame):
                    self._on_audio(arrival, mono.to_ndarray()[0])
        except MediaStreamError:
            self._lost("the server stopped sending audio")

    def _on_state(self) -> None:
        if self._pc.connectionState in ("failed", "closed", "disconnected"):
            self._lost(f"the peer connection {self._pc.connectionState}")

    def _lost(self, reason: str) -> None:
        self.gone = self.gone or reason
        self._opened.set()


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _error_of(response: httpx.Response) -> tuple[str | None, str]:
    """Code and message of an error answer: this server's own form, FastAPI's, or the bare text."""
    with contextlib.suppress(ValueError):
        body = response.json()
        if isinstance(body, dict) and isinstance(body.get("error"), dict):
            return body["error"].get("code"), str(body["error"].get("message") or body["error"])
        if isinstance(body, dict) and "detail" in body:
            return None, str(body["detail"])
    return None, response.text.strip()[:200] or response.reason_phrase
