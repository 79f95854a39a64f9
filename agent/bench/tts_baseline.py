"""What one gets without this engine: upstream's `generate` behind a lock, as people run it."""

import asyncio
import contextlib
import io
import re
import sys
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import numpy as np

from engines.errors import EngineError, EngineFailed
from engines.protocol import DEFAULT_SPEECH, SpeechChunk, SpeechOptions, Voice

SENTENCE_END = re.compile(r"(?<=[.!?])[\"')]*\s+")
SPEECH_TOKENS = 6561
"""Tokens from here on are no speech; upstream leaves them out."""


class UpstreamSpeech:
    """Plain `generate` of upstream, one sentence after another. Implements `engines.protocol.TextToSpeech`.

    Requests wait for each other, and a sentence is heard when all of it has been made.
    """

    problem = None

    def __init__(
        self, model: Any, *, fixed_tokens: Callable[[str], int] | None = None, watermark: bool = True, name: str = ""
    ):
        """
        Args:
            model: `ChatterboxTTS` or `ChatterboxTurboTTS` with a voice.
            fixed_tokens: Speech tokens of a sentence, for random weights; None lets the model end it.
            watermark: Whether upstream marks what it makes, as it always does by itself.
            name: For people.
        """
        self.name = name or f"upstream {type(model).__name__}"
        self.sample_rate = int(model.sr)
        self._model, self._fixed_tokens, self._watermark = model, fixed_tokens, watermark
        # One thread is a lock whose waiters can still give up.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="baseline")

    async def voices(self) -> tuple[Voice, ...]:
        """See `engines.protocol.TextToSpeech.voices`."""
        return (Voice("default", "the one that comes with Chatterbox"),)

    async def synthesize(
        self, text: AsyncIterable[str], options: SpeechOptions = DEFAULT_SPEECH
    ) -> AsyncIterator[SpeechChunk]:
        """See `engines.protocol.TextToSpeech.synthesize`; the options are not heeded. Gives one chunk a sentence.

        Raises:
            EngineFailed: Upstream raised.
        """
        loop = asyncio.get_running_loop()
        async for sentence in _ahead(sentences(text)):
            try:
                pcm = await loop.run_in_executor(self._thread, self._generate, sentence)
            except Exception as error:
                raise EngineFailed(f"{self.name} failed: {type(error).__name__}: {error}") from error
            yield SpeechChunk(pcm)

    async def warm_up(self) -> None:
        """Run the model once."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._generate, "Good morning, how are you?")

    async def close(self) -> None:
        """Give the model back."""
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)
        del self._model

    def _generate(self, sentence: str) -> bytes:
        tokens = self._fixed_tokens(sentence) if self._fixed_tokens else None
        with _quiet(), _capped(self._model, tokens), _watermarked(self._model, self._watermark):
            audio = self._model.generate(sentence).squeeze(0).cpu().numpy()
        return (np.clip(audio, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()


async def sentences(text: AsyncIterable[str]) -> AsyncIterator[str]:
    """The sentences of a text that comes in pieces, each when the next one begins, the last at the end."""
    rest = ""
    async for piece in text:
        *complete, rest = SENTENCE_END.split(rest + piece)
        for sentence in complete:
            yield sentence
    if rest.strip():
        yield rest.strip()


async def _ahead(source: AsyncIterator[str]) -> AsyncIterator[str]:
    """Goes on reading while a sentence is made: the brain does not wait for the voice."""
    queue: asyncio.Queue[str | None] = asyncio.Queue()

    async def read() -> None:
        try:
            async for item in source:
                queue.put_nowait(item)
        finally:
            queue.put_nowait(None)

    task = asyncio.get_running_loop().create_task(read())
    try:
        while (item := await queue.get()) is not None:
            yield item
        await task
    finally:
        task.cancel()


@contextlib.contextmanager
def _capped(model: Any, tokens: int | None) -> Iterator[None]:
    """Exactly so many speech tokens, whatever the weights say."""
    if tokens is None:
        yield
        return
    t3 = model.t3
    # Turbo counts the tokens after the first.
    loops = {"inference": {"max_new_tokens": tokens}, "inference_turbo": {"max_gen_len": tokens - 1}}
    with contextlib.ExitStack() as patches:
        patches.enter_context(mock.patch.object(t3.hp, "stop_speech_token", -1))
        for name, cap in loops.items():
            patches.enter_context(mock.patch.object(t3, name, _all_speech(getattr(t3, name), cap)))
        yield


def _all_speech(inference: Callable[..., Any], cap: dict[str, int]) -> Callable[..., Any]:
    """What random weights draw is not always speech, and what is not would be left out of the sound."""
    return lambda *given, **named: inference(*given, **{**named, **cap}) % SPEECH_TOKENS


@contextlib.contextmanager
def _watermarked(model: Any, watermark: bool) -> Iterator[None]:
    if watermark:
        yield
        return
    with mock.patch.object(model.watermarker, "apply_watermark", lambda wav, **_: wav):
        yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Upstream draws progress bars and prints lines for each sentence, where a report is to stand."""
    drawing = [
        module for name, module in sys.modules.items() if name.startswith("chatterbox.") and "tqdm" in vars(module)
    ]
    with contextlib.ExitStack() as patches:
        patches.enter_context(contextlib.redirect_stdout(io.StringIO()))
        for module in drawing:
            patches.enter_context(mock.patch.object(module, "tqdm", lambda steps, **_: steps))
        yield


def load_upstream(variant: str, folder: str | None, device: str) -> Any:
    """Upstream's own model with its own loader; not for the event loop.

    Raises:
        EngineError: It cannot be loaded.
    """
    try:
        from chatterbox.tts import ChatterboxTTS
        from chatterbox.tts_turbo import ChatterboxTurboTTS

        import engines.chatterbox.upstream  # noqa: F401

        kind = ChatterboxTurboTTS if variant == "turbo" else ChatterboxTTS
        with contextlib.redirect_stdout(sys.stderr):
            return kind.from_local(folder, device) if folder else kind.from_pretrained(device)
    except Exception as error:
        raise EngineError(f"upstream's Chatterbox cannot be loaded: {type(error).__name__}: {error}") from error
