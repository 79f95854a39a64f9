"""One batch through the model: spectrograms in, judged hypotheses out, and who has to go through it again."""

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from faster_whisper.transcribe import get_compression_ratio

from engines.batcher import Again, Done, Outcome
from engines.protocol import Segment, Transcript, Word
from engines.whisper.backend import Decoded, DecodeOptions, WhisperBackend
from engines.whisper.features import SAMPLE_RATE, Spectrograms, loudest_dbfs
from engines.whisper.gates import Evidence, Gates, Verdict, judge
from engines.whisper.prompts import MAX_POSITIONS, Prompts
from engines.whisper.times import Stretch, stretches, words_of
from engines.whisper.window import FULL_WINDOW_SECS, frames_of

BASE_TOKENS = 16
LATIN_TOKENS_PER_SEC = 10
TOKENS_PER_SEC = 20
"""Above what fast speech needs: a decoder in a loop is stopped here. Hindi takes 12, English no more than 7."""

LATIN = frozenset(
    ("en", "de", "fr", "es", "it", "pt", "nl", "pl", "tr", "sv", "da", "no", "fi", "cs", "ro", "hu", "ca")
)

TIMESTAMP_TOKENS_PER_SEC = 1

UNENDED_LOGPROB = -1.01
"""Of a text that had to be stopped: poor, however sure the decoder was, and however long its neighbours let it run."""


@dataclass(frozen=True)
class Request:
    """What one utterance asks for, with the engine's settings filled in. As `protocol.TranscriptionOptions`."""

    language: str | None
    previous: tuple[int, ...]
    beam_size: int
    temperatures: tuple[float, ...]
    timestamps: bool
    word_timestamps: bool


@dataclass(frozen=True)
class Hypothesis:
    """What one pass made of an utterance."""

    tokens: tuple[int, ...]
    text: str
    language: str
    language_probability: float
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    temperature: float
    verdict: Verdict
    words: tuple[Word, ...] = ()


@dataclass(eq=False)
class Piece:
    """Up to 30 s of one utterance, on its way through the model.

    Attributes:
        audio: Float32 samples at 16 kHz.
        request: What the utterance asks for.
        window_secs: What the encoder sees of it.
        asked_at: Clock reading when it was asked for.
        step: Which of the request's temperatures is next.
    """

    audio: np.ndarray
    request: Request
    window_secs: float
    asked_at: float
    step: int = 0
    waiting_since: float | None = None
    queue_secs: float = 0.0
    spectrogram: np.ndarray | None = None
    level: float = -np.inf
    hypotheses: list[Hypothesis] = field(default_factory=list)
    features_secs: float = 0.0
    encode_secs: float = 0.0
    decode_secs: float = 0.0
    compute_secs: float = 0.0
    batch_size: int = 1
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def audio_secs(self) -> float:
        """Its length."""
        return len(self.audio) / SAMPLE_RATE

    @property
    def temperature(self) -> float:
        """The temperature of the next pass."""
        return self.request.temperatures[self.step]

    @property
    def key(self) -> Hashable:
        """Pieces of one key can share a batch."""
        request = self.request
        # Times of words are found for one language at a time.
        words = (request.language or id(self)) if request.word_timestamps else None
        beams = request.beam_size if self.temperature == 0 else 0
        return (self.window_secs, len(request.previous), beams, self.temperature, request.timestamps, words)

    @property
    def token_limit(self) -> int:
        """Tokens after which the decoder is in a loop."""
        rate = LATIN_TOKENS_PER_SEC if self.request.language in LATIN else TOKENS_PER_SEC
        rate += TIMESTAMP_TOKENS_PER_SEC if self.request.timestamps else 0
        wanted = BASE_TOKENS + int(rate * min(self.audio_secs, FULL_WINDOW_SECS))
        # Start of transcript, language, task, no timestamps, and the mark before what came before.
        return min(wanted, MAX_POSITIONS - len(self.request.previous) - 5)

    def prepare(self, spectrograms: Spectrograms, silence_dbfs: float) -> None:
        """Make the spectrogram, unless it is silent or was made before. Two threads may try."""
        with self._lock:
            if self.spectrogram is not None or not len(self.audio):
                return
            began_at = time.perf_counter()
            self.level = loudest_dbfs(self.audio)
            if self.level >= silence_dbfs:
                self.spectrogram = spectrograms.of(self.audio)
            self.features_secs = time.perf_counter() - began_at


class Passes:
    """Runs batches of pieces of one key on a backend."""

    def __init__(
        self,
        backend: WhisperBackend,
        prompts: Prompts,
        spectrograms: Spectrograms,
        gates: Gates,
        *,
        fixed_tokens: int | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ):
        """
        Args:
            backend: The model.
            prompts: Its prompts.
            spectrograms: Its spectrograms.
            gates: What is not speech.
            fixed_tokens: Every utterance gets so many tokens: for measuring with random weights.
            clock: Seconds.
        """
        self._backend = backend
        self._prompts = prompts
        self._spectrograms = spectrograms
        self._gates = gates
        self._fixed_tokens = fixed_tokens
        self._clock = clock

    def run(self, batch: Sequence[Piece]) -> list[Outcome]:
        """Take a batch through the model once."""
        began_at = self._clock()
        for piece in batch:
            piece.queue_secs += max(0.0, began_at - (piece.waiting_since or piece.asked_at))
            piece.prepare(self._spectrograms, self._gates.silence_dbfs)
        audible = [piece for piece in batch if piece.spectrogram is not None]
        if audible:
            self._hear(audible, self._clock())
        ended_at = self._clock()
        for piece in batch:
            piece.compute_secs += ended_at - began_at
            piece.waiting_since = ended_at
        return [self._outcome(piece) for piece in batch]

    def _hear(self, batch: list[Piece], featured_at: float) -> None:
        backend, first = self._backend, batch[0]
        features = self._spectrograms.batch(
            [piece.spectrogram for piece in batch if piece.spectrogram is not None],
            frames_of(first.window_secs),
        )
        encoded = backend.encode(features)
        encoded_at = self._clock()
        languages = self._languages(batch, encoded)
        prompts = [
            self._prompts.start(language, timestamps=piece.request.timestamps, previous=piece.request.previous)
            for piece, (language, _) in zip(batch, languages, strict=True)
        ]
        decoded = backend.generate(encoded, prompts, self._decode_options(batch))
        hypotheses = [
            self._hypothesis(piece, language, item)
            for piece, language, item in zip(batch, languages, decoded, strict=True)
        ]
        if first.request.word_timestamps:
            hypotheses = self._with_words(batch, encoded, hypotheses)
        decoded_at = self._clock()
        for piece, hypothesis in zip(batch, hypotheses, strict=True):
            piece.hypotheses.append(hypothesis)
            piece.batch_size = len(batch)
            piece.encode_secs += encoded_at - featured_at
            piece.decode_secs += decoded_at - encoded_at

    def _languages(self, batch: list[Piece], encoded: Any) -> list[tuple[str, float]]:
        if all(piece.request.language is not None for piece in batch):
            return [(piece.request.language or "en", 1.0) for piece in batch]
        found = self._backend.detect_language(encoded)
        return [
            (piece.request.language, 1.0) if piece.request.language else likeliest[0]
            for piece, likeliest in zip(batch, found, strict=True)
        ]

    def _decode_options(self, batch: list[Piece]) -> DecodeOptions:
        first = batch[0]
        suppressed = self._prompts.suppressed
        if self._fixed_tokens:
            suppressed = (*suppressed, self._prompts.eot)
        return DecodeOptions(
            beam_size=first.request.beam_size,
            temperature=first.temperature,
            max_new_tokens=self._fixed_tokens or max(piece.token_limit for piece in batch),
            suppress_tokens=suppressed,
        )

    def _hypothesis(self, piece: Piece, language: tuple[str, float], decoded: Decoded) -> Hypothesis:
        # A neighbour in the batch may be longer and allow more: what a piece may write does not depend on it.
        tokens = tuple(decoded.tokens[: piece.token_limit])
        text = self._prompts.text(tokens)
        limited = len(decoded.tokens) >= piece.token_limit and not self._fixed_tokens
        avg_logprob = UNENDED_LOGPROB if limited else decoded.sum_logprob / (len(decoded.tokens) + 1)
        compression_ratio = get_compression_ratio(text) if text else 0.0
        evidence = Evidence(
            text=text,
            tokens=tuple(token for token in tokens if token < self._prompts.eot),
            language=language[0],
            avg_logprob=avg_logprob,
            no_speech_prob=decoded.no_speech_prob,
            compression_ratio=compression_ratio,
            audio_secs=piece.audio_secs,
            level_dbfs=piece.level,
            hit_token_limit=limited,
        )
        return Hypothesis(
            tokens=tokens,
            text=text,
            language=language[0],
            language_probability=language[1],
            avg_logprob=avg_logprob,
            no_speech_prob=decoded.no_speech_prob,
            compression_ratio=compression_ratio,
            temperature=piece.temperature,
            verdict=judge(evidence, self._gates),
        )

    def _with_words(self, batch: list[Piece], encoded: Any, hypotheses: list[Hypothesis]) -> list[Hypothesis]:
        language = hypotheses[0].language
        tokens = [[token for token in item.tokens if token < self._prompts.eot] for item in hypotheses]
        frames = [min(item.spectrogram.shape[1], frames_of(item.window_secs)) for item in batch]  # pyright: ignore[reportOptionalMemberAccess]
        start = self._prompts.start(language, timestamps=True)
        aligned = self._backend.align(encoded, start, tokens, frames)
        tokenizer = self._prompts.tokenizer(language)
        return [
            replace(item, words=tuple(words_of(tokenizer, text, alignment, 0.0)))
            for item, text, alignment in zip(hypotheses, tokens, aligned, strict=True)
        ]

    def _outcome(self, piece: Piece) -> Outcome:
        if piece.spectrogram is None:
            return Done(self._silence(piece))
        last = piece.hypotheses[-1]
        if last.verdict.doubtful and not self._fixed_tokens:
            if piece.window_secs < FULL_WINDOW_SECS:
                piece.window_secs = FULL_WINDOW_SECS
                return Again(piece, piece.key)
            if piece.step + 1 < len(piece.request.temperatures):
                piece.step += 1
                return Again(piece, piece.key)
        return Done(self._transcript(piece, _best(piece.hypotheses)))

    def _silence(self, piece: Piece) -> Transcript:
        return Transcript(
            text="",
            language=piece.request.language or "en",
            avg_logprob=0.0,
            no_speech_prob=1.0,
            gate="silence",
            language_probability=1.0 if piece.request.language else 0.0,
            **_timings(piece),
        )

    def _transcript(self, piece: Piece, best: Hypothesis) -> Transcript:
        keep = best.verdict.keep and bool(best.text)
        return Transcript(
            text=best.text if keep else "",
            language=best.language,
            avg_logprob=best.avg_logprob,
            no_speech_prob=best.no_speech_prob,
            language_probability=best.language_probability,
            segments=self._segments(piece, best) if keep else (),
            words=best.words if keep else (),
            gate=best.verdict.gate if not best.verdict.keep else None,
            **_timings(piece),
        )

    def _segments(self, piece: Piece, best: Hypothesis) -> tuple[Segment, ...]:
        if piece.request.timestamps:
            parts = stretches(best.tokens, self._prompts.timestamp_begin, piece.audio_secs)
        else:
            parts = [Stretch(best.tokens, 0.0, piece.audio_secs)]
        return tuple(
            Segment(
                text=self._prompts.text(part.tokens),
                start=part.start,
                end=part.end,
                avg_logprob=best.avg_logprob,
                no_speech_prob=best.no_speech_prob,
                compression_ratio=best.compression_ratio,
                temperature=best.temperature,
                tokens=part.tokens,
            )
            for part in parts
        )


def _best(hypotheses: list[Hypothesis]) -> Hypothesis:
    """The last one if nothing speaks against it, otherwise the likeliest of those that may be kept."""
    last = hypotheses[-1]
    if not last.verdict.doubtful:
        return last
    kept = [item for item in hypotheses if item.verdict.keep]
    return max(kept, key=lambda item: item.avg_logprob) if kept else last


def _timings(piece: Piece) -> dict[str, Any]:
    return {
        "audio_secs": piece.audio_secs,
        "queue_secs": piece.queue_secs,
        "compute_secs": piece.compute_secs,
        "batch_size": piece.batch_size,
        "passes": len(piece.hypotheses),
        "features_secs": piece.features_secs,
        "encode_secs": piece.encode_secs,
        "decode_secs": piece.decode_secs,
    }
