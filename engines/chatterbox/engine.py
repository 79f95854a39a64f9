"""Chatterbox for all calls of this process: text in as it is written, speech out as it is made."""

import asyncio
import random
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from loguru import logger

from engines.chatterbox.assembly import Assembly, Shape, assemble
from engines.chatterbox.finish import Mending
from engines.chatterbox.loading import Loaded, load_upstream
from engines.chatterbox.sampling_options import OWN, Sampling, resolve
from engines.chatterbox.schedule import TOKENS_PER_SEC, Pace
from engines.chatterbox.speaker import Outlet, Speaker, Utterance
from engines.chatterbox.stages import SILENCE_TOKEN
from engines.chatterbox.t3.request import T3Request
from engines.errors import EngineClosed, EngineError, EngineFailed, EngineRefused
from engines.protocol import DEFAULT_SPEECH, SpeechChunk, SpeechOptions, Voice
from engines.speech import EndLimits, EndWatch
from engines.text import Sentence, SentenceAssembler, spoken_length

T = TypeVar("T")
SAMPLE_RATE = 24_000
SEEDS = 2**31
MAX_SENTENCES = 32
"""Of one stream that wait; with more, its text is read no further until some are spoken."""

SLOW_SECS = 0.05


@dataclass(frozen=True)
class Hygiene:
    """What is done for clean speech; each may be turned off. See `configs.settings.TtsSettings`."""

    normalize_text: bool = True
    trim_silence: bool = True
    end_detection: bool = True
    bound_length: bool = True
    level_loudness: bool = True

    @property
    def limits(self) -> EndLimits:
        """What is too much for a sentence."""
        limits = EndLimits()
        if not self.end_detection:
            limits = replace(limits, same_token=None, pattern_tokens=None, silence_tokens=None)
            limits = replace(limits, early_silence_tokens=None)
        return limits if self.bound_length else replace(limits, tokens_per_letter=None)

    @property
    def mending(self) -> Mending:
        """What is mended in the sound."""
        return Mending(self.trim_silence, self.end_detection, self.level_loudness)


class ChatterboxEngine:
    """Text to speech with Chatterbox, batched over all streams. Implements `engines.protocol.TextToSpeech`."""

    sample_rate = SAMPLE_RATE

    def __init__(
        self,
        *,
        variant: Literal["turbo", "base"] = "turbo",
        model: str | None = None,
        device: str = "cpu",
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
        slots: int = 50,
        max_queue: int = 32,
        max_text_chars: int = 300,
        first_tokens: int = 15,
        chunk_tokens: Sequence[int] = (25, 50, 75),
        max_ahead_secs: float = 8.0,
        min_prompt_secs: float = 3.0,
        flow_attention: Literal["full", "chunked"] = "full",
        flow_steps: int | None = None,
        voice: str = "default",
        voices_dir: str | Path = "voices",
        voice_cache_mb: int = 1024,
        watermark: bool = True,
        hygiene: Hygiene = Hygiene(),
        sampling: SpeechOptions = DEFAULT_SPEECH,
        loaded: Loaded | None = None,
        exact_tokens: Callable[[str], int] | None = None,
        shape: Shape | None = None,
    ):
        """Load the model; takes seconds to minutes and is not for the event loop.

        Args:
            variant: `turbo` is several times faster, `base` knows exaggeration.
            model: Folder of the weights; None takes them from the Hugging Face hub.
            device: `cpu`, `cuda` or `cuda:N`.
            dtype: Number format of the token model; `auto` is bfloat16 on a GPU, else float32.
            slots: Sentences that are decoded at once.
            max_queue: Streams beyond `slots` that may be open; one more is refused with `EngineBusy`.
            max_text_chars: Longest sentence; a longer one is cut.
            first_tokens: Speech tokens, 25 a second, of the first piece of sound.
            chunk_tokens: Tokens of the pieces after it; the last one repeats.
            max_ahead_secs: A stream with so much sound ahead of its listener waits.
            min_prompt_secs: While the vocoder is busy, a live sentence is spoken over less of its voice's recording, at
                least so much of it; 10 and more is always all of it, since no voice has more.
            flow_attention: `full` as upstream, or `chunked`, which gives the stream exactly; see `s3gen`.
            flow_steps: From tokens to sound; fewer are quicker and rougher. None is the model's own: 2 in turbo, 10 in
                base.
            voice: Who speaks where a stream does not say.
            voices_dir: Folder of cloned voices.
            voice_cache_mb: Memory for voices on the device.
            watermark: Whether speech is marked as synthetic.
            hygiene: What is done for clean speech.
            sampling: Values for streams that do not say; None is the model's own.
            loaded: Upstream's model, loaded already; `model` is not read then.
            exact_tokens: For random weights, whose speech never ends: a sentence's number of speech tokens by its text.
            shape: Sizes of batches; None takes those that suit the device.

        Raises:
            WeightsError: The model or the watermark's cannot be loaded, or the voice is not there.
            EngineRefused: A value is out of range.
        """
        self.name = f"chatterbox {variant}"
        self._variant, self._voice = variant, voice
        self._defaults = resolve(sampling, OWN[variant])
        self.watermark = watermark
        """Whether what it says is marked as synthetic."""

        self._hygiene, self._exact = hygiene, exact_tokens
        self._max_chars = max_text_chars
        loaded = loaded or load_upstream(variant, Path(model) if model else None, device)
        pace = Pace(
            first_tokens,
            tuple(chunk_tokens),
            max_ahead_secs=max_ahead_secs,
            min_prompt_tokens=int(min_prompt_secs * TOKENS_PER_SEC),
        )
        self._assembly: Assembly = assemble(
            loaded,
            device=torch.device(device),
            dtype=dtype,
            slots=slots,
            max_streams=slots + max_queue,
            max_text_chars=max_text_chars,
            attention=flow_attention,
            flow_steps=flow_steps,
            pace=pace,
            mending=hygiene.mending if exact_tokens is None else replace(hygiene.mending, cut_babble=False),
            watermark=watermark,
            voices_dir=Path(voices_dir),
            voice_cache_bytes=voice_cache_mb * 2**20,
            shape=shape,
        )
        # Normalising and tokenising a sentence takes up to some milliseconds, which no event loop has.
        self._texts = ThreadPoolExecutor(max_workers=1, thread_name_prefix="chatterbox-text")
        self._closed = False

    @property
    def problem(self) -> str | None:
        """See `engines.protocol.TextToSpeech.problem`."""
        return self._assembly.worker.problem

    @property
    def summary(self) -> str:
        """What was reserved and whom that carries, for the operator."""
        return self._assembly.summary

    async def voices(self) -> tuple[Voice, ...]:
        """See `engines.protocol.TextToSpeech.voices`."""
        found = await self._assembly.voices.list()
        return tuple(sorted(found, key=lambda voice: (voice.id != self._voice, voice.id)))

    async def warm_up(self) -> None:
        """Capture what is captured, and make ready the voice that speaks where a stream does not say."""
        await asyncio.wrap_future(self._assembly.worker.call(self._assembly.prepare))
        await self._assembly.voices.get(self._voice, self._defaults.exaggeration)

    def stats(self) -> dict[str, float]:
        """What was done since the beginning: seconds of each stage, and counts."""
        return self._assembly.worker.stats()

    async def synthesize(
        self, text: AsyncIterable[str], options: SpeechOptions = DEFAULT_SPEECH
    ) -> AsyncIterator[SpeechChunk]:
        """See `engines.protocol.TextToSpeech.synthesize`."""
        if self._closed:
            raise EngineClosed("chatterbox has been shut down")
        sampling = resolve(options, self._defaults)
        voice_id = options.voice or self._voice
        # Turbo has no exaggeration: what a client says of it must not make the same voice anew.
        exaggeration = (sampling if self._variant == "base" else self._defaults).exaggeration
        voice = await self._assembly.voices.get(voice_id, exaggeration)
        outlet = Outlet(asyncio.get_running_loop())
        speaker = Speaker(voice, options.live, outlet.put)
        self._assembly.worker.open(speaker, voice_id)
        feeding = asyncio.create_task(self._feed(speaker, text, sampling, options.seed))
        try:
            while (chunk := await _next(outlet, feeding)) is not None:
                yield chunk
        finally:
            self._assembly.worker.cancel(speaker)
            feeding.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await feeding

    async def close(self) -> None:
        """See `engines.protocol.TextToSpeech.close`."""
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._texts, self._assembly.close)
            self._texts.shutdown(wait=False)

    # From text to sentences for the token model.

    async def _feed(self, speaker: Speaker, text: AsyncIterable[str], sampling: Sampling, seed: int | None) -> None:
        assembler = SentenceAssembler(self._max_chars, normalise=self._hygiene.normalize_text)
        seeds = random.Random(seed)
        async for piece in text:
            while len(speaker.utterances) >= MAX_SENTENCES and not speaker.cancelled:
                await asyncio.sleep(SLOW_SECS)
            await self._say(
                speaker, lambda piece=piece: assembler.push(piece) if piece else assembler.flush(), sampling, seeds
            )
        await self._say(speaker, assembler.flush, sampling, seeds)
        self._assembly.worker.end(speaker)

    async def _say(
        self, speaker: Speaker, take: Callable[[], list[Sentence]], sampling: Sampling, seeds: random.Random
    ) -> None:
        def utterances() -> list[Utterance]:
            return [self._utterance(speaker, sentence, sampling, seeds) for sentence in take()]

        for utterance in await self._aside(utterances):
            self._assembly.worker.say(speaker, utterance)

    async def _aside(self, work: Callable[[], T]) -> T:
        """Do what no event loop has the time for."""
        try:
            future = self._texts.submit(work)
        except RuntimeError:
            raise EngineClosed("chatterbox has been shut down") from None
        try:
            return await asyncio.wrap_future(future)
        except (EngineError, OSError):
            raise
        except Exception as error:
            # A text that the tokenizer or the normaliser stumbles over is lost, not the connection that it came by.
            logger.opt(exception=error).error("a text could not be prepared")
            raise EngineFailed(f"the text could not be prepared: {type(error).__name__}") from error

    def _utterance(self, speaker: Speaker, sentence: Sentence, sampling: Sampling, seeds: random.Random) -> Utterance:
        tokens = self._assembly.tokenize(sentence.spoken)
        room = self._assembly.positions - speaker.voice.conditioning.positions - len(tokens) - 2
        if room < 25:
            raise EngineRefused(f"a sentence of {len(tokens)} text tokens is too long to be spoken as one")
        # A short text leaves more room in its slot than the vocoder has for what it may become.
        room = min(room, self._assembly.most_tokens)
        watch = None
        exact = min(self._exact(sentence.spoken), room) if self._exact is not None else None
        bound = room
        if exact is None:
            letters = spoken_length(sentence.spoken)
            watch = EndWatch(letters, silence=(SILENCE_TOKEN,), limits=self._hygiene.limits)
            bound = min(room, watch.bound) if watch.bound is not None else room
        seed = seeds.randrange(SEEDS)
        request = T3Request(
            text_tokens=tokens,
            conditioning=speaker.voice.conditioning,
            max_tokens=exact if exact is not None else bound,
            seed=seed,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k if self._variant == "turbo" else None,
            min_p=sampling.min_p if self._variant == "base" else None,
            repetition_penalty=sampling.repetition_penalty,
            cfg_weight=sampling.cfg_weight if self._variant == "base" else None,
        )
        return Utterance(sentence, request, seed, watch=watch, exact_tokens=exact)


async def _next(outlet: Outlet, feeding: "asyncio.Task[None]") -> SpeechChunk | None:
    """The next piece of sound; what goes wrong with the text is raised here."""
    getting = asyncio.ensure_future(outlet.get())
    waiting: set[asyncio.Future[Any]] = {getting} if feeding.done() else {getting, feeding}
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if feeding.done() and not feeding.cancelled() and (error := feeding.exception()) is not None:
            raise error
        return await getting
    finally:
        if not getting.done():
            getting.cancel()
