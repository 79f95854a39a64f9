"""A jitter buffer for a listener who wants speech soon, not evenly spaced: what to play, to conceal, to wait for.

Pure: packets and times in, steps out. A recogniser hears what comes from here, so a packet in order is played the
moment it arrives, and the jitter of the path costs nothing. Behind a missing packet the later ones wait, for as long
as `ReorderingWindow` says; then the hole is concealed to the sample, and no delay is left, whatever was lost. The RTP
timestamps are the clock: their steps, not the sequence numbers, say how much sound is missing.
"""

from collections import OrderedDict
from dataclasses import dataclass

from transports.reordering import ReorderingWindow, WaitBounds

CLOCK_RATE = 48_000
"""Ticks of an RTP timestamp of Opus in a second (RFC 7587)."""

GRAIN_TICKS = 120
"""Opus conceals in steps of 2.5 ms."""

MAX_HELD = 64
MAX_FILL_TICKS = 2 * CLOCK_RATE
"""A longer hole is not filled to its end: nobody waits for the sound of an outage."""

MAX_CREDIT_TICKS = 10 * CLOCK_RATE
DRIFT = 1.01
"""What is played and made up is held to the time that passes here, a little more and what a pause has saved: a sender
whose clock leaps could otherwise have the pipeline hear a hundred seconds in one."""

MAX_DROPOUT = 3000
MAX_MISORDER = 100
"""RFC 3550, A.1: beyond these a sequence number belongs to a sender that began anew."""

REMEMBERED_LOSSES = 256


@dataclass(frozen=True, slots=True)
class AudioPacket:
    """An RTP packet: sequence number of 16 bits, timestamp of 32, length of its sound in ticks."""

    ssrc: int
    sequence: int
    timestamp: int
    ticks: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Play:
    """Decode this packet."""

    packet: AudioPacket


@dataclass(frozen=True, slots=True)
class Fill:
    """Make up `ticks` of sound, for the `lost` packets that should have held it, or for none where the sender paused.

    `before` is the packet that comes next; after a loss its forward error correction may hold the end of the hole.
    """

    ticks: int
    lost: int
    before: AudioPacket


@dataclass(frozen=True, slots=True)
class Restart:
    """Another encoder speaks from here on."""


Step = Play | Fill | Restart


@dataclass
class WireCounts:
    """What came of the packets of one stream. `lost` ones were concealed; `late` are those that came after all."""

    received: int = 0
    lost: int = 0
    recovered: int = 0
    late: int = 0
    duplicates: int = 0
    restarts: int = 0
    filled_secs: float = 0.0

    def since(self, earlier: "WireCounts") -> "WireCounts":
        """The difference to an earlier state of the same counts."""
        return WireCounts(**{name: value - getattr(earlier, name) for name, value in vars(self).items()})


class AudioJitterBuffer:
    """Orders the packets of one audio stream. Times are in seconds of one monotonic clock."""

    def __init__(self, bounds: WaitBounds) -> None:
        self.counts = WireCounts()
        self.window = ReorderingWindow(bounds)
        self._ssrc: int | None = None
        self._first = 0
        self._next = 0  # Extended sequence number of the next packet to play.
        self._clock = 0  # Extended timestamp at which it should begin.
        self._played_at = 0.0  # Latest arrival of a packet that was played.
        self._ahead = 0.0  # Ticks of sound given out beyond the time that passed; negative after a pause.
        self._held: dict[int, tuple[AudioPacket, float]] = {}
        self._given_up: OrderedDict[int, float] = OrderedDict()
        self._stranger: tuple[AudioPacket, float] | None = None

    def deadline(self, now: float) -> float | None:
        """When `poll` has something to do if no packet comes before; `None` while nothing is missing."""
        return self._overtaken_at(self._next) + self.window.wait_secs(now) if self._held else None

    def add(self, packet: AudioPacket, now: float) -> list[Step]:
        """Take in a packet that arrived now."""
        self.counts.received += 1
        if self._ssrc is None:
            self._begin(packet, now)
        sequence = unwrap(packet.sequence, self._next, 16)
        ahead = sequence - self._next
        if packet.ssrc != self._ssrc or not -MAX_MISORDER <= ahead <= MAX_DROPOUT:
            return self._suspect(packet, now)
        self._stranger = None
        if ahead < 0:
            self._came_too_late(sequence, now)
            return []
        if sequence in self._held:
            self.counts.duplicates += 1
            return []
        if any(held > sequence for held in self._held):
            self.window.overtaken(now - self._overtaken_at(sequence), now)
        self._held[sequence] = packet, now
        return self.poll(now)

    def poll(self, now: float) -> list[Step]:
        """What can be played, and which holes are given up, by now."""
        steps: list[Step] = []
        while self._held:
            if self._next not in self._held:
                deadline = self.deadline(now)
                if len(self._held) <= MAX_HELD and deadline is not None and now < deadline:
                    break
            steps += self._advance()
        return steps

    def _advance(self) -> list[Step]:
        """Play the first packet held, after what is missing in front of it."""
        sequence = min(self._held)
        overtaken_at = self._overtaken_at(self._next)
        packet, arrival = self._held.pop(sequence)
        lost = sequence - self._next
        self.counts.lost += lost
        for missing in range(max(self._next, sequence - REMEMBERED_LOSSES), sequence):
            self._given_up[missing] = overtaken_at
        while len(self._given_up) > REMEMBERED_LOSSES:
            self._given_up.popitem(last=False)
        begins = unwrap(packet.timestamp, self._clock, 32)
        passed = max(arrival - self._played_at, 0) * CLOCK_RATE
        self._ahead = max(self._ahead - passed * DRIFT, -MAX_CREDIT_TICKS)
        ticks = max(min(self._missing_ticks(begins, packet, arrival), int(MAX_FILL_TICKS - self._ahead)), 0)
        self._ahead += ticks + packet.ticks
        self._next, self._clock = sequence + 1, begins + packet.ticks
        self._played_at = max(self._played_at, arrival)
        return [*self._filled(ticks, lost, packet), Play(packet)]

    def _missing_ticks(self, begins: int, packet: AudioPacket, arrival: float) -> int:
        missing = begins - self._clock
        if -MAX_FILL_TICKS <= missing <= MAX_FILL_TICKS:
            return max(missing, 0)
        # The sender's clock jumped, or stood for long: the time that passed here is all there is to go by.
        return self._elapsed_ticks(packet, arrival)

    def _elapsed_ticks(self, packet: AudioPacket, arrival: float) -> int:
        passed = int((arrival - self._played_at) * CLOCK_RATE) - packet.ticks
        return min(max(passed, 0), MAX_FILL_TICKS)

    def _filled(self, ticks: int, lost: int, before: AudioPacket) -> list[Step]:
        ticks -= ticks % GRAIN_TICKS
        self.counts.filled_secs += ticks / CLOCK_RATE
        return [Fill(ticks, lost, before)] if ticks else []

    def _came_too_late(self, sequence: int, now: float) -> None:
        overtaken_at = self._given_up.pop(sequence, None)
        if overtaken_at is not None:
            self.window.overtaken(now - overtaken_at, now)
        late = overtaken_at is not None or sequence < self._first
        self.counts.late += late
        self.counts.duplicates += not late

    def _suspect(self, packet: AudioPacket, now: float) -> list[Step]:
        """A stranger takes over once it has sent two packets in a row; a stray one of a former sender cannot."""
        former, self._stranger = self._stranger, (packet, now)
        if former is None or former[0].ssrc != packet.ssrc or (packet.sequence - former[0].sequence) & 0xFFFF != 1:
            return []
        steps: list[Step] = []
        while self._held:
            steps += self._advance()
        steps += [*self._filled(self._elapsed_ticks(*former), 0, former[0]), Restart()]
        self.counts.restarts += 1
        self._begin(*former)
        for each, arrival in (former, (packet, now)):
            self._held[unwrap(each.sequence, self._next, 16)] = each, arrival
        return steps + self.poll(now)

    def _begin(self, packet: AudioPacket, now: float) -> None:
        self._ssrc = packet.ssrc
        self._first = self._next = packet.sequence
        self._clock, self._played_at = packet.timestamp, now
        self._stranger = None
        self._given_up.clear()

    def _overtaken_at(self, sequence: int) -> float:
        return min(arrival for held, (_, arrival) in self._held.items() if held >= sequence)


def unwrap(value: int, near: int, bits: int) -> int:
    """The number nearest to `near` whose low `bits` are `value`."""
    half = 1 << (bits - 1)
    return near + ((value - near + half) & ((1 << bits) - 1)) - half
