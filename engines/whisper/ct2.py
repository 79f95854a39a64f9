"""Whisper's encoder and decoder in CTranslate2, loaded by faster-whisper."""

import contextlib
import ctypes
from importlib.util import find_spec
from pathlib import Path

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel

from engines.whisper.backend import Alignment, Decoded, DecodeOptions


class CTranslate2Backend:
    """Implements `engines.whisper.backend.WhisperBackend`."""

    name = "ctranslate2"

    def __init__(self, model: str | Path, *, device: str, compute_type: str, threads: int):
        """Load the model.

        Args:
            model: A folder, or a name that faster-whisper knows and downloads.
            device: `cpu`, `cuda` or `cuda:N`.
            compute_type: Number format, as CTranslate2 names it.
            threads: CPU threads of one batch.
        """
        if device.startswith("cuda"):
            _preload_cublas()
        device_name, _, index = device.partition(":")
        loaded = WhisperModel(
            str(model),
            device=device_name,
            device_index=int(index or 0),
            compute_type=compute_type,
            cpu_threads=threads,
        )
        self._model: ctranslate2.models.Whisper = loaded.model
        self.tokenizer = loaded.hf_tokenizer
        self.is_multilingual: bool = self._model.is_multilingual
        self.n_mels: int = self._model.n_mels

    def encode(self, features: np.ndarray) -> ctranslate2.StorageView:
        """See `WhisperBackend.encode`."""
        on_gpu = self._model.device == "cuda"
        # The encoder's output stays on the GPU; on a CPU it has nowhere else to be.
        return self._model.encode(ctranslate2.StorageView.from_array(np.ascontiguousarray(features)), to_cpu=not on_gpu)

    def generate(
        self, encoded: ctranslate2.StorageView, prompts: list[list[int]], options: DecodeOptions
    ) -> list[Decoded]:
        """See `WhisperBackend.generate`."""
        search = (
            {"beam_size": 1, "num_hypotheses": 1, "sampling_topk": 0, "sampling_temperature": options.temperature}
            if options.temperature > 0
            else {"beam_size": options.beam_size, "patience": 1}
        )
        prompt_length = len(prompts[0])
        results = self._model.generate(
            encoded,
            prompts,
            # CTranslate2 writes half of this many tokens at most, and no more than what the prompt leaves of it.
            max_length=max(2 * options.max_new_tokens, options.max_new_tokens + prompt_length - 1),
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=options.suppress_blank,
            suppress_tokens=list(options.suppress_tokens),
            max_initial_timestamp_index=options.max_initial_timestamp,
            length_penalty=1,
            **search,
        )
        return [
            Decoded(
                tokens=list(result.sequences_ids[0]),
                # The score is the mean over the tokens.
                sum_logprob=result.scores[0] * len(result.sequences_ids[0]),
                no_speech_prob=result.no_speech_prob,
            )
            for result in results
        ]

    def detect_language(self, encoded: ctranslate2.StorageView) -> list[list[tuple[str, float]]]:
        """See `WhisperBackend.detect_language`."""
        if not self.is_multilingual:
            return [[("en", 1.0)]] * encoded.shape[0]
        return [
            [(token[2:-2], probability) for token, probability in found]
            for found in self._model.detect_language(encoded)
        ]

    def align(
        self,
        encoded: ctranslate2.StorageView,
        start_sequence: list[int],
        text_tokens: list[list[int]],
        num_frames: list[int],
    ) -> list[Alignment]:
        """See `WhisperBackend.align`."""
        found = self._model.align(encoded, start_sequence, text_tokens, num_frames, median_filter_width=7)
        return [Alignment(list(result.alignments), list(result.text_token_probs)) for result in found]

    def close(self) -> None:
        """See `WhisperBackend.close`."""
        self._model.unload_model()


def _preload_cublas() -> None:
    """Load CUDA 12's cuBLAS where it is installed as a package: CTranslate2 looks for it by name only."""
    package = find_spec("nvidia.cublas") if find_spec("nvidia") else None
    for folder in (package.submodule_search_locations or []) if package else []:
        for name in ("libcublasLt.so.12", "libcublas.so.12"):
            with contextlib.suppress(OSError):
                ctypes.CDLL(str(Path(folder) / "lib" / name), mode=ctypes.RTLD_GLOBAL)
