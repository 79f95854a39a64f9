"""Real speech through a bad path: encoded, lost and overtaken, decoded and concealed; then heard."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import jiwer
import numpy as np
import pytest
import soundfile
import soxr

from engines.whisper import WhisperEngine
from scripts.impaired_wire import PACKET_SECS, Arrival, arrivals, encoded, heard_by_agent, heard_by_aiortc
from tests.conftest import SPOKEN
from tests.engines.conftest import words
from transports.inbound_audio import RATE, SEAM_SAMPLES, Sound
from transports.jitter import AudioPacket, Fill, Play, Restart, WireCounts
from transports.opus import OpusDecoder, OpusError, carries_correction, packet_ticks

FRAME = 320
UTTERANCES = ("librivox-0870.wav", "librivox-0880.wav", "librivox-0890.wav")


def speech(name: str, folder: Path) -> np.ndarray:
    samples, rate = soundfile.read(folder / name, dtype="float32", always_2d=True)
    return (soxr.resample(samples.mean(axis=1), rate, RATE) * 32767).astype(np.int16)


def tone(secs: float = 2.0, hertz: float = 200) -> np.ndarray:
    return (8000 * np.sin(2 * np.pi * hertz * np.arange(int(secs * RATE)) / RATE)).astype(np.int16)


def without(packets: list[AudioPacket], missing: set[int]) -> list[Arrival]:
    path = arrivals(packets)
    return [arrival for number, arrival in enumerate(path) if number not in missing]


def steepest(pcm: np.ndarray, low: int, high: int) -> int:
    return int(np.abs(np.diff(pcm[max(low, 0) : high].astype(int))).max())


def error_db(heard: np.ndarray, clean: np.ndarray) -> float:
    difference = heard.astype(float) - clean
    return float(10 * np.log10((difference**2).mean() / (clean.astype(float) ** 2).mean()))


def loudness(pcm: np.ndarray) -> float:
    return float(np.sqrt((pcm.astype(float) ** 2).mean()))


@pytest.mark.parametrize("loss", [0.0, 0.01, 0.05, 0.2])
@pytest.mark.parametrize("jitter_secs", [0.0, 0.06])
@pytest.mark.parametrize("correction", [True, False])
def test_speech_keeps_its_length_to_the_sample(audio_folder: Path, loss: float, jitter_secs: float, correction: bool):
    packets = encoded(speech(UTTERANCES[1], audio_folder), correction=correction)
    heard = heard_by_agent(arrivals(packets, loss=loss, jitter_secs=jitter_secs, seed=1))
    assert len(heard.pcm) == len(packets) * FRAME
    assert heard.counts and heard.counts.lost >= loss * len(packets) * 0.3


@pytest.mark.parametrize("correction", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_no_seam_of_a_concealed_loss_clicks(audio_folder: Path, correction: bool, seed: int):
    packets = encoded(speech(UTTERANCES[0], audio_folder), correction=correction)
    clean = heard_by_agent(arrivals(packets)).pcm
    path = arrivals(packets, loss=0.1, seed=seed)
    heard = heard_by_agent(path).pcm
    came = {arrival.packet.sequence for arrival in path}
    seams = [n * FRAME + edge for n, packet in enumerate(packets) if packet.sequence not in came for edge in (0, FRAME)]
    assert len(seams) > 20
    for seam in seams:
        allowed = 1.2 * max(steepest(clean, seam - RATE // 10, seam + RATE // 10), 200)
        assert steepest(heard, seam - 3, seam + 3) <= allowed


@pytest.mark.parametrize("missing", [{30}, {30, 31}, {30, 31, 32, 33}, {20, 40, 60}])
def test_a_tone_goes_on_through_a_loss_without_a_click(missing: set[int]):
    packets = encoded(tone(), correction=False)
    clean, heard = (heard_by_agent(without(packets, lost)).pcm for lost in (set(), missing))
    assert len(clean) == len(heard)
    natural = steepest(clean, 10 * FRAME, len(clean))
    assert steepest(heard, 10 * FRAME, len(heard)) <= 1.5 * natural
    at = min(missing) * FRAME
    assert 0.5 <= loudness(heard[at : at + FRAME]) / loudness(clean[at : at + FRAME]) <= 1.5


def test_the_copy_in_the_next_packet_is_nearer_to_what_was_said_than_what_is_made_up(audio_folder: Path):
    packets = encoded(speech(UTTERANCES[0], audio_folder))
    clean = heard_by_agent(arrivals(packets)).pcm
    copied = [n for n in range(10, len(packets) - 10) if carries_correction(packets[n + 1].payload)]
    recovered, made_up = [], []
    for number in copied[:: max(len(copied) // 15, 1)]:
        decoder = OpusDecoder(RATE), OpusDecoder(RATE)
        for one in decoder:
            for packet in packets[:number]:
                one.decode(packet.payload)
        span = slice(number * FRAME, (number + 1) * FRAME)
        said = clean[span]
        if np.abs(said).max() < 500:
            continue
        recovered.append(error_db(np.frombuffer(decoder[0].recover(packets[number + 1].payload, 960), np.int16), said))
        made_up.append(error_db(np.frombuffer(decoder[1].conceal(960), np.int16), said))
    assert len(recovered) >= 8
    assert np.median(recovered) < np.median(made_up) - 3


def test_recovered_packets_are_counted(audio_folder: Path):
    packets = encoded(speech(UTTERANCES[0], audio_folder))
    number = next(n for n in range(20, 100) if carries_correction(packets[n + 1].payload))
    counts = heard_by_agent(without(packets, {number})).counts
    assert counts and (counts.lost, counts.recovered) == (1, 1)
    counts = heard_by_agent(without(encoded(tone(), correction=False), {30})).counts
    assert counts and (counts.lost, counts.recovered) == (1, 0)


def test_a_long_hole_fades_into_silence_and_out_of_it(audio_folder: Path):
    packets = encoded(tone(3))
    clean, heard = (heard_by_agent(without(packets, lost)).pcm for lost in (set(), set(range(50, 90))))
    assert len(clean) == len(heard)
    assert not heard[(50 + 6) * FRAME : 89 * FRAME].any()
    assert steepest(heard, 10 * FRAME, len(heard)) <= 1.5 * steepest(clean, 10 * FRAME, len(clean))
    assert error_db(heard[100 * FRAME :], clean[100 * FRAME :]) < -20


def test_another_encoder_is_faded_into():
    sound, first, second = Sound(WireCounts()), encoded(tone()), encoded(tone(hertz=330))
    steps = [*(Play(packet) for packet in first[:40]), Restart(), *(Play(packet) for packet in second[40:])]
    pcm = np.frombuffer(b"".join(sound.render(steps)), np.int16)
    assert len(pcm) == len(second) * FRAME
    natural = max(steepest(heard_by_agent(arrivals(one)).pcm, 10 * FRAME, 100 * FRAME) for one in (first, second))
    assert steepest(pcm, 40 * FRAME - 3, 40 * FRAME + SEAM_SAMPLES) <= 1.5 * natural


def test_a_damaged_packet_is_concealed_in_its_length():
    packets = encoded(tone())
    damaged = AudioPacket(7, 0, 0, 960, b"\x7b\x43\xff")
    sound = Sound(WireCounts())
    pcm = b"".join(sound.render([*(Play(packet) for packet in packets[:20]), Play(damaged), Play(packets[21])]))
    assert len(pcm) == 22 * FRAME * 2


def test_a_hole_shorter_than_a_packet_is_filled_to_the_sample():
    packets = encoded(tone())
    sound = Sound(WireCounts())
    sound.render([Play(packet) for packet in packets[:20]])
    for ticks in (120, 480, 960, 1080, 5760, 9600):
        assert len(b"".join(sound.render([Fill(ticks, 1, packets[20])]))) == ticks // 3 * 2


def test_what_is_no_opus_is_refused_or_has_no_length():
    assert packet_ticks(b"") == 0 and packet_ticks(b"\xff") == 0
    assert not carries_correction(b"") and not carries_correction(b"\x00")
    with pytest.raises(OpusError, match="3 bytes"):
        OpusDecoder(RATE).decode(b"\x7b\x43\xff")
    with pytest.raises(OpusError, match="11025"):
        OpusDecoder(11_025)


@pytest.fixture(scope="module")
def whisper() -> Iterator[WhisperEngine]:
    engine = WhisperEngine()
    yield engine
    asyncio.run(engine.close())


async def test_words_survive_a_bad_path(audio_folder: Path, whisper: WhisperEngine):
    """5 % lost and 60 ms of jitter: about the words of a clean path, and more than through aiortc's buffer."""
    said, heard = [], {"clean": [], "agent": [], "aiortc": []}
    for seed, name in enumerate(UTTERANCES):
        packets = encoded(np.pad(speech(name, audio_folder), (0, RATE)))
        bad = arrivals(packets, loss=0.05, jitter_secs=0.06, seed=seed)
        for way, result in (
            ("clean", heard_by_agent(arrivals(packets))),
            ("agent", heard_by_agent(bad)),
            ("aiortc", heard_by_aiortc(bad, prefetch=4)),
        ):
            heard[way].append(words((await whisper.transcribe(result.pcm.tobytes())).text))
        said.append(SPOKEN[name])
    errors = {way: jiwer.wer(said, texts) for way, texts in heard.items()}
    assert errors["agent"] <= errors["clean"] + 0.06, heard
    assert errors["aiortc"] > errors["agent"], heard


def test_aiortcs_own_buffer_stays_late_where_ours_does_not(audio_folder: Path):
    path = without(encoded(tone(4), correction=False), {50})
    ours, theirs = heard_by_agent(path), heard_by_aiortc(path, prefetch=4)
    assert max(ours.held_ms[52:]) == 0 and theirs.held_ms[-1] - theirs.held_ms[10] == pytest.approx(200)
    assert theirs.held_ms[10] == pytest.approx(4 * PACKET_SECS * 1000)
