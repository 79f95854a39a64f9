"""HiFT is upstream's, for ragged windows at once."""

from typing import Any

import pytest
import torch

from engines.chatterbox.s3gen.hift import Hift
from engines.chatterbox.s3gen.source import Source
from engines.chatterbox.s3gen.stft import BINS, HOP, SIZE, Fourier
from scripts.random_chatterbox import Modules
from tests.engines.chatterbox.s3gen_cases import lively

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def upstream(tiny_turbo: Modules) -> Any:
    return lively(tiny_turbo[1]).mel2wav


@pytest.fixture(scope="module", params=[False, True], ids=["channels first", "channels last"])
def hift(upstream: Any, request: pytest.FixtureRequest) -> Hift:
    return Hift(upstream, CPU, torch.float32, channels_last=request.param)


def window(frames: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A mel (1, frames, 80) and a source signal."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn(1, frames, 80, generator=random), torch.randn(1, 480 * frames, generator=random) * 0.1


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 2, 17])
def test_a_window_is_upstreams(hift: Hift, upstream: Any, frames: int) -> None:
    mel, source = window(frames, 1)
    found = hift.decode(mel, source, torch.tensor([frames]))
    expected = upstream.decode(mel.transpose(1, 2), source[:, None])
    assert expected.std() > 1e-3
    assert (found - expected).abs().max() < 1e-5
    pitch = hift.pitch(mel, torch.tensor([frames]))
    assert torch.allclose(pitch, upstream.f0_predictor(mel.transpose(1, 2)), atol=1e-4)


@torch.no_grad()
def test_ragged_windows_end_as_if_alone(hift: Hift) -> None:
    lengths = torch.tensor([9, 1, 20, 14])
    mel, source = torch.full((4, 20, 80), 7.0), torch.full((4, 20 * 480), 3.0)
    for row, length in enumerate(lengths.tolist()):
        mel[row, :length], source[row, : 480 * length] = (part[0] for part in window(length, row))
    audio, pitch = hift.decode(mel, source, lengths), hift.pitch(mel, lengths)
    for row, length in enumerate(lengths.tolist()):
        one, signal = window(length, row)
        only = torch.tensor([length])
        assert (audio[row, : 480 * length] - hift.decode(one, signal, only)[0]).abs().max() < 1e-5
        assert torch.allclose(pitch[row, :length], hift.pitch(one, only)[0], atol=1e-4)
        assert (pitch[row, length:] == 0).all()
    assert audio.isfinite().all()


@torch.no_grad()
def test_what_lies_14_frames_away_is_not_heard(hift: Hift) -> None:
    """The reach that windows and what is held back are made for."""
    mel, source = window(60, 3)
    whole = hift.decode(mel, source, torch.tensor([60]))
    part = hift.decode(mel[:, 10:50], source[:, 4800:24000], torch.tensor([40]))
    middle = slice(14 * 480, 26 * 480)
    assert (part[:, middle] - whole[:, 4800:][:, middle]).abs().max() < 2e-5 < whole.std()


def test_spectra_are_torchs() -> None:
    fourier, hann = Fourier(CPU), torch.hann_window(SIZE)
    samples = torch.randn(2, 960, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([960, 480])
    spectra = fourier.analyse(samples, lengths)
    for row, length in enumerate(lengths.tolist()):
        expected = torch.stft(samples[row, :length], SIZE, HOP, window=hann, return_complex=True)
        found = spectra[row, : length // HOP + 1].T
        assert torch.allclose(found[:BINS], expected.real, atol=1e-5)
        assert torch.allclose(found[BINS:], expected.imag, atol=1e-5)


def test_samples_are_torchs_even_of_spectra_that_no_signal_has() -> None:
    fourier, hann = Fourier(CPU), torch.hann_window(SIZE)
    random = torch.Generator().manual_seed(0)
    real, imaginary = (torch.randn(2, 241, BINS, generator=random) for _ in range(2))
    frames = torch.tensor([241, 100])
    found = fourier.synthesise(real, imaginary, (torch.arange(241) < frames[:, None]).float())
    for row, count in enumerate(frames.tolist()):
        spectrum = torch.complex(real[row, :count].T, imaginary[row, :count].T)
        expected = torch.istft(spectrum, SIZE, HOP, window=hann)
        assert torch.allclose(found[row, : len(expected)], expected, atol=1e-5)


def test_a_source_made_in_pieces_is_the_one_made_at_once(upstream: Any) -> None:
    source = Source(upstream.m_source, CPU)
    pitch = torch.rand(2, 30, generator=torch.Generator().manual_seed(0)) * 200
    seeds, zero = torch.tensor([5, 4_000_000_000]), torch.zeros(2, dtype=torch.int64)
    phases = source.phases(pitch, torch.zeros(2, dtype=torch.float64))
    whole = source.signal(pitch, phases, seeds, zero)
    later = source.phases(pitch[:, 11:], phases[:, 11])
    part = source.signal(pitch[:, 11:], later, seeds, zero + 11)
    assert (part - whole[:, 11 * 480 :]).abs().max() < 1e-6 < whole.std()
    assert (whole[0] - whole[1]).abs().max() > 0.01


def test_half_precision_stays_near(upstream: Any) -> None:
    mel, source = window(20, 6)
    length = torch.tensor([20])
    exact = Hift(upstream, CPU, torch.float32).decode(mel, source, length)
    rough = Hift(upstream, CPU, torch.bfloat16).decode(mel, source, length)
    assert rough.dtype == torch.float32
    assert (rough - exact).std() < 0.2 * exact.std()
