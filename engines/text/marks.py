"""Where the words of a sentence lie in its sound."""

from collections.abc import Iterator

from engines.protocol import Mark
from engines.text.length import spoken_length
from engines.text.spoken import Sentence

LETTERS_PER_SEC = 15.0
"""An unhurried English speaker."""


def word_marks(sentence: Sentence, start: int, samples: int) -> tuple[Mark, ...]:
    """Place the words of a sentence whose length is known, in proportion to what is said for each.

    Args:
        sentence: The sentence.
        start: First sample of its sound, counted from the beginning of the stream.
        samples: Length of its sound.

    Returns:
        One mark for each word that was written. The first begins at `start`, the last ends at `start + samples`, each
        ends where the next begins. What is not said has no length.
    """
    return MarkPlanner(sentence, start).advance(samples, last=True)


class MarkPlanner:
    """Places the words of a sentence whose sound comes in pieces, while its end is not known.

    Each word is given once, with the piece in which it begins, and begins where the one before it ends. The last word
    is given with the last piece, so that its end is that of the sound; all are given by then. Where the speech was
    shorter than was thought, the last words are squeezed into what is left.
    """

    def __init__(
        self,
        sentence: Sentence,
        start: int,
        *,
        sample_rate: int = 24_000,
        letters_per_sec: float = LETTERS_PER_SEC,
    ):
        """
        Args:
            sentence: The sentence.
            start: First sample of its sound, counted from the beginning of the stream.
            sample_rate: In Hz.
            letters_per_sec: How fast the voice is thought to speak, while nothing better is known: `spoken_length` of
                a text over the seconds that it took.
        """
        self._waiting = list(_weights(sentence))
        self._left = sum(weight for _, weight in self._waiting)
        self._samples_per_letter = sample_rate / letters_per_sec
        self._start = start
        self._heard = start
        self._at = start
        self._estimate = start + round(self._left * self._samples_per_letter)
        self._last_said = max((index for index, (_, weight) in enumerate(self._waiting) if weight), default=0)
        self._given = 0

    def advance(self, samples: int, *, expected: int | None = None, last: bool = False) -> tuple[Mark, ...]:
        """Take the next piece of sound, and give the words that begin in it.

        Args:
            samples: Length of the piece.
            expected: Length of the sentence's whole sound, where it is known by now.
            last: Whether it is the last piece; it may be empty.
        """
        self._heard += samples
        if expected is not None:
            self._estimate = self._start + expected
        total = self._heard if last else self._estimate if expected is not None else self._total()
        marks: list[Mark] = []
        while self._given < len(self._waiting) and (last or self._begins_now()):
            marks.append(self._next(total))
        return tuple(marks)

    def _begins_now(self) -> bool:
        said = self._waiting[self._given][1] > 0
        return self._given < self._last_said and (self._at < self._heard or not said)

    def _total(self) -> int:
        """Where the sound is thought to end: not before there is room for the word that is held back."""
        held = self._waiting[self._last_said][1] if self._waiting else 0
        return max(self._estimate, self._heard + round(held * self._samples_per_letter))

    def _next(self, total: int) -> Mark:
        text, weight = self._waiting[self._given]
        self._given += 1
        start = min(self._at, total)
        share = weight / self._left if self._left > 0 else 1.0
        end = total if share >= 1 - 1e-9 and weight else start + round(max(0, total - start) * min(1.0, share))
        self._left -= weight
        self._at = end
        return Mark(text, start, end)


def _weights(sentence: Sentence) -> Iterator[tuple[str, float]]:
    """Each word as it was written, and how long it takes to say."""
    pairs: list[tuple[str, float]] = []
    for word in sentence.words:
        length = spoken_length(word.spoken) + 1 if word.spoken else 0.0
        sources = word.source.split()
        letters = sum(map(len, sources))
        if sources:
            pairs.extend((source, length * len(source) / letters) for source in sources)
        elif pairs:
            # The rest of a word that was said in several goes.
            pairs[-1] = (pairs[-1][0], pairs[-1][1] + length)
        elif length:
            pairs.append(("", length))
    yield from pairs
