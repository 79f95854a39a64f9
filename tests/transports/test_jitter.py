"""The jitter buffer by itself, in virtual time: what it plays, conceals and waits for, on every kind of bad path."""

import random
from collections.abc import Iterable

import pytest

from transports.jitter import (
    CLOCK_RATE,
    MAX_FILL_TICKS,
    MAX_HELD,
    AudioJitterBuffer,
    AudioPacket,
    Fill,
    Play,
    Restart,
    Step,
    unwrap,
)
from transports.reordering import ReorderingWindow, WaitBounds

TICKS = 960
SECS = 0.02
BOUNDS = WaitBounds(0.01, 0.15)


def packet(number: int, *, ssrc: int = 1, first: int = 1000, epoch: int = 70_000, ticks: int = TICKS) -> AudioPacket:
    """The packet of a place in the stream, whose payload is that place."""
    sequence, timestamp = (first + number) & 0xFFFF, (epoch + number * ticks) & 0xFFFFFFFF
    return AudioPacket(ssrc, sequence, timestamp, ticks, str(number).encode())


class Receiver:
    """Runs a buffer in virtual time and keeps what it said and when."""

    def __init__(self, bounds: WaitBounds = BOUNDS):
        self.buffer = AudioJitterBuffer(bounds)
        self.steps: list[tuple[float, Step]] = []
        self.polls = 0

    def run(self, arrivals: Iterable[tuple[float, AudioPacket]]) -> "Receiver":
        now = 0.0
        for at, arrived in arrivals:
            self._until(now, at)
            now = at
            self.steps += [(at, step) for step in self.buffer.add(arrived, at)]
        self._until(now, now + 10)
        return self

    def _until(self, now: float, end: float) -> None:
        while (deadline := self.buffer.deadline(now)) is not None and deadline < end:
            now = max(now, deadline)
            self.polls += 1
            self.steps += [(now, step) for step in self.buffer.poll(now)]

    @property
    def played(self) -> list[int]:
        return [int(step.packet.payload) for _, step in self.steps if isinstance(step, Play)]

    @property
    def fills(self) -> list[Fill]:
        return [step for _, step in self.steps if isinstance(step, Fill)]

    @property
    def ticks(self) -> int:
        return sum(
            step.packet.ticks if isinstance(step, Play) else step.ticks
            for _, step in self.steps
            if not isinstance(step, Restart)
        )

    def delays(self) -> dict[int, float]:
        """By place in the stream: how long after it was sent, at best on arrival, a packet was played."""
        return {
            int(step.packet.payload): at - int(step.packet.payload) * SECS
            for at, step in self.steps
            if isinstance(step, Play)
        }


def sent(numbers: Iterable[int], **fields: int) -> list[tuple[float, AudioPacket]]:
    """Packets that arrive as they are sent."""
    return [(number * SECS, packet(number, **fields)) for number in numbers]


def delayed(count: int, seed: int, *, loss: float = 0.0, jitter_secs: float = 0.0, in_order: bool = False):
    """A path that delays each packet by itself, so that they overtake each other unless kept in order, and loses some.

    The first comes first, and the last comes.
    """
    chance, arrivals, latest = random.Random(seed), [], 0.0
    for number in range(count):
        at = number * SECS + (chance.uniform(0, jitter_secs) if number else 0)
        if in_order:
            at = latest = max(latest, at)
        if number in (0, count - 1) or chance.random() >= loss:
            arrivals.append((at, packet(number)))
    return sorted(arrivals, key=lambda arrival: arrival[0])


def test_packets_in_order_are_played_as_they_arrive():
    receiver = Receiver().run(sent(range(500)))
    assert receiver.played == list(range(500))
    assert max(receiver.delays().values()) == 0 and not receiver.fills and not receiver.polls


def test_uneven_arrivals_in_order_cost_nothing_and_conceal_nothing():
    arrivals = delayed(500, seed=1, jitter_secs=0.2, in_order=True)
    receiver = Receiver().run(arrivals)
    assert receiver.played == list(range(500)) and not receiver.fills
    assert receiver.delays() == {number: at - number * SECS for number, (at, _) in enumerate(arrivals)}
    assert receiver.buffer.window.wait_secs(11) == BOUNDS.least_secs


@pytest.mark.parametrize("missing", [[100], [100, 200], [100, 101, 102], list(range(100, 140))])
def test_a_loss_is_concealed_to_the_sample_and_leaves_no_delay(missing: list[int]):
    receiver = Receiver().run(sent(number for number in range(400) if number not in missing))
    assert receiver.ticks == 400 * TICKS
    assert receiver.buffer.counts.lost == len(missing) == sum(fill.lost for fill in receiver.fills)
    assert receiver.played == [number for number in range(400) if number not in missing]
    after = max(missing) + 1
    delays = receiver.delays()
    assert delays[101 if 101 in delays else after] == pytest.approx(BOUNDS.least_secs)
    assert all(delay == 0 for number, delay in delays.items() if number - 1 not in missing)


def test_what_lies_behind_a_loss_is_played_though_nothing_more_comes():
    arrivals = sent(number for number in range(51) if number != 49)
    receiver = Receiver().run(arrivals)
    assert receiver.played[-2:] == [48, 50] and receiver.ticks == 51 * TICKS and receiver.polls == 1


def test_nothing_is_done_while_nothing_comes():
    receiver = Receiver().run(sent(range(10)))
    assert receiver.buffer.deadline(99.0) is None and receiver.buffer.poll(99.0) == []
    assert receiver.polls == 0


def test_the_packet_behind_a_hole_is_named_for_its_correction():
    (fill,) = Receiver().run(sent(number for number in range(20) if number not in (7, 8))).fills
    assert (fill.ticks, fill.lost, fill.before) == (2 * TICKS, 2, packet(9))


def test_overtaken_packets_are_waited_for_once_the_path_is_known():
    arrivals = delayed(1000, seed=2, jitter_secs=0.06)
    receiver = Receiver().run(arrivals)
    assert receiver.ticks == 1000 * TICKS
    early, later = (
        sum(fill.lost for at, fill in receiver.steps if isinstance(fill, Fill) and low <= at < high)
        for low, high in ((0, 2), (2, 99))
    )
    assert early <= 8 and later <= 0.03 * 900
    assert max(receiver.delays().values()) < 0.06 + 0.06
    assert receiver.buffer.counts.late == receiver.buffer.counts.lost


def test_an_overtaken_packet_within_the_least_wait_is_not_lost():
    arrivals = sent(range(20))
    arrivals[10] = (11 * SECS + 0.009, arrivals[10][1])
    receiver = Receiver().run(sorted(arrivals, key=lambda arrival: arrival[0]))
    assert receiver.played == list(range(20)) and not receiver.fills


def test_delay_does_not_grow_on_a_path_that_loses_and_jitters():
    receiver = Receiver().run(delayed(6000, seed=3, loss=0.05, jitter_secs=0.06))
    delays = receiver.delays()
    thirds = [[delays[number] for number in range(low, low + 2000) if number in delays] for low in (0, 2000, 4000)]
    means = [sum(third) / len(third) for third in thirds]
    assert max(means) - min(means) < 0.003
    assert receiver.ticks == 6000 * TICKS
    assert max(delays.values()) <= 0.06 + BOUNDS.most_secs


def test_losses_alone_do_not_widen_the_window():
    receiver = Receiver().run(delayed(2000, seed=4, loss=0.2))
    assert receiver.buffer.window.wait_secs(40) == BOUNDS.least_secs
    assert receiver.buffer.counts.lost == pytest.approx(400, abs=60)


def test_duplicates_are_played_once():
    once = delayed(300, seed=5, jitter_secs=0.06)
    again = [(at + 0.03, twice) for at, twice in once]
    receiver = Receiver().run(sorted(once + again, key=lambda arrival: arrival[0]))
    assert receiver.played == sorted(set(receiver.played))
    counts = receiver.buffer.counts
    assert counts.received == 600 and counts.duplicates + counts.late + len(receiver.played) == 600


def test_a_late_bunch_is_played_at_once_and_leaves_no_delay():
    arrivals = [(max(at, 2.0) if at >= 1.0 and at < 2.0 else at, one) for at, one in sent(range(200))]
    receiver = Receiver().run(arrivals)
    assert receiver.played == list(range(200)) and not receiver.fills
    assert all(delay == 0 for number, delay in receiver.delays().items() if number >= 100)


def test_a_bunch_in_reverse_is_put_in_order():
    arrivals = sent(range(10)) + [(0.5, packet(number)) for number in range(20, 9, -1)]
    receiver = Receiver().run(arrivals)
    assert receiver.played == list(range(21)) and not receiver.fills


@pytest.mark.parametrize("parts_per_million", [-300, 300])
def test_a_drifting_sender_never_falls_behind(parts_per_million: int):
    pace = 1 + parts_per_million / 1e6
    arrivals = [(number * SECS * pace, packet(number)) for number in range(30_000) if number % 50]
    receiver = Receiver().run(arrivals)
    lags = [at - int(step.packet.payload) * SECS * pace for at, step in receiver.steps if isinstance(step, Play)]
    assert max(lags[10:]) <= BOUNDS.least_secs + 1e-6 and receiver.ticks == 29_999 * TICKS


@pytest.mark.parametrize("first", [65_500, 65_535, 0])
@pytest.mark.parametrize("epoch", [2**32 - 20_000, 0])
def test_numbers_and_timestamps_wrap_around(first: int, epoch: int):
    arrivals = [
        (number * SECS, packet(number, first=first, epoch=epoch)) for number in range(200) if number not in (20, 36)
    ]
    arrivals[60], arrivals[61] = (arrivals[60][0], arrivals[61][1]), (arrivals[60][0] + 0.005, arrivals[60][1])
    receiver = Receiver().run(arrivals)
    assert receiver.ticks == 200 * TICKS and receiver.buffer.counts.lost == 2
    assert receiver.played == sorted(receiver.played) and len(receiver.played) == 198


def test_a_pause_of_the_sender_is_filled_without_a_loss():
    """Discontinuous transmission: sequence numbers go on, timestamps jump by the silence."""
    arrivals = sent(range(50))
    arrivals += [
        (at + 0.4, AudioPacket(1, one.sequence, one.timestamp + 19_200, TICKS, one.payload))
        for at, one in sent(range(50, 100))
    ]
    receiver = Receiver().run(arrivals)
    assert receiver.buffer.counts.lost == 0 and receiver.ticks == 100 * TICKS + 19_200
    (fill,) = receiver.fills
    assert (fill.ticks, fill.lost) == (19_200, 0)


def test_packets_of_no_sound_leave_no_hole():
    """Telephone events and padding take sequence numbers but no time."""
    arrivals = sent(range(10))
    arrivals += [
        (at, AudioPacket(1, (one.sequence + 3) & 0xFFFF, one.timestamp, TICKS, one.payload))
        for at, one in sent(range(10, 20))
    ]
    receiver = Receiver().run(arrivals)
    assert receiver.ticks == 20 * TICKS and not receiver.fills and receiver.buffer.counts.lost == 3


@pytest.mark.parametrize("jump", [60 * CLOCK_RATE, -60 * CLOCK_RATE, 2**31 - 10])
def test_a_clock_that_jumps_is_followed_by_the_time_that_passed(jump: int):
    arrivals = sent(range(50))
    arrivals += [
        (at + 0.3, AudioPacket(1, one.sequence, (one.timestamp + jump) & 0xFFFFFFFF, TICKS, one.payload))
        for at, one in sent(range(50, 100))
    ]
    receiver = Receiver().run(arrivals)
    assert receiver.played == list(range(100))
    assert sum(fill.ticks for fill in receiver.fills) == pytest.approx(0.3 * CLOCK_RATE, abs=120)


def test_an_outage_is_filled_up_to_its_bound():
    receiver = Receiver().run(sent([*range(50), *range(350, 400)]))
    assert [fill.ticks for fill in receiver.fills] == [MAX_FILL_TICKS] and receiver.buffer.counts.lost == 300
    assert receiver.delays()[351] == 0


@pytest.mark.parametrize("fields", [{"ssrc": 2, "first": 5, "epoch": 9}, {"first": 40_000, "epoch": 3}, {"first": 800}])
def test_a_sender_that_begins_anew_is_followed(fields: dict[str, int]):
    receiver = Receiver().run(sent(range(50)) + sent(range(50, 100), **fields))
    assert receiver.played == list(range(100)) and receiver.buffer.counts.restarts == 1
    restarts = [at for at, step in receiver.steps if isinstance(step, Restart)]
    assert restarts == [51 * SECS] and receiver.delays()[52] == 0
    assert receiver.ticks == pytest.approx(100 * TICKS, abs=120)


def test_a_restart_lets_go_of_what_was_held():
    receiver = Receiver(WaitBounds(1, 1)).run(sent([0, 1, 3, 4]) + sent(range(5, 10), ssrc=2))
    assert receiver.played == [0, 1, 3, 4, 5, 6, 7, 8, 9] and receiver.ticks == 10 * TICKS


def test_stray_packets_of_a_former_sender_change_nothing():
    stray = [(at + 0.001, packet(number, ssrc=1)) for number in (40, 47, 44) for at in (number * SECS,)]
    arrivals = sorted(sent(range(30)) + sent(range(30, 90), ssrc=2, first=9) + stray, key=lambda arrival: arrival[0])
    receiver = Receiver().run(arrivals)
    assert receiver.buffer.counts.restarts == 1 and receiver.played == list(range(90))


def test_a_clock_that_leaps_all_the_time_is_not_followed():
    leap = 95 * TICKS
    arrivals = [
        (at, AudioPacket(1, one.sequence, (number * leap) & 0xFFFFFFFF, TICKS, one.payload))
        for number, (at, one) in enumerate(sent(range(500)))
    ]
    receiver = Receiver().run(arrivals)
    assert receiver.played == list(range(500))
    assert receiver.ticks <= (500 + 100 + 10) * TICKS


def test_holes_in_a_bunch_after_an_outage_are_filled():
    """Five seconds come at once, one in ten packets missing."""
    late = [(6.0 + number * 1e-4, packet(number)) for number in range(50, 300) if number % 10]
    receiver = Receiver().run(sent(range(50)) + late)
    assert receiver.ticks == 300 * TICKS and receiver.buffer.counts.lost == 25


def test_a_flood_behind_a_hole_is_bounded():
    receiver = Receiver(WaitBounds(1, 1))
    arrivals = [(0.0, packet(0))] + [(0.001, packet(number)) for number in range(2, 3000)]
    for at, one in arrivals:
        receiver.steps += [(at, step) for step in receiver.buffer.add(one, at)]
        assert len(receiver.buffer._held) <= MAX_HELD
    assert receiver.played[-1] == 2999


def test_rounding_of_odd_timestamps_does_not_add_up():
    arrivals = [
        (at, AudioPacket(1, one.sequence, one.timestamp + 60 * (number > 5), TICKS, one.payload))
        for number, (at, one) in enumerate(sent(range(1000)))
    ]
    receiver = Receiver().run(arrivals)
    assert receiver.ticks == 1000 * TICKS and not receiver.fills


@pytest.mark.parametrize("ticks", [480, 1920, 2880])
def test_packets_of_other_lengths(ticks: int):
    arrivals = [
        (number * ticks / CLOCK_RATE, packet(number, ticks=ticks)) for number in range(100) if number not in (9, 10)
    ]
    receiver = Receiver().run(arrivals)
    assert receiver.ticks == 100 * ticks and [fill.ticks for fill in receiver.fills] == [2 * ticks]


@pytest.mark.parametrize("seed", range(20))
def test_any_path_keeps_order_and_length(seed: int):
    chance = random.Random(seed)
    arrivals = delayed(400, seed, loss=chance.uniform(0, 0.4), jitter_secs=chance.uniform(0, 0.4))
    arrivals += [(at + chance.uniform(0, 1), one) for at, one in chance.sample(arrivals, 60)]
    arrivals.sort(key=lambda arrival: arrival[0])
    first, last = int(arrivals[0][1].payload), max(int(one.payload) for _, one in arrivals)
    receiver = Receiver().run(arrivals)
    assert receiver.played == sorted(set(receiver.played)) and receiver.played[0] == first
    assert receiver.ticks == (last - first + 1) * TICKS
    counts = receiver.buffer.counts
    assert counts.received == len(arrivals) == len(receiver.played) + counts.late + counts.duplicates
    assert counts.lost == last - first + 1 - len(receiver.played)


def test_the_window_covers_most_of_what_came_after_all():
    window = ReorderingWindow(BOUNDS)
    assert window.wait_secs(0) == BOUNDS.least_secs
    window.overtaken(0.04, now=1)
    assert window.wait_secs(1) == pytest.approx(0.05)
    for _ in range(60):
        window.overtaken(0.02, now=2)
    assert window.wait_secs(2) == pytest.approx(0.03)


def test_the_window_forgets_and_stays_in_its_bounds():
    window = ReorderingWindow(BOUNDS)
    window.overtaken(0.149, now=0)
    assert window.wait_secs(1) == BOUNDS.most_secs
    window.overtaken(0.5, now=5)
    assert window.wait_secs(10.5) == BOUNDS.least_secs


def test_unwrapping_takes_the_nearest():
    assert [unwrap(value, near, 16) for value, near in ((0, 65_535), (65_535, 65_536), (5, 5), (65_535, 0))] == [
        *(65_536, 65_535, 5, -1)
    ]
