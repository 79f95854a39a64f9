"""What is accepted as an offer and as candidates, and when a caller counts as gone."""

import json
import random
import re
from typing import Any, cast

import pytest
from aiortc import RTCPeerConnection
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection

import transports.webrtc as webrtc
from transports.inbound_audio import inbound_audio
from transports.reordering import WaitBounds
from transports.webrtc import (
    MAX_CANDIDATES,
    Liveness,
    Offer,
    Signalling,
    SignallingError,
    UnknownConnection,
    parse_candidates,
    parse_offer,
)

CHROME_CANDIDATES = (
    "candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 0.0.0.0 rport 0 generation 0 ufrag 4ZcD "
    "network-cost 999",
    "candidate:1467250027 1 udp 2122260223 192.168.0.196 46243 typ host generation 0 ufrag EEtu network-id 1",
    "candidate:2 1 tcp 1518280447 192.168.0.196 9 typ host tcptype active generation 0 ufrag EEtu network-id 1",
    "candidate:1 1 UDP 2122252543 7f1d3c5a-9b1e-4c8e-9a4f-0d6f6b1f2a3b.local 53245 typ host",
    "a=candidate:3 1 udp 41885439 198.51.100.9 50005 typ relay raddr 203.0.113.7 rport 46154",
    "candidate:4 1 udp 2122262783 2001:db8::1 9 typ host",
)


async def sdp_of(*kinds: str, channel: bool = True) -> str:
    connection = RTCPeerConnection()
    for kind in kinds:
        connection.addTransceiver(kind, direction="sendrecv")
    if channel:
        connection.createDataChannel("signalling")
    await connection.setLocalDescription(await connection.createOffer())
    sdp = connection.localDescription.sdp
    await connection.close()
    return sdp


@pytest.fixture
async def sdp() -> str:
    return await sdp_of("audio")


def refused(parse: Any, body: Any) -> SignallingError:
    with pytest.raises(SignallingError) as caught:
        parse(body)
    assert str(caught.value) and caught.value.expected
    return caught.value


@pytest.mark.parametrize("kinds", [("audio",), ("audio", "video"), ("audio", "video", "video")])
async def test_a_real_offer_is_accepted(kinds: tuple[str, ...]):
    sdp = await sdp_of(*kinds)
    offer = parse_offer({"type": "offer", "sdp": sdp, "anything": "else"})
    assert (offer.sdp, offer.pc_id, offer.restart, offer.request_data) == (sdp, None, False, None)


@pytest.mark.parametrize("name", ["request_data", "requestData"])
async def test_an_offer_carries_its_connection_and_data(sdp: str, name: str):
    body = {"type": "offer", "sdp": sdp, "pc_id": "SmallWebRTCConnection#1", "restart_pc": True, name: {"a": 1}}
    offer = parse_offer(body)
    assert (offer.pc_id, offer.restart, offer.request_data) == ("SmallWebRTCConnection#1", True, {"a": 1})
    assert parse_offer({**body, "pc_id": None, "restart_pc": None}).restart is False


@pytest.mark.parametrize("body", [None, [], "offer", 5, True])
def test_what_is_no_object_is_refused(body: Any):
    assert refused(parse_offer, body).where == refused(parse_candidates, body).where == "body"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("type", "answer"),
        ("type", None),
        ("type", ["offer"]),
        ("sdp", None),
        ("sdp", ""),
        ("sdp", "  \n"),
        ("sdp", {"a": 1}),
        ("sdp", "v=0"),
        ("sdp", "hello"),
        ("sdp", "\0" * 100),
        ("pc_id", 5),
        ("pc_id", {}),
        ("restart_pc", "true"),
        ("restart_pc", 1),
    ],
)
async def test_each_fault_of_an_offer_names_its_field(sdp: str, field: str, value: Any):
    assert refused(parse_offer, {"type": "offer", "sdp": sdp, field: value}).where == field


async def test_an_offer_without_audio_is_refused():
    for sdp in (await sdp_of("video"), await sdp_of()):
        error = refused(parse_offer, {"type": "offer", "sdp": sdp})
        assert error.where == "sdp" and "no audio" in str(error)


@pytest.mark.parametrize(
    ("line", "words"),
    [("a=rtpmap:96 opus", "no Opus"), ("a=ice-ufrag", "ICE"), ("a=ice-pwd", "ICE"), ("a=fingerprint", "fingerprint")],
)
async def test_an_offer_that_lacks_what_a_call_needs_is_refused(sdp: str, line: str, words: str):
    assert line in sdp
    kept = [kept for kept in sdp.splitlines() if not kept.startswith(line)]
    error = refused(parse_offer, {"type": "offer", "sdp": "\r\n".join(kept) + "\r\n"})
    assert error.where == "sdp" and words in str(error)


@pytest.mark.parametrize("candidate", CHROME_CANDIDATES)
def test_candidates_of_browsers_are_accepted_without_their_prefix(candidate: str):
    entry = {"candidate": candidate, "sdp_mid": "0", "sdp_mline_index": 0}
    request = parse_candidates({"pc_id": "pc", "candidates": [entry]})
    (parsed,) = request.candidates
    assert request.pc_id == "pc"
    assert candidate.endswith(parsed.candidate) and not parsed.candidate.startswith(("a=", "candidate:"))


def test_the_end_of_candidates_and_none_at_all_are_accepted():
    assert parse_candidates({"pc_id": "pc", "candidates": []}).candidates == []
    (end,) = parse_candidates({"pc_id": "pc", "candidates": [{"candidate": ""}]}).candidates
    assert (end.candidate, end.sdp_mid, end.sdp_mline_index) == ("", "0", 0)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"pc_id": None}, "pc_id"),
        ({"pc_id": 5}, "pc_id"),
        ({"candidates": None}, "candidates"),
        ({"candidates": {}}, "candidates"),
        ({"candidates": [{"candidate": ""}] * (MAX_CANDIDATES + 1)}, "candidates"),
        ({"candidates": ["x"]}, "candidates[0]"),
        ({"candidates": [{"candidate": ""}, {}]}, "candidates[1].candidate"),
        ({"candidates": [{"candidate": 5}]}, "candidates[0].candidate"),
        ({"candidates": [{"candidate": "candidate:nonsense"}]}, "candidates[0].candidate"),
        ({"candidates": [{"candidate": "1 1 udp many 1.2.3.4 5 typ host"}]}, "candidates[0].candidate"),
        ({"candidates": [{"candidate": "", "sdp_mid": 0}]}, "candidates[0].sdp_mid"),
        ({"candidates": [{"candidate": "", "sdp_mline_index": "0"}]}, "candidates[0].sdp_mline_index"),
        ({"candidates": [{"candidate": "", "sdp_mline_index": True}]}, "candidates[0].sdp_mline_index"),
    ],
)
def test_each_fault_of_candidates_names_its_place(change: dict[str, Any], where: str):
    assert refused(parse_candidates, {"pc_id": "pc", "candidates": [], **change}).where == where


def mutated(text: str, chance: random.Random) -> str:
    kind, at = chance.randrange(5), chance.randrange(len(text))
    to = min(len(text), at + chance.randrange(1, 40))
    lines = text.splitlines(keepends=True)
    if kind == 0:
        return text[:at]
    if kind == 1:
        return text[:at] + text[to:]
    if kind == 2:
        return (
            text[:at] + "".join(chr(chance.choice([0, 10, 32, 47, 58, 65, 255, 0x1F600])) for _ in range(3)) + text[to:]
        )
    if kind == 3:
        lines.pop(chance.randrange(len(lines)))
        return "".join(lines)
    lines.insert(chance.randrange(len(lines)), chance.choice(lines))
    return "".join(lines)


async def test_a_damaged_offer_is_accepted_or_refused_and_nothing_else():
    original, chance = await sdp_of("audio", "video"), random.Random(7)
    outcomes = {"accepted": 0, "refused": 0}
    for _ in range(1500):
        damaged = original
        for _ in range(chance.randrange(1, 4)):
            damaged = mutated(damaged, chance) or "v"
        try:
            parse_offer({"type": "offer", "sdp": damaged})
            outcomes["accepted"] += 1
        except SignallingError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 50


def test_damaged_candidates_are_accepted_or_refused_and_nothing_else():
    chance, refusals = random.Random(11), set()
    for _ in range(1500):
        damaged = mutated(chance.choice(CHROME_CANDIDATES), chance)
        try:
            parse_candidates({"pc_id": "pc", "candidates": [{"candidate": damaged}]})
        except SignallingError as error:
            refusals.add(error.where)
    assert refusals == {"candidates[0].candidate"}


async def test_a_damaged_offer_that_looks_right_is_refused_when_it_is_answered():
    original, chance, refusals = await sdp_of("audio"), random.Random(3), 0
    signalling = Signalling()
    begun: list[SmallWebRTCConnection] = []

    async def begin(connection: SmallWebRTCConnection, _: Any) -> None:
        begun.append(connection)

    try:
        for _ in range(40):
            try:
                offer = parse_offer({"type": "offer", "sdp": mutated(original, chance)})
                await signalling.answer(offer, begin)
            except SignallingError:
                refusals += 1
        assert refusals
    finally:
        await signalling.close()


async def test_the_failure_of_a_new_call_is_the_answer_to_its_offer(sdp: str):
    signalling = Signalling()

    async def fail(*_: Any) -> None:
        raise RuntimeError("no room")

    with pytest.raises(RuntimeError, match="no room"):
        await signalling.answer(parse_offer({"type": "offer", "sdp": sdp}), fail)
    await signalling.close()


async def test_a_connection_is_known_until_it_is_forgotten(sdp: str):
    signalling, begun = Signalling(), []

    async def begin(connection: SmallWebRTCConnection, _: Any) -> None:
        begun.append(connection)

    answer = await signalling.answer(parse_offer({"type": "offer", "sdp": sdp}), begin)
    assert answer["type"] == "answer" and json.dumps(answer)
    assert signalling.knows(answer["pc_id"]) and not signalling.knows(None) and not signalling.knows("other")
    signalling.forget(begun[0])
    assert not signalling.knows(answer["pc_id"])
    with pytest.raises(UnknownConnection):
        await signalling.add_candidates(parse_candidates({"pc_id": answer["pc_id"], "candidates": []}))
    await begun[0].disconnect()


def test_an_offer_of_many_sections_is_refused(sdp: str):
    head, _, section = sdp.partition("m=audio")
    with pytest.raises(SignallingError, match="sections"):
        parse_offer({"type": "offer", "sdp": head + ("m=audio" + section) * 5})


async def test_a_restart_goes_on_with_the_same_connection(sdp: str):
    signalling, begun = Signalling(), []

    async def begin(connection: SmallWebRTCConnection, _: Any) -> None:
        begun.append(connection)

    answer = await signalling.answer(parse_offer({"type": "offer", "sdp": sdp}), begin)
    restart = Offer(sdp=sdp, pc_id=answer["pc_id"], restart=True)
    answers = [answer, await signalling.answer(restart, begin)]
    assert len(begun) == 1
    assert all(signalling.knows(restarted["pc_id"]) for restarted in answers)
    signalling.forget(begun[0])
    assert not any(signalling.knows(restarted["pc_id"]) for restarted in answers)
    await begun[0].disconnect()


async def test_a_new_connection_conceals_losses_and_asks_for_their_correction(sdp: str):
    signalling, begun = Signalling(waits=WaitBounds(0.02, 0.3)), []

    async def begin(connection: SmallWebRTCConnection, _: Any) -> None:
        begun.append(connection)

    answer = await signalling.answer(parse_offer({"type": "offer", "sdp": sdp}), begin)
    audio = inbound_audio(begun[0].pc)
    assert audio is not None and audio.wait_secs == 0.02
    opus = re.search(r"a=rtpmap:(\d+) opus/48000/2\r\n", answer["sdp"], re.IGNORECASE)
    assert opus and f"a=fmtp:{opus[1]} minptime=10;useinbandfec=1\r\n" in answer["sdp"]
    await begun[0].disconnect()


class Report:
    def __init__(self, packets: int):
        self.packetsReceived = packets


class Line:
    """A caller's connection as the watch sees it: its state, its audio packets, its last ping."""

    def __init__(self) -> None:
        self.connectionState = "new"
        self.packets = 0
        self._last_received_time: float | None = None
        self.pc = self.receiver = self

    def getTransceivers(self) -> list["Line"]:
        return [self]

    async def getStats(self) -> dict[str, Report]:
        return {"inbound": Report(self.packets)}


class Watch:
    """`Liveness` over a line, with a clock that goes on by one poll each time the watch looks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *events: str):
        self.line, self.now = Line(), 0.0
        self.liveness = Liveness(cast(SmallWebRTCConnection, self.line), lambda: self.now)
        self.events = iter(events)
        self.looked = 0
        monkeypatch.setattr(webrtc.asyncio, "sleep", self._poll)

    async def _poll(self, secs: float) -> None:
        self.now += secs
        self.looked += 1
        match next(self.events, ""):
            case "connected":
                self.line.connectionState = "connected"
                self.line.packets += 1
            case "audio":
                self.line.packets += 25
            case "ping":
                self.line._last_received_time = self.now


async def test_a_caller_who_never_comes_is_noticed(monkeypatch: pytest.MonkeyPatch):
    watch = Watch(monkeypatch)
    assert await watch.liveness.until_gone(vanish_secs=3, connect_secs=20) == "never-connected"
    assert watch.now == 20


async def test_a_caller_who_vanishes_is_noticed(monkeypatch: pytest.MonkeyPatch):
    watch = Watch(monkeypatch, "connected", *["audio"] * 10)
    assert await watch.liveness.until_gone(vanish_secs=3, connect_secs=20) == "vanished"
    assert watch.now == pytest.approx(5.5 + 3)


async def test_a_caller_without_a_microphone_is_there_as_long_as_pings_come(monkeypatch: pytest.MonkeyPatch):
    watch = Watch(monkeypatch, "connected", *["ping", ""] * 20)
    assert await watch.liveness.until_gone(vanish_secs=3, connect_secs=20) == "vanished"
    assert watch.now == pytest.approx(20 + 3)


async def test_a_short_gap_is_no_end(monkeypatch: pytest.MonkeyPatch):
    watch = Watch(monkeypatch, "connected", *["audio"] * 4, *[""] * 4, *["audio"] * 10)
    assert await watch.liveness.until_gone(vanish_secs=3, connect_secs=20) == "vanished"
    assert watch.now == pytest.approx(0.5 * 19 + 3)


async def test_a_caller_who_comes_late_but_in_time_is_there(monkeypatch: pytest.MonkeyPatch):
    watch = Watch(monkeypatch, *[""] * 30, "connected", *["audio"] * 30)
    assert await watch.liveness.until_gone(vanish_secs=3, connect_secs=20) == "vanished"
    assert watch.now > 30
