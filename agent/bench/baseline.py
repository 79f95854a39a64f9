"""What one gets without this engine: faster-whisper as it comes, one model, one utterance at a time."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from engines.errors import EngineFailed
from engines.protocol import DEFAULT_OPTIONS, Transcript, TranscriptionOptions
from engines.whisper.models import model_path

TIMESTAMP_TOKENS = 1501


class Baseline:
    """Plain `WhisperModel.transcribe`, one after another. Implements `engines.protocol.SpeechToText`.

    Every utterance is padded to Whisper's own 30 s. Language, beams and temperatures are those of the engine that it is
    compared with, and timestamps are off, so that both write the same tokens.
    """

    sample_rate = 16_000

    def __init__(
        self,
        model: str = "tiny.en",
        *,
        device: str = "cpu",
        compute_type: str = "int8",
        threads: int = 1,
        language: str | None = "en",
        beam_size: int = 1,
        temperatures: tuple[float, ...] = (0.0,),
        fixed_tokens: int | None = None,
    ):
        """Load the model; not for the event loop. As `engines.whisper.WhisperEngine`."""
        from faster_whisper import WhisperModel

        name, _, index = device.partition(":")
        self.name = f"faster-whisper {model}"
        self._model = WhisperModel(
            model_path(model), device=name, device_index=int(index or 0), compute_type=compute_type, cpu_threads=threads
        )
        self._language = language
        self._options: dict[str, Any] = {
            "beam_size": beam_size,
            "temperature": list(temperatures),
            "without_timestamps": True,
            "condition_on_previous_text": False,
        }
        if fixed_tokens:
            self._options |= self._fixed(fixed_tokens)
        self._encode_secs = _Watch(self._model, "encode")
        self._decode_secs = _Watch(self._model, "generate_with_fallback")
        # One thread is a lock whose waiters can still give up.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="baseline")
        self._asked = 0

    problem = None

    @property
    def has_room(self) -> bool:
        """Whether nothing waits: one may be under way."""
        return self._asked <= 1

    async def transcribe(self, pcm: bytes, options: TranscriptionOptions = DEFAULT_OPTIONS) -> Transcript:
        """See `engines.protocol.SpeechToText.transcribe`; the options are not heeded.

        Raises:
            EngineFailed: The library raised.
        """
        loop, asked_at = asyncio.get_running_loop(), time.perf_counter()
        self._asked += 1
        try:
            return await loop.run_in_executor(self._thread, self._transcribe, pcm, asked_at)
        except Exception as error:
            raise EngineFailed(f"{self.name} failed: {type(error).__name__}: {error}") from error
        finally:
            self._asked -= 1

    async def warm_up(self) -> None:
        """Run the model once."""
        noise = np.random.default_rng(0).normal(0, 3000, self.sample_rate).astype("<i2")
        await self.transcribe(noise.tobytes())

    async def close(self) -> None:
        """Give the model back."""
        await asyncio.to_thread(self._thread.shutdown)
        self._model.model.unload_model()

    def _transcribe(self, pcm: bytes, asked_at: float) -> Transcript:
        began_at = time.perf_counter()
        self._encode_secs.total = self._decode_secs.total = 0.0
        audio = np.frombuffer(pcm, dtype="<i2").astype(np.float32) / 32768.0
        found, info = self._model.transcribe(audio, language=self._language, **self._options)
        segments = list(found)
        took = time.perf_counter() - began_at
        encode_secs, decode_secs = self._encode_secs.total, self._decode_secs.total
        return Transcript(
            text=" ".join(segment.text.strip() for segment in segments).strip(),
            language=info.language,
            avg_logprob=min((segment.avg_logprob for segment in segments), default=0.0),
            no_speech_prob=min((segment.no_speech_prob for segment in segments), default=1.0),
            audio_secs=len(audio) / self.sample_rate,
            queue_secs=began_at - asked_at,
            compute_secs=took,
            features_secs=max(0.0, took - encode_secs - decode_secs),
            encode_secs=encode_secs,
            decode_secs=decode_secs,
        )

    def _fixed(self, tokens: int) -> dict[str, Any]:
        """Exactly so many tokens in one pass over 30 s, whatever the weights are."""
        vocabulary = self._model.hf_tokenizer
        eot = vocabulary.token_to_id("<|endoftext|>")
        first = (vocabulary.token_to_id("<|notimestamps|>") or 0) + 1
        prompt_length = 4 if self._model.model.is_multilingual else 2
        return {
            # CTranslate2 writes no more than half of the length that the library adds up here, the prompt included.
            "max_new_tokens": max(tokens - 1, 2 * tokens - prompt_length),
            # A timestamp by chance would make the library go over the rest again.
            "suppress_tokens": [-1, eot, *range(first, first + TIMESTAMP_TOKENS)],
            "temperature": [0.0],
            "compression_ratio_threshold": None,
            "log_prob_threshold": None,
            "no_speech_threshold": None,
        }


class _Watch:
    """Adds up the time that a method of the model takes."""

    def __init__(self, model: Any, method: str):
        self.total = 0.0
        call: Callable = getattr(model, method)

        def timed(*arguments: Any, **named: Any) -> Any:
            began_at = time.perf_counter()
            try:
                return call(*arguments, **named)
            finally:
                self.total += time.perf_counter() - began_at

        setattr(model, method, timed)
