"""All streams that are spoken, and how they leave: what each holds of the models is free before the next step."""

from collections.abc import Callable, Iterator, Sequence

from engines.chatterbox.failures import Failures, Part, as_engine_error
from engines.chatterbox.speaker import Speaker
from engines.chatterbox.stages import Decoding, Pair, Sounding
from engines.errors import EngineError, EngineRefused


class Speakers:
    """The streams of the worker, on its thread."""

    def __init__(self, decoding: Decoding, sounding: Sounding, failures: Failures, *, on_left: Callable[[], None]):
        """
        Args:
            decoding: The token model.
            sounding: The vocoder.
            failures: Counts what fails.
            on_left: Told of each stream that is done with, once.
        """
        self._decoding, self._sounding = decoding, sounding
        self._failures = failures
        self._on_left = on_left
        self._speakers: list[Speaker] = []

    def __iter__(self) -> Iterator[Speaker]:
        """Those of now, whoever leaves meanwhile."""
        return iter(list(self._speakers))

    def add(self, speaker: Speaker) -> None:
        """Take a new one."""
        self._speakers.append(speaker)

    def drop_cancelled(self) -> None:
        """Forget those whose listeners are gone."""
        for speaker in self:
            if speaker.cancelled:
                self.forget(speaker)

    def forget(self, speaker: Speaker) -> None:
        """Free every place of a stream."""
        for utterance in speaker.utterances:
            utterance.ended = True
            self._decoding.release(utterance)
            self._sounding.release(utterance)
        speaker.utterances.clear()
        if not speaker.finished:
            speaker.finished = True
            self._on_left()
        if speaker in self._speakers:
            self._speakers.remove(speaker)

    def fail(self, speaker: Speaker, error: EngineError) -> None:
        """Forget a stream and tell it why."""
        if not speaker.finished:
            self.forget(speaker)
            speaker.cancelled = True
            speaker.tell(error)

    def fail_all(self, error: EngineError) -> None:
        """Forget all of them, and tell them why."""
        for speaker in self:
            self.fail(speaker, error)

    def each(
        self, part: Part, pairs: Sequence[Pair], work: Callable[[Sequence[Pair]], None], before: Exception | None = None
    ) -> None:
        """Do something for all at once; where that fails, for one by one, so that only the guilty fails.

        Args:
            part: What does it.
            pairs: For whom.
            work: What is done; it may be tried again for some of them.
            before: How it failed for all at once.
        """
        try:
            work(pairs)
            return
        except Exception as error:
            if before is None:
                self._failures.failed(part, error)
            else:
                self._decoding.recover()  # The failure of all at once counts, not each of theirs again.
            if len(pairs) == 1:
                # What a failed device has left unusable is refused when it is tried again: that is not the client's.
                told = before if before is not None and isinstance(error, EngineRefused) else error
                self.fail(pairs[0][0], as_engine_error(told))
                return
            failure = error
        for pair in pairs:
            if not pair[0].finished:
                self.each(part, [pair], work, failure)
