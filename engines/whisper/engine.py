"""One Whisper for every call: what waits together is heard together."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import ctranslate2
import numpy as np
from faster_whisper.utils import download_model

from engines.batcher import Batcher
from engines.errors import EngineBusy, EngineClosed, EngineError, EngineRefused, WeightsError
from engines.protocol import DEFAULT_OPTIONS, Segment, Transcript, TranscriptionOptions, Word
from engines.whisper.backend import WhisperBackend
from engines.whisper.cut import pieces
from engines.whisper.features import SAMPLE_RATE, Spectrograms, samples_of
from engines.whisper.gates import Gates
from engines.whisper.models import model_path
from engines.whisper.passes import Passes, Piece, Request
from engines.whisper.prompts import Prompts
from engines.whisper.window import FULL_WINDOW_SECS, frames_of, rows_for, window_for

CUT_FROM_SECS = 5.0
"""Longer audio is searched for pauses, where it may be cut; shorter audio goes to the model as it is."""

MAX_BEAMS = 10
PIECES_IN_FLIGHT = 4
"""Pieces of one long recording that wait at once, so that it does not push everybody else from the queue."""

PARTIAL_SHARE = 0.7
"""Of the model's time, for partials: finals that come meanwhile wait for a batch of a few."""

RETRY_SECS = 0.05
PATIENCE_SECS = 60.0


class WhisperEngine:
    """Speech to text with Whisper, for all calls of this process. Implements `engines.protocol.SpeechToText`."""

    sample_rate = SAMPLE_RATE

    def __init__(
        self,
        model: str = "tiny.en",
        *,
        device: str = "cpu",
        compute_type: str = "int8",
        backend: str = "ctranslate2",
        language: str | None = "en",
        prompt: str | None = None,
        hotwords: str | None = None,
        threads: int = 1,
        windows_secs: tuple[float, ...] = (10.0, 20.0),
        beam_size: int = 1,
        temperatures: tuple[float, ...] = (0.0,),
        max_batch: int = 16,
        max_queue: int = 64,
        silence_dbfs: float | None = None,
        gates: Gates | None = None,
        fixed_tokens: int | None = None,
    ):
        """Load the model; takes a second for a small one and is not for the event loop.

        Args:
            model: `tiny.en` (packaged), a folder with a CTranslate2 model, or a faster-whisper name, which its library
                downloads.
            device: `cpu`, `cuda` or `cuda:N`.
            compute_type: Number format of the weights, as CTranslate2 names it.
            backend: `ctranslate2`, `torch`, or `auto`, which takes torch on a GPU where it is installed.
            language: Language code, or None to detect it.
            prompt: Text that comes before every utterance, for spelling and style.
            hotwords: Words to expect in every utterance.
            threads: CPU threads of one batch.
            windows_secs: Encoder windows for utterances that fit in them; others take 30 s.
            beam_size: 1 is greedy.
            temperatures: Tried in this order until a result is not doubtful.
            max_batch: Most utterances that go through the model together.
            max_queue: Utterances that may wait; one more is refused with `EngineBusy`.
            silence_dbfs: What is nowhere louder holds no speech, in dB of full scale; None leaves it to `gates`.
            gates: What is not speech.
            fixed_tokens: Every utterance gets so many tokens: for measuring with random weights.

        Raises:
            WeightsError: The model cannot be found, is damaged, or cannot be loaded.
            EngineRefused: A setting is not one that the model takes.
        """
        self.name = f"whisper {model}"
        self._windows_secs = tuple(sorted(windows_secs))
        self._max_batch = max_batch
        self._backend = load_backend(
            model,
            backend=backend,
            device=device,
            compute_type=compute_type,
            threads=threads,
            beam_size=beam_size,
            max_batch=max_batch,
            windows_secs=(*self._windows_secs, FULL_WINDOW_SECS),
        )
        self._prompts = Prompts(self._backend.tokenizer, is_multilingual=self._backend.is_multilingual, name=self.name)
        self._spectrograms = Spectrograms(self._backend.n_mels)
        self._defaults = TranscriptionOptions(
            language=language, prompt=prompt, hotwords=hotwords, beam_size=beam_size, temperatures=temperatures
        )
        self._request_of(DEFAULT_OPTIONS)
        self._gates = gates or Gates()
        if silence_dbfs is not None:
            self._gates = replace(self._gates, silence_dbfs=silence_dbfs)
        passes = Passes(self._backend, self._prompts, self._spectrograms, self._gates, fixed_tokens=fixed_tokens)
        self._batcher: Batcher[Piece, Transcript] = Batcher(
            "whisper",
            passes.run,
            max_batch=lambda key: rows_for(key[0], max_batch),  # pyright: ignore[reportIndexIssue]
            max_queue=max_queue,
            max_partial_batch=max(1, max_batch // 4),
            partial_share=PARTIAL_SHARE,
            on_wait=self._prepare,
        )
        self._helper = ThreadPoolExecutor(max_workers=1, thread_name_prefix="whisper-cut")
        # Makes the spectrograms of what waits, while the model works; the model's thread makes what it finds missing.
        self._features = ThreadPoolExecutor(max_workers=1, thread_name_prefix="whisper-features")
        self._may_prepare = threading.Semaphore(max_batch)

    @property
    def backend(self) -> str:
        """`ctranslate2` or `torch`."""
        return self._backend.name

    @property
    def queue_size(self) -> int:
        """Utterances that wait for the model."""
        return self._batcher.waiting

    @property
    def has_room(self) -> bool:
        """See `engines.protocol.SpeechToText.has_room`."""
        return self._batcher.waiting == 0

    @property
    def problem(self) -> str | None:
        """See `engines.protocol.SpeechToText.problem`: the model fails every time."""
        return self._batcher.problem

    @property
    def languages(self) -> list[str]:
        """Language codes that the model writes."""
        return self._prompts.languages

    async def transcribe(self, pcm: bytes, options: TranscriptionOptions = DEFAULT_OPTIONS) -> Transcript:
        """See `engines.protocol.SpeechToText.transcribe`."""
        asked_at = time.perf_counter()
        if len(pcm) % 2:
            raise EngineRefused(f"expected 16-bit samples, got an odd number of bytes ({len(pcm)})")
        request = self._request_of(options)
        audio_secs = len(pcm) / 2 / SAMPLE_RATE
        if audio_secs <= CUT_FROM_SECS:
            piece = self._piece(samples_of(pcm), request, asked_at)
            return await self._submit(piece, options, pcm)
        audio, cuts = await self._help(lambda: _cut(pcm))
        parts = [audio[start:end] for start, end in cuts] or [audio[:0]]
        if len(parts) == 1:
            piece = self._piece(parts[0], request, asked_at)
            start = cuts[0][0] / SAMPLE_RATE if cuts else 0.0
            return _moved(await self._submit(piece, options, pcm), start, audio_secs)
        return await self._long(parts, [start / SAMPLE_RATE for start, _ in cuts], request, options, audio_secs)

    async def warm_up(self) -> None:
        """Run the model once, so that the first caller does not pay for its first run."""
        if warm := getattr(self._backend, "warm_up", None):
            await self._help(warm)
        noise = np.random.default_rng(0).normal(0, 3000, SAMPLE_RATE).astype("<i2")
        await self.transcribe(noise.tobytes())

    async def close(self) -> None:
        """See `engines.protocol.SpeechToText.close`."""
        self._batcher.close()
        await self._help(lambda: self._batcher.join(10))
        self._helper.shutdown(wait=False)
        self._features.shutdown(wait=False, cancel_futures=True)
        self._backend.close()

    def _request_of(self, options: TranscriptionOptions) -> Request:
        defaults = self._defaults
        beam_size = options.beam_size or defaults.beam_size or 1
        if not 1 <= beam_size <= MAX_BEAMS:
            raise EngineRefused(f"beam_size is {beam_size}; expected 1 to {MAX_BEAMS}")
        if self._backend.name == "torch" and beam_size > 1:
            raise EngineRefused(f"beam_size is {beam_size}; the torch backend decodes greedily, with 1")
        temperatures = options.temperatures or defaults.temperatures or (0.0,)
        if any(not 0 <= temperature <= 1 for temperature in temperatures):
            raise EngineRefused(f"temperatures are {temperatures}; expected each from 0 to 1")
        return Request(
            language=self._prompts.check_language(options.language or defaults.language),
            previous=self._prompts.previous(options.prompt or defaults.prompt, options.hotwords or defaults.hotwords),
            beam_size=beam_size,
            temperatures=temperatures,
            timestamps=options.timestamps,
            word_timestamps=options.word_timestamps,
        )

    def _piece(self, audio: np.ndarray, request: Request, asked_at: float) -> Piece:
        return Piece(audio, request, window_for(len(audio) / SAMPLE_RATE, self._windows_secs), asked_at)

    def _prepare(self, piece: Piece) -> None:
        if not self._may_prepare.acquire(blocking=False):
            return

        def prepare() -> None:
            self._may_prepare.release()
            piece.prepare(self._spectrograms, self._gates.silence_dbfs)

        with contextlib.suppress(RuntimeError):  # It has been shut down.
            self._features.submit(prepare)

    async def _submit(
        self, piece: Piece, options: TranscriptionOptions, pcm: bytes | None = None, *, background: bool = False
    ) -> Transcript:
        identity = None
        if options.stream is not None and pcm is not None:
            identity = (len(pcm), hash(pcm), replace(options, partial=False))
        return await self._batcher.submit(
            piece,
            key=piece.key,
            partial=options.partial,
            background=background,
            stream=options.stream,
            identity=identity,
        )

    async def _help(self, call: Callable):
        try:
            return await asyncio.get_running_loop().run_in_executor(self._helper, call)
        except RuntimeError as error:
            raise EngineClosed("whisper has been shut down") from error

    async def _long(
        self,
        parts: list[np.ndarray],
        starts: list[float],
        request: Request,
        options: TranscriptionOptions,
        audio_secs: float,
    ) -> Transcript:
        """Transcribe the pieces of a long recording, a few at a time. The first tells the language of the others."""
        asked_at = time.perf_counter()
        options = replace(options, stream=None, partial=False)
        first = await self._submit(self._piece(parts[0], request, asked_at), options, background=True)
        if request.language is None and first.text:
            request = replace(request, language=first.language)
        room = asyncio.Semaphore(PIECES_IN_FLIGHT)

        async def one(part: np.ndarray) -> Transcript:
            async with room:
                patience_until = time.perf_counter() + PATIENCE_SECS
                while True:
                    try:
                        piece = self._piece(part, request, time.perf_counter())
                        return await self._submit(piece, options, background=True)
                    except EngineBusy:
                        if time.perf_counter() > patience_until:
                            raise
                        await asyncio.sleep(RETRY_SECS)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(part)) for part in parts[1:]]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return _joined([first, *(task.result() for task in tasks)], starts, audio_secs, time.perf_counter() - asked_at)


def choose_backend(backend: str, device: str, compute_type: str, beam_size: int = 1) -> str:
    """What `auto` means: torch, where it finds a GPU and takes the number format and the beams; else CTranslate2."""
    if backend != "auto":
        return backend
    floats = compute_type in ("float16", "bfloat16", "float32")
    if not device.startswith("cuda") or not floats or beam_size > 1 or not find_spec("torch"):
        return "ctranslate2"
    import torch

    return "torch" if torch.cuda.is_available() else "ctranslate2"


def load_backend(
    model: str,
    *,
    backend: str,
    device: str,
    compute_type: str,
    threads: int,
    beam_size: int,
    max_batch: int,
    windows_secs: tuple[float, ...],
) -> WhisperBackend:
    """Load a model into CTranslate2 or torch; not for the event loop.

    Raises:
        WeightsError: It cannot be found, is damaged, or cannot be loaded.
    """
    if device.startswith("cuda"):
        _check_gpu(device)
    path = model_path(model)
    try:
        if choose_backend(backend, device, compute_type, beam_size) == "torch":
            from engines.whisper.torch_backend import DTYPES, TorchBackend

            if compute_type not in DTYPES:
                raise EngineRefused(f"compute_type is {compute_type}; the torch backend takes {', '.join(DTYPES)}")
            folder = path if Path(path).is_dir() else download_model(path)
            windows = {frames_of(secs): rows_for(secs, max_batch) for secs in windows_secs}
            return TorchBackend(
                Path(folder), device=device, dtype=compute_type, max_batch=max_batch, windows=windows, threads=threads
            )
        from engines.whisper.ct2 import CTranslate2Backend

        return CTranslate2Backend(path, device=device, compute_type=compute_type, threads=threads)
    except EngineError:
        raise
    except Exception as error:
        raise WeightsError(f"Whisper {model!r} cannot be loaded on {device} as {compute_type}: {error}") from error


def _check_gpu(device: str) -> None:
    """Before anything is downloaded for a GPU that is not there."""
    count, index = ctranslate2.get_cuda_device_count(), int(device.partition(":")[2] or 0)
    if index >= count:
        raise WeightsError(
            f"Whisper cannot be loaded on {device}: {count} NVIDIA GPUs with a working driver are here; "
            "use device cpu, or the embedded profile"
        )


def _cut(pcm: bytes) -> tuple[np.ndarray, list[tuple[int, int]]]:
    audio = samples_of(pcm)
    return audio, pieces(audio)


def _moved(transcript: Transcript, start: float, audio_secs: float) -> Transcript:
    """A transcript of a part of an utterance, with the times of the whole."""
    return replace(
        transcript,
        audio_secs=audio_secs,
        segments=tuple(replace(item, start=item.start + start, end=item.end + start) for item in transcript.segments),
        words=tuple(replace(item, start=item.start + start, end=item.end + start) for item in transcript.words),
    )


def _joined(parts: list[Transcript], starts: list[float], audio_secs: float, took_secs: float) -> Transcript:
    """The transcript of a recording that was cut into pieces."""
    moved = [_moved(part, start, audio_secs) for part, start in zip(parts, starts, strict=True)]
    spoken = [part for part in moved if part.text]
    segments: list[Segment] = [segment for part in moved for segment in part.segments]
    words: list[Word] = [word for part in moved for word in part.words]
    queue_secs = parts[0].queue_secs
    return Transcript(
        text=" ".join(part.text for part in spoken),
        language=(spoken or parts)[0].language,
        language_probability=(spoken or parts)[0].language_probability,
        avg_logprob=min((part.avg_logprob for part in spoken), default=0.0),
        no_speech_prob=min(part.no_speech_prob for part in parts),
        audio_secs=audio_secs,
        queue_secs=queue_secs,
        compute_secs=took_secs - queue_secs,
        segments=tuple(segments),
        words=tuple(words),
        gate=None if spoken else parts[0].gate,
        batch_size=max(part.batch_size for part in parts),
        passes=max(part.passes for part in parts),
        features_secs=sum(part.features_secs for part in parts),
        encode_secs=sum(part.encode_secs for part in parts),
        decode_secs=sum(part.decode_secs for part in parts),
    )
