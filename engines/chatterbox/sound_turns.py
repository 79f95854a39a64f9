"""The vocoder's part of a round: whose next piece of sound is made, and where it goes."""

from collections.abc import Callable, Sequence

from engines.chatterbox.busy import BusyMeter
from engines.chatterbox.failures import Failures, Part, as_engine_error
from engines.chatterbox.finish import Finisher, Piece
from engines.chatterbox.schedule import Candidate, Pace, is_due, next_piece, prompt_tokens, to_sound
from engines.chatterbox.speaker import TOKEN_SAMPLES, Speaker, Utterance
from engines.chatterbox.speakers import Speakers
from engines.chatterbox.stages import NOTHING, Pair, Sounding


class SoundTurns:
    """Keeps the vocoder busy, on the worker's thread."""

    def __init__(
        self,
        sounding: Sounding,
        finisher: Finisher,
        speakers: Speakers,
        failures: Failures,
        *,
        pace: Pace,
        busy: BusyMeter,
        clock: Callable[[], float],
    ):
        """
        Args:
            sounding: The vocoder.
            finisher: Takes what it makes.
            speakers: All streams.
            failures: Counts what fails.
            pace: When there is enough.
            busy: Told when the vocoder works.
            clock: Seconds.
        """
        self._sounding, self._finisher = sounding, finisher
        self._speakers, self._failures = speakers, failures
        self._pace, self._busy, self._clock = pace, busy, clock

    def launch(self) -> bool:
        """Begin the next pieces, unless some are being made. Returns whether there were any."""
        if self._sounding.busy:
            return False
        now = self._clock()
        due = [
            Candidate((speaker, utterance), speaker.fresh, speaker.buffered_secs(now), speaker.live, waited)
            for speaker in self._speakers
            if speaker.utterances
            and (waited := self._waits(speaker, utterance := speaker.utterances[0], now)) is not None
        ]
        batch = self._sounding.fitting(to_sound(due, self._pace, self._sounding.most_at_once), self._prompt_tokens)
        if not batch:
            return False
        self._speakers.each(Part.SOUND, batch, self._begin)
        return True

    def read(self, *, wait: bool) -> None:
        """Hand over what the vocoder has made."""
        if not self._sounding.busy or not (wait or self._sounding.ready()):
            return
        self._busy.turn(False, self._clock())
        try:
            sounds = self._sounding.read()
            # Sound went all the way.
            self._failures.went_well(Part.SOUND, Part.ROUND)
        except Exception as error:
            self._failures.failed(Part.SOUND, error)
            for speaker, _ in self._sounding.drop():
                self._speakers.fail(speaker, as_engine_error(error))
            return
        for speaker, utterance, audio, last in sounds:
            if speaker.cancelled:
                continue
            speaker.made_samples += len(audio)
            expected = len(utterance.tokens) * TOKEN_SAMPLES if utterance.ended else None
            self._finisher.put(Piece(speaker, utterance, audio, expected, last))

    def finish_streams(self) -> None:
        """Tell the end of those whose last sound was handed over."""
        flying = {id(speaker) for speaker, _ in self._sounding.under_way}
        for speaker in [item for item in self._speakers if item.is_over and id(item) not in flying]:
            self._finisher.put(Piece(speaker, None, NOTHING))
            self._speakers.forget(speaker)

    def _waits(self, speaker: Speaker, utterance: Utterance, now: float) -> float | None:
        """How long the next piece of a sentence could have been made; None where it cannot be yet."""
        if not self._due(speaker, utterance, now):
            return None
        if utterance.due_since is None:
            utterance.due_since = now
        return now - utterance.due_since

    def _due(self, speaker: Speaker, utterance: Utterance, now: float) -> bool:
        if not utterance.reading or utterance.last_piece:
            return False
        if not speaker.live:
            return utterance.ended  # Whole sentences: nobody waits, and pieces would depend on the moment.
        if utterance.due_since is not None:
            return True
        left, busy = speaker.buffered_secs(now), self._busy.share(now)
        wanted = next_piece(utterance.pieces, left, speaker.fresh, self._pace, busy=busy)
        return is_due(len(utterance.tokens), utterance.used, utterance.ended, wanted)

    def _prompt_tokens(self, speaker: Speaker) -> int | None:
        """Over how much of its voice's prompt the next sentence of a stream goes; None for all of it."""
        if not speaker.live:
            return None  # Nobody waits, and the sound of a file does not depend on the moment.
        whole, busy = len(speaker.voice.prompt.tokens), self._busy.share(self._clock())
        return prompt_tokens(whole, self._pace, busy=busy)

    def _begin(self, pairs: Sequence[Pair]) -> None:
        # Where those of a batch are tried one by one, the run before this one may be under way.
        self.read(wait=True)
        # On a CPU the launch is all of it.
        self._busy.turn(True, self._clock())
        try:
            self._sounding.launch(pairs)
        except Exception:
            self._busy.turn(False, self._clock())
            raise
        for speaker, utterance in pairs:
            if utterance.last_piece:
                # Its sound is on its way: the next sentence is looked at.
                speaker.utterances.popleft()
