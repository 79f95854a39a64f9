"""Puts the engine together: the models on their lanes, the worker, the voices; and says what that takes and carries."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from engines.chatterbox.device_voices import DeviceVoice, DeviceVoices
from engines.chatterbox.devices import Lane, at_work
from engines.chatterbox.finish import Finisher, Mending
from engines.chatterbox.loading import Loaded
from engines.chatterbox.s3gen.decoder import S3GenDecoder
from engines.chatterbox.schedule import Pace
from engines.chatterbox.stages import SILENCE_TOKEN, Decoding, Sounding
from engines.chatterbox.t3.decoder import T3Decoder
from engines.chatterbox.voices import VoiceLibrary
from engines.chatterbox.watermark import Watermarker
from engines.chatterbox.worker import Worker
from engines.errors import EngineRefused

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
TOKENS_PER_CHAR = 2.1
"""Room for speech: 25 tokens a second, and 12 letters a second, slower than anybody speaks."""

EVERY_FRAME = 1 << 20
"""Long pieces come too, of files and of streams far ahead: none of their graphs is captured while others listen."""

TEXT_PER_CHAR = {"turbo": 0.4, "base": 0.9}
PREFIX = {"turbo": 376, "base": 34}
"""Positions of a voice in the token model's cache."""


@dataclass(frozen=True)
class Shape:
    """Sizes of batches.

    Attributes:
        read: Texts that are read together.
        sound: Pieces of sound that are made together.
    """

    read: int = 4
    sound: int = 16


@dataclass(frozen=True)
class Assembly:
    """The parts of an engine."""

    worker: Worker
    voices: DeviceVoices
    tokenize: Callable[[str], torch.Tensor]
    positions: int
    """Of a slot: voice, text and speech."""

    most_tokens: int
    """Speech tokens of one sentence that the vocoder has room for."""

    prepare: Callable[[], None]
    """Captures what is captured; for the worker's thread."""

    summary: str

    def close(self) -> None:
        """Give everything back; waits for the threads."""
        self.voices.close()
        self.worker.close()


def assemble(
    loaded: Loaded,
    *,
    device: torch.device,
    dtype: Literal["auto", "float32", "bfloat16", "float16"],
    slots: int,
    max_streams: int,
    max_text_chars: int,
    attention: Literal["full", "chunked"],
    flow_steps: int | None,
    pace: Pace,
    mending: Mending,
    watermark: bool,
    voices_dir: Path,
    voice_cache_bytes: int,
    shape: Shape | None,
) -> Assembly:
    """Build the parts; arguments as those of `engines.chatterbox.engine.ChatterboxEngine`."""
    shape = shape or (Shape() if device.type == "cuda" else Shape(read=2, sound=4))
    positions = positions_for(loaded.variant, max_text_chars)
    with at_work(device):
        decoder = T3Decoder(
            loaded.t3,
            slots=slots,
            max_positions=positions,
            device=device,
            dtype=_dtype(dtype, device),
            max_prefill_batch=shape.read,
        )
        vocoder = S3GenDecoder(
            loaded.s3gen,
            device=device,
            attention=attention,
            steps=flow_steps,
            max_tokens=int(max_text_chars * TOKENS_PER_CHAR) + 8,
            max_batch=shape.sound,
            max_streams=2 * slots,
        )
        watermarker = Watermarker(device=device) if watermark else None
    urgent, patient = Lane(device, urgent=True), Lane(device)
    decoding = Decoding(decoder, urgent, most_at_once=shape.read)
    closing = [SILENCE_TOKEN] * 3 if loaded.variant == "turbo" else []
    sounding = Sounding(vocoder, patient, most_at_once=shape.sound, closing_tokens=closing)
    finisher = partial(Finisher, mending, watermarker=watermarker)
    worker = Worker(decoding, sounding, finisher, pace=pace, max_streams=max_streams)

    def bring(conditionals: Any, exaggeration: float) -> DeviceVoice:
        with urgent.use():
            conditioning = decoder.condition(conditionals.t3, exaggeration)
        with patient.use():
            prompt = vocoder.voice(conditionals.gen)
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # Both lanes will use it.
        return DeviceVoice(conditioning, prompt)

    def prepare() -> None:
        with urgent.use():
            decoder.prepare()
        with patient.use():
            # No row is shorter than the model's own voice, or what is left of it under load. Shorter voices are rare;
            # their graphs are captured when they come.
            own = int(loaded.conditionals.gen["prompt_token"].shape[1])
            vocoder.prepare(min_tokens=min(own, pace.min_prompt_tokens), max_frames=EVERY_FRAME)
        if watermarker is not None:
            watermarker.prepare()

    voices = DeviceVoices(VoiceLibrary(voices_dir, loaded), bring, worker, max_bytes=voice_cache_bytes)
    summary = _summary(decoder, slots, positions, device, watermark)
    most_tokens = vocoder.max_tokens - len(closing)
    return Assembly(worker, voices, loaded.tokenize, decoder.max_positions, most_tokens, prepare, summary)


def positions_for(variant: str, max_text_chars: int) -> int:
    """Room of a slot: the voice, the text, and its speech at a slow pace."""
    return int(PREFIX[variant] + max_text_chars * (TEXT_PER_CHAR[variant] + TOKENS_PER_CHAR)) + 8


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name not in DTYPES:
        raise EngineRefused(f"the number format {name!r} is unknown; expected auto or one of {', '.join(DTYPES)}")
    return DTYPES[name]


def _summary(decoder: T3Decoder, slots: int, positions: int, device: torch.device, watermark: bool) -> str:
    gib = decoder.reserved_bytes / 2**30
    parts = [f"{slots} sentences decode at once, {positions} positions each ({gib:.1f} GiB reserved)"]
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        parts.append(f"{(total - free) / 2**30:.1f} of {total / 2**30:.0f} GiB of the GPU in use")
    parts.append(f"watermark {'on' if watermark else 'OFF'}")
    return "; ".join(parts)
