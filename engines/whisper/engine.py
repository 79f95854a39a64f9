"""One faster-whisper model for every call in this process."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engines.errors import WeightsError
from engines.owner import ModelOwner
from engines.protocol import Transcript
from engines.weights import WHISPER_TINY_EN, verified
from engines.whisper.window import FULL_WINDOW_SECS, WindowedWhisperModel, window_for

SAMPLE_RATE = 16_000
SILENCE_DBFS = -55.0
"""Utterances quieter than this hold no speech; Whisper would invent some."""

MAX_TOKENS_PER_SEC = 10
"""Twice what fast speech needs: a decoder that runs in a loop is stopped here."""

LOOP_COMPRESSION_RATIO = 2.4
POOR_LOGPROB = -1.0
NO_SPEECH_PROB = 0.6


@dataclass(frozen=True)
class _Hypothesis:
    text: str
    language: str
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float

    @property
    def is_doubtful(self) -> bool:
        """Whether the decoder fell into a loop or guessed."""
        return self.compression_ratio > LOOP_COMPRESSION_RATIO or self.avg_logprob < POOR_LOGPROB

    @property
    def is_noise(self) -> bool:
        """Whether there was no speech to hear, whatever the decoder made of it."""
        return self.is_doubtful and self.no_speech_prob > NO_SPEECH_PROB


class WhisperEngine:
    """Speech to text with faster-whisper, for all calls of this process. Implements `engines.protocol.SpeechToText`."""

    sample_rate = SAMPLE_RATE

    def __init__(
        self,
        model: str = "tiny.en",
        *,
        device: str = "cpu",
        compute_type: str = "int8",
        language: str | None = "en",
        threads: int = 1,
        window_secs: float = 10.0,
        beam_size: int = 1,
        max_queue: int = 32,
    ):
        """Load the model; takes about a second and is not for the event loop.

        Args:
            model: `tiny.en` (packaged), a folder with a CTranslate2 model, or a faster-whisper name, which its library
                downloads.
            device: `cpu`, `cuda` or `cuda:N`.
            compute_type: Number format of the weights, as CTranslate2 names it.
            language: Language code, or None to detect it.
            threads: CPU threads of one transcription.
            window_secs: Encoder window for utterances that fit in it; others take 30 s.
            beam_size: 1 is greedy.
            max_queue: Utterances that may wait or run; one more is refused with `EngineBusy`.

        Raises:
            WeightsError: The model cannot be found, is damaged, or cannot be loaded.
        """
        self.name = f"whisper {model}"
        self._language = language
        self._window_secs = window_secs
        self._beam_size = beam_size
        device_name, _, index = device.partition(":")
        try:
            self._model = WindowedWhisperModel(
                _model_path(model),
                device=device_name,
                device_index=int(index or 0),
                compute_type=compute_type,
                cpu_threads=threads,
            )
        except WeightsError:
            raise
        except Exception as error:
            raise WeightsError(f"Whisper {model!r} cannot be loaded on {device} as {compute_type}: {error}") from error
        self._owner = ModelOwner("whisper", max_queue=max_queue)

    async def transcribe(self, pcm: bytes, *, language: str | None = None) -> Transcript:
        """See `engines.protocol.SpeechToText.transcribe`."""
        audio = np.frombuffer(pcm, dtype="<i2").astype(np.float32) / 32768.0
        asked_at = time.perf_counter()
        return await self._owner.run(lambda: self._transcribe(audio, language or self._language, asked_at))

    async def warm_up(self) -> None:
        """Run the model once, so that the first caller does not pay for its first run."""
        noise = np.random.default_rng(0).normal(0, 3000, SAMPLE_RATE).astype("<i2")
        await self.transcribe(noise.tobytes())

    async def close(self) -> None:
        """See `engines.protocol.SpeechToText.close`."""
        await self._owner.close()

    def _transcribe(self, audio: np.ndarray, language: str | None, asked_at: float) -> Transcript:
        began_at = time.perf_counter()
        audio_secs = len(audio) / SAMPLE_RATE
        if level_dbfs(audio) < SILENCE_DBFS:
            heard = _Hypothesis("", language or "en", 0.0, 1.0, 0.0)
        else:
            heard = self._hear(audio, language, audio_secs)
        return Transcript(
            text=heard.text,
            language=heard.language,
            avg_logprob=heard.avg_logprob,
            no_speech_prob=heard.no_speech_prob,
            audio_secs=audio_secs,
            queue_secs=began_at - asked_at,
            compute_secs=time.perf_counter() - began_at,
        )

    def _hear(self, audio: np.ndarray, language: str | None, audio_secs: float) -> _Hypothesis:
        window_secs = window_for(audio_secs, self._window_secs)
        heard = self._decode(audio, language, audio_secs, window_secs)
        if heard.is_doubtful and not heard.is_noise and window_secs < FULL_WINDOW_SECS:
            heard = self._decode(audio, language, audio_secs, FULL_WINDOW_SECS)
        if heard.is_noise or heard.compression_ratio > LOOP_COMPRESSION_RATIO:
            return _Hypothesis("", heard.language, heard.avg_logprob, heard.no_speech_prob, 0.0)
        return heard

    def _decode(self, audio: np.ndarray, language: str | None, audio_secs: float, window_secs: float) -> _Hypothesis:
        with self._model.window(window_secs):
            segments, info = self._model.transcribe(
                audio,
                language=language,
                beam_size=self._beam_size,
                temperature=0.0,
                without_timestamps=True,
                condition_on_previous_text=False,
                max_new_tokens=int(16 + MAX_TOKENS_PER_SEC * min(audio_secs, FULL_WINDOW_SECS)),
                no_speech_threshold=None,
                log_prob_threshold=None,
                compression_ratio_threshold=None,
            )
            parts = list(segments)
        return _Hypothesis(
            text=" ".join(part.text.strip() for part in parts).strip(),
            language=info.language,
            avg_logprob=min((part.avg_logprob for part in parts), default=0.0),
            no_speech_prob=max((part.no_speech_prob for part in parts), default=1.0),
            compression_ratio=max((part.compression_ratio for part in parts), default=0.0),
        )


def level_dbfs(audio: np.ndarray) -> float:
    """Root-mean-square level of float samples in -1..1, in dB relative to full scale; -inf for none or all zeros."""
    if not len(audio):
        return -np.inf
    mean_square = float(np.mean(np.square(audio)))
    return 10 * np.log10(mean_square) if mean_square else -np.inf


def _model_path(model: str) -> str:
    if model == "tiny.en":
        return str(verified(WHISPER_TINY_EN).parent)
    if os.sep in model and not Path(model).is_dir() and model.startswith((os.sep, ".", "~")):
        raise WeightsError(f"Whisper model {model!r}: no such folder; expected one with model.bin and tokenizer.json")
    return model
