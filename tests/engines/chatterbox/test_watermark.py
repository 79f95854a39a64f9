"""The watermark in pieces is upstream's watermark of the whole, as upstream finds it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
import torch
from perth import PerthImplicitWatermarker

from engines.chatterbox import watermark
from engines.chatterbox.watermark import HELD_BACK, SAMPLE_RATE, StreamMark, Watermarker
from engines.errors import EngineFailed, WeightsError

RECORDINGS = ("librivox-0870.wav", "jfk.flac")
SECS = 5


@pytest.fixture(scope="module")
def watermarker() -> Watermarker:
    return Watermarker()


@pytest.fixture(scope="module")
def upstream() -> Any:
    assert PerthImplicitWatermarker is not None
    return PerthImplicitWatermarker()


@pytest.fixture(scope="module")
def speech(audio_folder: Path) -> list[np.ndarray]:
    """Real speech at 24 kHz, 5 s each."""
    made = []
    for name in RECORDINGS:
        samples, rate = soundfile.read(audio_folder / name, dtype="float32", always_2d=True)
        made.append(soxr.resample(samples.mean(axis=1), rate, SAMPLE_RATE)[: SECS * SAMPLE_RATE].astype(np.float32))
    return made


def marked(watermarker: Watermarker, audio: np.ndarray, *sizes: int) -> np.ndarray:
    """Marked in pieces of these sizes, in turn."""
    state, out, start = watermarker.open(), [], 0
    while start < len(audio):
        size = sizes[len(out) % len(sizes)]
        out.append(watermarker.apply([state], [audio[start : start + size]], [start + size >= len(audio)])[0])
        start += size
    return np.concatenate(out)


def confidence(upstream: Any, audio: np.ndarray) -> float:
    with torch.inference_mode():
        return float(upstream.get_watermark(audio, SAMPLE_RATE, round=False).squeeze())


def snr_db(signal: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(np.sum(signal**2) / np.sum((signal - other) ** 2)))


def test_a_whole_clip_is_marked_as_upstream_marks_it(
    watermarker: Watermarker, upstream: Any, speech: list[np.ndarray]
) -> None:
    for audio in speech:
        with torch.inference_mode():
            theirs = upstream.apply_watermark(audio, SAMPLE_RATE)[: len(audio)]
        ours = marked(watermarker, audio, len(audio))
        # What is left is their resampling, there and back.
        assert snr_db(theirs, ours[: len(theirs)]) > 60
        assert 14 < snr_db(audio, ours) < 17


@pytest.mark.parametrize("sizes", [(4_800,), (9_600, 14_400, 24_000), (100, 3_001, 0, 7, 20_000)])
def test_the_mark_of_pieces_is_found_as_that_of_the_whole(
    watermarker: Watermarker, upstream: Any, speech: list[np.ndarray], sizes: tuple[int, ...]
) -> None:
    for audio in speech:
        streamed = marked(watermarker, audio, *sizes)
        assert streamed.dtype == np.float32 and len(streamed) == len(audio)
        assert snr_db(marked(watermarker, audio, len(audio)), streamed) > 30
        pcm = (np.clip(streamed, -1, 1) * 32767).astype("<i2").astype(np.float32) / 32768
        assert confidence(upstream, pcm) > 0.95
        assert confidence(upstream, audio) < 0.5


def test_every_three_seconds_carry_the_mark(watermarker: Watermarker, upstream: Any, speech: list[np.ndarray]) -> None:
    streamed = marked(watermarker, speech[0], 9_600)
    excerpts = [streamed[start : start + 3 * SAMPLE_RATE] for start in range(0, 2 * SAMPLE_RATE + 1, SAMPLE_RATE)]
    assert min(confidence(upstream, excerpt) for excerpt in excerpts) > 0.95


def test_a_seam_has_no_step(watermarker: Watermarker, speech: list[np.ndarray]) -> None:
    """The mark alone moves no faster where pieces meet than anywhere else."""
    audio = speech[0]
    mark = marked(watermarker, audio, 9_600) - audio
    steps = np.abs(np.diff(mark))
    seams = np.arange(9_600 - HELD_BACK, len(audio), 9_600) - 1
    assert max(steps[seam] for seam in seams if seam < len(steps)) < np.max(steps) / 2


def test_a_piece_lags_twenty_milliseconds_behind(watermarker: Watermarker, speech: list[np.ndarray]) -> None:
    state, audio = watermarker.open(), speech[0]
    assert len(watermarker.apply([state], [audio[:4_800]], [False])[0]) == 4_800 - HELD_BACK
    assert len(watermarker.apply([state], [audio[4_800:9_600]], [False])[0]) == 4_800
    assert len(watermarker.apply([state], [audio[:0]], [True])[0]) == HELD_BACK


@pytest.mark.parametrize("samples", [0, 1, 200, 481, 700, 1_000])
def test_the_shortest_streams_come_out_whole(watermarker: Watermarker, samples: int) -> None:
    audio = np.linspace(-0.1, 0.1, samples, dtype=np.float32)
    whole = watermarker.apply([watermarker.open()], [audio], [True])[0]
    assert len(whole) == samples and np.isfinite(whole).all()
    state = watermarker.open()
    pieces = [watermarker.apply([state], [audio], [False])[0], watermarker.apply([state], [audio[:0]], [True])[0]]
    assert len(np.concatenate(pieces)) == samples


def test_silence_stays_silence(watermarker: Watermarker) -> None:
    assert not marked(watermarker, np.zeros(30_000, dtype=np.float32), 10_000).any()


def test_streams_of_a_batch_do_not_touch_each_other(watermarker: Watermarker, speech: list[np.ndarray]) -> None:
    """Two streams in pieces of other lengths, one of which begins late."""
    sizes, begins = (11_111, 24_000), (0, 2)
    states = [watermarker.open() for _ in speech]
    out: list[list[np.ndarray]] = [[] for _ in speech]
    for turn in range(20):
        live = []
        for number, audio in enumerate(speech):
            start = (turn - begins[number]) * sizes[number]
            if 0 <= start < len(audio):
                live.append((number, audio[start : start + sizes[number]], start + sizes[number] >= len(audio)))
        if live:
            numbers, pieces, finals = zip(*live, strict=True)
            given = watermarker.apply([states[number] for number in numbers], pieces, finals)
            for number, piece in zip(numbers, given, strict=True):
                out[number].append(piece)
    for number, audio in enumerate(speech):
        alone = marked(watermarker, audio, sizes[number])
        np.testing.assert_allclose(np.concatenate(out[number]), alone, atol=2e-6)


def test_a_failure_gives_nothing_out_and_moves_nobody_on(
    watermarker: Watermarker, speech: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    state, audio = watermarker.open(), speech[0]
    first = watermarker.apply([state], [audio[:9_600]], [False])[0]
    with monkeypatch.context() as broken:
        broken.setattr(watermarker, "_marks", lambda _: 1 / 0)
        with pytest.raises(EngineFailed, match="could not be watermarked: ZeroDivisionError"):
            watermarker.apply([state], [audio[9_600:]], [True])
    rest = watermarker.apply([state], [audio[9_600:]], [True])[0]
    np.testing.assert_array_equal(np.concatenate([first, rest]), marked(watermarker, audio, 9_600, len(audio)))


def test_what_a_stream_keeps_is_bounded(watermarker: Watermarker, speech: list[np.ndarray]) -> None:
    state: StreamMark = watermarker.open()
    for _ in range(3):
        watermarker.apply([state], [speech[0]], [False])
        assert len(state.heard) < 6_000


def test_a_mark_that_is_not_found_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watermark, "RANGE_DB", 1e-6)
    with pytest.raises(WeightsError, match="watermark is not found again"):
        Watermarker()


def test_weights_that_are_missing_stop_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = watermark.PackagedFile("resemble-perth-absent", "1.0.1", "x", "y")
    monkeypatch.setattr(watermark, "PERTH", absent)
    with pytest.raises(WeightsError, match="resemble-perth-absent==1.0.1 is not installed"):
        Watermarker()
