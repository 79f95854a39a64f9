"""One model in both backends, and real speech as both take it."""

import functools
from dataclasses import dataclass
from pathlib import Path

import ctranslate2
import numpy as np
import soundfile
import soxr
import torch
from faster_whisper.audio import pad_or_trim
from faster_whisper.feature_extractor import FeatureExtractor

from engines.weights import WHISPER_BASE_SHA256, WHISPER_TINY_EN, joined_whisper_base, sha256_of, verified
from engines.whisper.backend import DecodeOptions
from engines.whisper.torch_backend import TorchBackend
from tests.conftest import AUDIO

MAX_BATCH = 6
ByCT2 = tuple[list[int], float, float]
"""Tokens, summed log-probability, no-speech probability."""


@dataclass(frozen=True)
class Pair:
    """The same weights, float32, one thread."""

    torch: TorchBackend
    ct2: ctranslate2.models.Whisper

    def task(self, *, timestamps: bool) -> list[int]:
        """The prompt of an English transcript."""
        names = ["<|startoftranscript|>"]
        names += ["<|en|>", "<|transcribe|>"] if self.torch.is_multilingual else []
        names += [] if timestamps else ["<|notimestamps|>"]
        return [token(self.torch, name) for name in names]


def token(backend: TorchBackend, name: str) -> int:
    number = backend.tokenizer.token_to_id(name)
    assert number is not None
    return number


@functools.cache
def pair(model: str) -> Pair:
    """`tiny.en` or `base`, loaded once."""
    folder = verified(WHISPER_TINY_EN).parent if model == "tiny.en" else base_folder()
    return Pair(
        TorchBackend(
            folder, device="cpu", dtype="float32", max_batch=MAX_BATCH, windows={1000: MAX_BATCH, 3000: MAX_BATCH}
        ),
        ctranslate2.models.Whisper(str(folder), device="cpu", compute_type="float32", intra_threads=1),
    )


@functools.cache
def base_folder() -> Path:
    """base, put together from the two distributions that hold its halves."""
    folder = joined_whisper_base()
    assert sha256_of(folder / "model.bin") == WHISPER_BASE_SHA256
    return folder


@functools.cache
def speech() -> tuple[np.ndarray, ...]:
    """Recordings and cuts of them: float32 at 16 kHz, each shorter than 10 s."""
    whole = [_samples(AUDIO / name) for name in ("jfk.flac", "librivox-0870.wav", "librivox-0880.wav")]
    seconds = [(0, 0.5, 8.0), (0, 3.2, 10.9), (1, 0.0, 7.1), (1, 2.4, 5.0), (2, 0.0, 3.0), (2, 1.0, 2.5)]
    return tuple(whole[number][int(start * 16_000) : int(end * 16_000)] for number, start, end in seconds)


def features(audio: tuple[np.ndarray, ...], frames: int) -> np.ndarray:
    """Spectrograms (batch, 80, frames), padded with zeros as faster-whisper does."""
    return np.stack([pad_or_trim(_extractor()(one), frames) for one in audio]).astype(np.float32)


def greedy(backend: TorchBackend, max_new_tokens: int = 60, temperature: float = 0.0) -> DecodeOptions:
    """Options as the engine sets them: symbols and what marks a task are never written."""
    names = ("<|translate|>", "<|transcribe|>", "<|startoftranscript|>", "<|startofprev|>", "<|startoflm|>")
    suppressed = {1, 2, 7, 8, 9, 10, 14, 25, 26, *(token(backend, name) for name in names)}
    return DecodeOptions(1, temperature, max_new_tokens, tuple(sorted(suppressed)))


def by_ct2(
    pair: Pair, encoded: ctranslate2.StorageView, prompts: list[list[int]], options: DecodeOptions
) -> list[ByCT2]:
    """Tokens, summed log-probability and no-speech probability, as CTranslate2 finds them."""
    results = pair.ct2.generate(
        encoded,
        prompts,
        beam_size=1,
        # CTranslate2 writes half of it at most, and no more than the prompt leaves of it.
        max_length=max(2 * options.max_new_tokens, options.max_new_tokens + len(prompts[0]) - 1),
        return_scores=True,
        return_no_speech_prob=True,
        suppress_blank=options.suppress_blank,
        suppress_tokens=list(options.suppress_tokens),
        max_initial_timestamp_index=options.max_initial_timestamp,
    )
    return [
        (item.sequences_ids[0], item.scores[0] * len(item.sequences_ids[0]), item.no_speech_prob) for item in results
    ]


@torch.no_grad()
def margin(backend: TorchBackend, features: np.ndarray, begun: list[int], first: int, second: int) -> float:
    """How close two candidates for the next token are, or the sum over the timestamps and the likeliest text."""
    encoded = backend.encode(features[None])
    runner, tokens = backend._runner, backend._tokens
    runner.read_prompt([begun], begun.index(tokens.start), 1, encoded.audio.shape[1])
    logits = runner.state.logits[0]
    timestamps, text = logits[tokens.first_timestamp :], logits[: tokens.first_timestamp]
    between = float(logits[first] - logits[second])
    return min(abs(between), abs(float(timestamps.logsumexp(0) - text.max())))


@functools.cache
def _extractor() -> FeatureExtractor:
    return FeatureExtractor()


def _samples(path: Path) -> np.ndarray:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return soxr.resample(samples.mean(axis=1), rate, 16_000)
