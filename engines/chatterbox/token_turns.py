"""The token model's part of a round: whose text is read, whose next token is made."""

import math
from collections.abc import Callable
from dataclasses import replace

from engines.chatterbox.failures import Failures, Part, as_engine_error
from engines.chatterbox.schedule import TOKENS_PER_SEC, Candidate, Pace, in_order, to_decode
from engines.chatterbox.speaker import Speaker, Utterance
from engines.chatterbox.speakers import Speakers
from engines.chatterbox.stages import Decoding, Pair

Made = list[tuple[Utterance, int]]
"""Sentences, each with its next token."""


class TokenTurns:
    """Keeps the token model busy, on the worker's thread."""

    def __init__(
        self,
        decoding: Decoding,
        speakers: Speakers,
        failures: Failures,
        *,
        pace: Pace,
        clock: Callable[[], float],
    ):
        """
        Args:
            decoding: The token model.
            speakers: All streams.
            failures: Counts what fails.
            pace: When there is enough.
            clock: Seconds.
        """
        self._decoding, self._speakers, self._failures = decoding, speakers, failures
        self._pace, self._clock = pace, clock
        self._hurry = replace(pace, max_ahead_secs=math.inf)

    def read_texts(self) -> bool:
        """Give new sentences to the token model, the most urgent first. Returns whether there were any."""
        free = self._decoding.free
        if not free:
            return False
        chosen = in_order(self._waiting(self._clock()))[: min(free, self._decoding.most_at_once)]
        if not chosen:
            return False
        self._speakers.each(
            Part.TOKENS, chosen, lambda pairs: self._decoding.read([utterance for _, utterance in pairs])
        )
        return True

    def step(self) -> Made | None:
        """Launch the next step, and give what the one before made; None where there is nothing to do."""
        chosen = self._chosen(self._clock())
        if not chosen and not self._decoding.busy:
            return None
        return self._step(chosen)

    def finish_step(self) -> Made:
        """Wait for the step under way, if there is one, and give what it made."""
        return self._step([])

    def _step(self, chosen: list[Utterance]) -> Made:
        try:
            made = self._decoding.step(chosen)
        except Exception as error:
            self._failed(error)
            return []
        if made:  # A launch alone shows nothing: on a GPU it fails when its tokens are read.
            self._failures.went_well(Part.TOKENS)
        return made

    def _failed(self, error: Exception) -> None:
        """Without its tokens nothing that is being decoded can go on."""
        self._failures.failed(Part.TOKENS, error)
        self._decoding.drop()
        for speaker in self._speakers:
            if any(utterance.slot is not None for utterance in speaker.utterances):
                self._speakers.fail(speaker, as_engine_error(error))

    def _waiting(self, now: float) -> list[Candidate[Pair]]:
        return [
            Candidate((speaker, utterance), speaker.fresh, speaker.buffered_secs(now), speaker.live)
            for speaker in self._speakers
            if (utterance := _to_read(speaker)) is not None
            and (speaker.fresh or not speaker.live or speaker.buffered_secs(now) < self._pace.max_ahead_secs)
        ]

    def _chosen(self, now: float) -> list[Utterance]:
        candidates = [
            Candidate(utterance, speaker.fresh, _ahead_secs(speaker, utterance, now), speaker.live)
            for speaker in self._speakers
            for utterance in speaker.utterances
            if utterance.slot is not None and not utterance.ended
        ]
        return to_decode(candidates, self._hurry if self._somebody_lacks() else self._pace)

    def _somebody_lacks(self) -> bool:
        """Whether a listener who has heard nothing yet waits for a slot: nobody rests in one then."""
        if self._decoding.free:
            return False
        return any(speaker.live and speaker.fresh and _to_read(speaker) is not None for speaker in self._speakers)


def _to_read(speaker: Speaker) -> Utterance | None:
    """The sentence whose text is to be read next: one at a time, once the one before has all its tokens."""
    for utterance in speaker.utterances:
        if not utterance.reading:
            return utterance
        if not utterance.ended:
            return None
    return None


def _ahead_secs(speaker: Speaker, utterance: Utterance, now: float) -> float:
    """Sound that the listener has left, with what can be made of tokens that are there."""
    return speaker.buffered_secs(now) + (len(utterance.tokens) - utterance.used) / TOKENS_PER_SEC
