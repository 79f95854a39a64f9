"""Whisper in torch: CUDA graphs over static memory on a GPU, the same steps one by one on a CPU.

A batch is padded to a bucket of rows. The encoder runs in pieces that fill the device, the decoder one token at a time;
what is chosen is decided on the device, and the host learns a step later whether all rows have ended.
"""

import gc
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from itertools import product, takewhile
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import torch

from engines.errors import EngineClosed, EngineRefused, WeightsError
from engines.whisper.backend import Alignment, Decoded, DecodeOptions
from engines.whisper.torch_align import follow
from engines.whisper.torch_buffers import FIRST_ROOM, bucket_for
from engines.whisper.torch_finish import FinishWatch
from engines.whisper.torch_model import decode_with_attention, logits_of
from engines.whisper.torch_prompt import PromptLayout, check_tokens, read_prompts
from engines.whisper.torch_runner import Runner
from engines.whisper.torch_sampling import Rules
from engines.whisper.torch_tokens import read_tokenizer, read_tokens
from engines.whisper.torch_weights import read_weights

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def _on(device: torch.device) -> Iterator[None]:
    """Without gradients, and with streams, events and graphs on this device, whichever thread calls."""
    with torch.no_grad(), torch.cuda.device(device.index if device.type == "cuda" else -1):
        yield


def _at_work(method: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """Run a method as `_on` its device says."""

    @wraps(method)
    def run(self: Any, *args: P.args, **kwargs: P.kwargs) -> R:
        with _on(self._device):
            return method(self, *args, **kwargs)

    return run


@dataclass(frozen=True)
class Encoded:
    """The encoder's output, (utterances, audio positions, width), on the device."""

    audio: torch.Tensor


class TorchBackend:
    """Implements `engines.whisper.backend.WhisperBackend`."""

    name = "torch"

    def __init__(
        self,
        model_dir: Path,
        *,
        device: str,
        dtype: str,
        max_batch: int,
        windows: Mapping[int, int],
        threads: int = 1,
    ):
        """Load a model.

        Args:
            model_dir: A CTranslate2 folder (`model.bin`) or a Hugging Face one (`model.safetensors`).
            device: `cpu`, `cuda` or `cuda:N`.
            dtype: `float32`, `float16` or `bfloat16`.
            max_batch: Most utterances at once.
            windows: Frames of the usual windows, 100 a second, and the most utterances at once in each: on a GPU,
                memory for them is made at once.
            threads: CPU threads, where the device is the CPU; they count for all of torch in this process.

        Raises:
            WeightsError: The model is missing or damaged, or does not fit.
            EngineRefused: The device or the dtype is unknown.
        """
        where = _device(device)
        if dtype not in DTYPES:
            raise EngineRefused(f"The number format {dtype!r} is unknown; expected one of {', '.join(DTYPES)}.")
        if where.type == "cpu":
            torch.set_num_threads(threads)
        self.tokenizer = read_tokenizer(model_dir)
        self._device = where
        self._heard: weakref.ref[Encoded] | None = None
        with _fitting(model_dir), _on(where):
            weights = read_weights(model_dir, where, DTYPES[dtype])
            self._tokens = read_tokens(model_dir, self.tokenizer, weights.vocabulary)
            self._open_runner: Runner | None = Runner(weights, self._tokens, max_batch, len(windows))
            self._windows = {frames: bucket_for(rows, self._runner.buckets) for frames, rows in windows.items()}
            if where.type == "cuda":
                for frames, rows in self._windows.items():
                    self._runner.make_room(rows, frames // 2)
            self._finish = FinishWatch(where)
        self.is_multilingual = self._tokens.is_multilingual
        self.n_mels = weights.n_mels
        self._heads = self._tokens.alignment_heads or tuple(
            product(range(len(weights.decoder.layers) // 2, len(weights.decoder.layers)), range(weights.decoder.heads))
        )

    def warm_up(self, batches: tuple[int, ...] | None = None) -> None:
        """Run every usual path once, which captures its graphs.

        Args:
            batches: Batch sizes that are likely; None for all.
        """
        task = [self._tokens.start]
        if self._tokens.languages:
            transcribe = self.tokenizer.token_to_id("<|transcribe|>")
            task += [next(iter(self._tokens.languages)), transcribe]
        options = DecodeOptions(beam_size=1, temperature=0.0, max_new_tokens=2, suppress_tokens=())
        for frames, batch in product(self._windows, batches or self._runner.buckets):
            if batch > self._windows[frames]:
                continue
            encoded = self.encode(np.zeros((batch, self.n_mels, frames), dtype=np.float32))
            if self.is_multilingual:
                self.detect_language(encoded)
            for prompt in (task, [*task, self._tokens.no_timestamps]):
                self.generate(encoded, [prompt] * batch, options)
            with _on(self._device):
                self._runner.prepare_step(bucket_for(batch, self._runner.buckets), frames // 2, FIRST_ROOM)

    @_at_work
    def encode(self, features: np.ndarray) -> Encoded:
        """See `WhisperBackend.encode`.

        Raises:
            EngineRefused: There are too many utterances, or the window or the number of mel bins does not fit.
        """
        batch, mels, frames = features.shape
        runner, most = self._runner, self._runner.weights.max_frames
        if not 1 <= batch <= runner.buckets[-1]:
            raise EngineRefused(f"There are {batch} utterances in the batch; expected 1 to {runner.buckets[-1]}.")
        if mels != self.n_mels or frames % 2 or not 2 <= frames <= most:
            raise EngineRefused(
                f"The features have {mels} mel bins and {frames} frames; expected {self.n_mels} and an even number of "
                f"frames up to {most}."
            )
        encoded = Encoded(runner.encode(features))
        self._listen_to(encoded)
        return encoded

    @_at_work
    def generate(self, encoded: Encoded, prompts: list[list[int]], options: DecodeOptions) -> list[Decoded]:
        """See `WhisperBackend.generate`.

        Raises:
            EngineRefused: The options or the prompts are not such as this backend takes.
        """
        weights, state = self._runner.weights, self._runner.state
        if options.beam_size != 1:
            raise EngineRefused(f"The torch backend decodes greedily; it takes no beam of {options.beam_size}.")
        if options.max_new_tokens < 1:
            raise EngineRefused(f"{options.max_new_tokens} new tokens are asked for; expected at least 1.")
        check_tokens([list(options.suppress_tokens)], weights.vocabulary)
        layout = read_prompts(prompts, self._tokens, weights.vocabulary, weights.max_positions)
        budget = min(options.max_new_tokens, weights.max_positions - layout.length)
        self._decode(encoded, prompts, layout, options, budget)
        count = len(prompts)
        chosen = state.chosen[:budget, :count].t().tolist()
        sums, silences = state.sum_logprob[:count].tolist(), self._runner.no_speech[:count].tolist()
        return [
            Decoded(list(takewhile(lambda token: token != self._tokens.end, tokens)), total, silence)
            for tokens, total, silence in zip(chosen, sums, silences, strict=True)
        ]

    @_at_work
    def detect_language(self, encoded: Encoded) -> list[list[tuple[str, float]]]:
        """See `WhisperBackend.detect_language`."""
        count, positions, _ = encoded.audio.shape
        if not self._tokens.languages:
            return [[("en", 1.0)]] * count
        rows = self._listen_to(encoded)
        self._runner.read_prompt([[self._tokens.start]] * count, 0, rows, positions)
        numbers = torch.tensor(list(self._tokens.languages), device=encoded.audio.device)
        probabilities = self._runner.state.logits[:count, numbers].softmax(dim=-1).tolist()
        codes = list(self._tokens.languages.values())
        return [sorted(zip(codes, row, strict=True), key=lambda found: found[1], reverse=True) for row in probabilities]

    @_at_work
    def align(
        self, encoded: Encoded, start_sequence: list[int], text_tokens: list[list[int]], num_frames: list[int]
    ) -> list[Alignment]:
        """See `WhisperBackend.align`.

        Raises:
            EngineRefused: The texts are not such as the model takes, or not one for each utterance.
        """
        weights, tokens = self._runner.weights, self._tokens
        self._check_count(encoded, len(text_tokens))
        texts = [[*start_sequence, tokens.no_timestamps, *text, tokens.end] for text in text_tokens]
        check_tokens(texts, weights.vocabulary)
        longest = max(len(text) for text in texts)
        if longest > weights.max_positions:
            raise EngineRefused(f"A text of {longest} tokens is too long; the model takes {weights.max_positions}.")
        rows, positions = self._listen_to(encoded), encoded.audio.shape[1]
        padded = [text + [tokens.end] * (longest - len(text)) for text in texts]
        padded += [padded[0]] * (rows - len(padded))
        cross = self._runner.buffers.cross(rows, positions)
        read = torch.tensor(padded, device=encoded.audio.device)
        hidden, scores = decode_with_attention(weights.decoder, read, cross, self._heads)
        skipped = len(start_sequence)
        return [
            Alignment(
                follow(scores[row, :, : len(texts[row])], min(frames // 2, positions), skipped),
                self._probabilities(hidden[row, skipped : skipped + len(text)], text),
            )
            for row, (text, frames) in enumerate(zip(text_tokens, num_frames, strict=True))
        ]

    def close(self) -> None:
        """See `WhisperBackend.close`."""
        if self._open_runner is None:
            return
        device = self._runner.device
        self._open_runner = None
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()

    @property
    def _runner(self) -> Runner:
        if self._open_runner is None:
            raise EngineClosed("The model has been given back.")
        return self._open_runner

    def _decode(
        self, encoded: Encoded, prompts: list[list[int]], layout: PromptLayout, options: DecodeOptions, budget: int
    ) -> None:
        """Write up to `budget` tokens of each row into the state."""
        runner, state = self._runner, self._runner.state
        self._check_count(encoded, len(prompts))
        rows, positions = self._listen_to(encoded), encoded.audio.shape[1]
        rules = Rules(timestamps=layout.timestamps, sampled=options.temperature > 0)
        state.begin(len(prompts), layout.length, options)
        if runner.prepare_choice(rows, rules):
            state.begin(len(prompts), layout.length, options)
        runner.read_prompt(prompts, layout.start, rows, positions)
        runner.choose(rows, rules)
        self._finish.begin()
        for used in range(layout.length + 1, layout.length + budget):
            if self._finish.is_finished(state.all_finished):
                break
            runner.step(rows, positions, used)
            runner.choose(rows, rules)

    def _listen_to(self, encoded: Encoded) -> int:
        """Let the decoder hear this batch, unless it does already. Returns the bucket's rows."""
        if self._heard is None or self._heard() is not encoded:
            self._heard = None
            rows = self._runner.listen_to(encoded.audio)
            self._heard = weakref.ref(encoded)
            return rows
        return bucket_for(len(encoded.audio), self._runner.buckets)

    def _probabilities(self, hidden: torch.Tensor, text: list[int]) -> list[float]:
        """Of each token among those of text, given those before it; `hidden` has shape (tokens, width)."""
        logits = logits_of(self._runner.weights.decoder, hidden)[:, : self._tokens.end]
        wanted = torch.tensor(text, dtype=torch.int64, device=logits.device)
        is_text = wanted < self._tokens.end
        found = logits.softmax(dim=-1).gather(1, wanted.clamp_max(self._tokens.end - 1)[:, None])[:, 0]
        return (found * is_text).tolist()

    def _check_count(self, encoded: Encoded, count: int) -> None:
        if count != len(encoded.audio):
            raise EngineRefused(f"There are {count} texts for {len(encoded.audio)} utterances; expected one for each.")


def _device(name: str) -> torch.device:
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()):
        raise EngineRefused(f"The device {name!r} is unknown; expected cpu, cuda or cuda:N.")
    if kind == "cpu":
        return torch.device("cpu")
    index = int(number or 0)
    if index >= torch.cuda.device_count():
        raise EngineRefused(f"The device {name!r} is not there; torch finds {torch.cuda.device_count()} CUDA devices.")
    return torch.device("cuda", index)


@contextmanager
def _fitting(folder: Path) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise WeightsError(f"{folder} does not fit on the device: {error}") from error
