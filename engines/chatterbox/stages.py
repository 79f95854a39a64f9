"""The two models as the worker uses them: sentences in, tokens out; sentences with tokens in, sound out."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch

from engines.chatterbox.devices import Lane, Stopwatch, at_work
from engines.chatterbox.s3gen.decoder import Job, Run, S3GenDecoder
from engines.chatterbox.schedule import LOOKAHEAD_TOKENS
from engines.chatterbox.speaker import Speaker, Utterance
from engines.chatterbox.t3.decoder import Step, T3Decoder
from engines.errors import EngineBusy

NOTHING = np.zeros(0, dtype=np.float32)
SILENCE_TOKEN = 4299
"""Upstream's `S3GEN_SIL`."""

Pair = tuple[Speaker, Utterance]


class Decoding:
    """The token model, with one step under way."""

    def __init__(self, decoder: T3Decoder, lane: Lane, *, most_at_once: int):
        """
        Args:
            decoder: The model; nobody else uses it.
            lane: Where it runs.
            most_at_once: Texts that are read together.
        """
        self._decoder = decoder
        self._lane = lane
        self.most_at_once = most_at_once
        self._under_way: tuple[Step, list[Utterance]] | None = None
        self._reading, self._stepping = Stopwatch(lane.device), Stopwatch(lane.device)
        self._texts = self._steps = self._rows = 0

    @property
    def device(self) -> Any:
        """For the thread that uses it."""
        return at_work(self._lane.device)

    @property
    def stop_token(self) -> int:
        """The model's own end."""
        return self._decoder.stop_token

    @property
    def free(self) -> int:
        """How many more sentences it takes now."""
        return self._decoder.free_slots

    @property
    def busy(self) -> bool:
        """Whether a step's tokens have not been read."""
        return self._under_way is not None

    def read(self, utterances: Sequence[Utterance]) -> None:
        """Read the texts of new sentences, without waiting."""
        with self._lane.use(), self._reading.time():
            slots = self._decoder.admit([utterance.request for utterance in utterances])
        for utterance, slot in zip(utterances, slots, strict=True):
            utterance.slot, utterance.reading = slot, True
        self._texts += len(slots)

    def step(self, utterances: Sequence[Utterance]) -> list[tuple[Utterance, int]]:
        """Launch a step for these, if any; give the tokens of the one before."""
        before, self._under_way = self._under_way, None
        if utterances:
            with self._lane.use(), self._stepping.time():
                step = self._decoder.launch([utterance.slot for utterance in utterances])  # type: ignore
            self._under_way = (step, list(utterances))
            self._steps += 1
            self._rows += len(utterances)
        if before is None:
            return []
        step, earlier = before
        return list(zip(earlier, (int(token) for token in step.tokens()), strict=True))

    def release(self, utterance: Utterance) -> None:
        """Free the place of a sentence."""
        if utterance.slot is not None:
            self._decoder.release(utterance.slot)
            utterance.slot = None

    def recover(self) -> None:
        """After a failure of any kind: give memory that nobody uses back. The step under way is not of the guilty."""
        if self._lane.device.type == "cuda":
            # A device that is broken for good refuses this, too; the failure before it has told.
            with suppress(RuntimeError):
                torch.cuda.empty_cache()

    def drop(self) -> None:
        """After a step has failed: what was under way is lost."""
        self._under_way = None

    def stats(self) -> dict[str, float]:
        """Seconds on the device, and counts, since the beginning."""
        return {
            "t3_prefill_secs": self._reading.secs,
            "t3_step_secs": self._stepping.secs,
            "sentences": float(self._texts),
            "steps": float(self._steps),
            "rows": float(self._rows),
        }


class Sounding:
    """The vocoder, with one run under way."""

    def __init__(self, decoder: S3GenDecoder, lane: Lane, *, most_at_once: int, closing_tokens: Sequence[int] = ()):
        """
        Args:
            decoder: The model; nobody else uses it.
            lane: Where it runs.
            most_at_once: Pieces that are made together.
            closing_tokens: Put behind the tokens of every sentence.
        """
        self._decoder = decoder
        self._lane = lane
        self.most_at_once = most_at_once
        self._closing = list(closing_tokens)
        self._run: Run | None = None
        self.under_way: list[Pair] = []
        self._watch = Stopwatch(lane.device)
        self._runs = self._pieces = 0

    @property
    def busy(self) -> bool:
        """Whether a run's sound has not been read."""
        return bool(self.under_way)

    def fitting(self, wanted: Sequence[Pair], prompt_tokens: Callable[[Speaker], int | None]) -> list[Pair]:
        """The first of these that can go together, each with a place.

        Args:
            wanted: The most urgent first.
            prompt_tokens: Over how much of its voice's prompt a sentence goes that gets its place here; None for all.
        """
        chosen: list[Pair] = []
        joint = None
        for speaker, utterance in wanted:
            if not self._has_place(speaker, utterance, prompt_tokens):
                continue
            bucket = self._decoder.bucket(self._job(utterance))
            joint = bucket if joint is None else joint.with_other(bucket)
            if len(chosen) >= self._decoder.largest(joint):
                break
            chosen.append((speaker, utterance))
        return chosen

    def launch(self, pairs: Sequence[Pair]) -> None:
        """Begin the next piece of each of these sentences, and return at once."""
        jobs = [self._job(utterance) for _, utterance in pairs]
        with self._lane.use(), self._watch.time():
            self._run = self._decoder.launch(jobs)
        self.under_way = list(pairs)
        for (_, utterance), job in zip(pairs, jobs, strict=True):
            utterance.last_piece = job.final
            utterance.used = len(utterance.tokens) - (0 if job.final else LOOKAHEAD_TOKENS)
            utterance.shown = len(utterance.tokens)
            utterance.pieces += 1
            utterance.due_since = None
        self._runs += 1
        self._pieces += len(pairs)

    def ready(self) -> bool:
        """Whether `read` would not wait."""
        return self._run is None or self._run.ready()

    def read(self) -> list[tuple[Speaker, Utterance, np.ndarray, bool]]:
        """The sound of the run: stream, sentence, float32 samples, and whether it is the sentence's last."""
        assert self._run is not None
        audio = self._run.audio()
        pairs, self._run, self.under_way = self.under_way, None, []
        for _, utterance in pairs:
            if utterance.last_piece:
                self.release(utterance)
        return [(*pair, sound, pair[1].last_piece) for pair, sound in zip(pairs, audio, strict=True)]

    def drop(self) -> list[Pair]:
        """After a failure: give up what is under way, and say whose it was."""
        pairs, self._run, self.under_way = self.under_way, None, []
        for _, utterance in pairs:
            self.release(utterance)
        return pairs

    def release(self, utterance: Utterance) -> None:
        """Free the place of a sentence."""
        if utterance.stream is not None:
            self._decoder.close(utterance.stream)
            utterance.stream = None

    def stats(self) -> dict[str, float]:
        """Seconds on the device, and counts, since the beginning."""
        return {"sound_secs": self._watch.secs, "runs": float(self._runs), "pieces": float(self._pieces)}

    def _has_place(
        self, speaker: Speaker, utterance: Utterance, prompt_tokens: Callable[[Speaker], int | None]
    ) -> bool:
        if utterance.stream is None:
            try:
                prompt = speaker.voice.prompt
                utterance.stream = self._decoder.open(prompt, utterance.seed, prompt_tokens(speaker))
            except EngineBusy:
                return False
        return True

    def _job(self, utterance: Utterance) -> Job:
        closing = self._closing if utterance.ended else []
        # The vocoder wants at least one token, also where the model said nothing.
        tokens = [*utterance.tokens, *closing] or [SILENCE_TOKEN]
        return Job(utterance.stream, tokens, utterance.ended)
