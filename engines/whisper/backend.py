"""What runs Whisper's encoder and decoder on a batch: the part that differs between CTranslate2 and torch.

Everything before it (spectrograms, prompts, batching) and after it (gates, times, text) is the engine's and is the same
for every backend.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tokenizers


@dataclass(frozen=True)
class DecodeOptions:
    """How a batch is decoded; one value for the whole batch.

    Attributes:
        beam_size: 1 is greedy.
        temperature: 0 takes the likeliest token; above it samples, without beams.
        max_new_tokens: Tokens after the prompt, the end of text included.
        suppress_tokens: Never chosen.
        suppress_blank: Whether a space or the end of text may not come first.
        max_initial_timestamp: Latest first timestamp in steps of 20 ms, where the prompt asks for timestamps.
    """

    beam_size: int
    temperature: float
    max_new_tokens: int
    suppress_tokens: tuple[int, ...]
    suppress_blank: bool = True
    max_initial_timestamp: int = 50


@dataclass(frozen=True)
class Decoded:
    """What the decoder wrote for one utterance.

    Attributes:
        tokens: Without the prompt and the end of text.
        sum_logprob: Sum of the log-probabilities of the tokens and of the end of text, where it was reached.
        no_speech_prob: Probability of the no-speech token at the start of transcript.
    """

    tokens: list[int]
    sum_logprob: float
    no_speech_prob: float


@dataclass(frozen=True)
class Alignment:
    """Where the tokens of one utterance lie: pairs of token index and encoder frame (20 ms); their probabilities."""

    pairs: list[tuple[int, int]]
    token_probs: list[float]


class WhisperBackend(Protocol):
    """One loaded Whisper model. Called from one thread only."""

    name: str
    """`ctranslate2` or `torch`, for people."""

    tokenizer: tokenizers.Tokenizer
    """The model's own `tokenizer.json`."""

    is_multilingual: bool

    n_mels: int
    """Mel bins of the spectrogram: 80, or 128 for large-v3."""

    def encode(self, features: np.ndarray) -> Any:
        """Encode spectrograms of shape (batch, n_mels, frames), float32, 100 frames a second, all of one window.

        Returns:
            What `generate`, `detect_language` and `align` take; it may stay on the device.
        """
        ...

    def generate(self, encoded: Any, prompts: list[list[int]], options: DecodeOptions) -> list[Decoded]:
        """Decode a batch; all prompts have one length."""
        ...

    def detect_language(self, encoded: Any) -> list[list[tuple[str, float]]]:
        """Language codes with their probabilities for each utterance, the likeliest first."""
        ...

    def align(
        self, encoded: Any, start_sequence: list[int], text_tokens: list[list[int]], num_frames: list[int]
    ) -> list[Alignment]:
        """Find where each token was spoken.

        Args:
            encoded: Of the batch.
            start_sequence: The prompt without the no-timestamps token.
            text_tokens: The tokens of each utterance.
            num_frames: Spectrogram frames of each utterance that are not padding.
        """
        ...

    def close(self) -> None:
        """Give the memory back."""
        ...
