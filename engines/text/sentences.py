"""Puts pieces of text together to sentences, as soon as each is sure to be complete."""

from collections.abc import Collection, Sequence

from engines.text.cutting import in_parts
from engines.text.ends import Boundary, find_end
from engines.text.normalize import normalize
from engines.text.spoken import CLOSING, TERMINAL, Sentence, Spoken

MAX_CHARS = 300
"""Chatterbox drifts in longer texts."""

MIN_CHARS = 12
"""Chatterbox babbles on shorter ones: "Hi", "Yes."."""

UNENDED = 2
"""Text without an end is cut when it is so many times as long as a sentence may be: it is not waited for any longer."""

WEAK = ",;:-–— "
Found = tuple[list[Spoken], bool]
"""The words of a sentence, and whether a blank line follows it."""


class SentenceAssembler:
    """Takes text as it is written, gives sentences to be spoken. One for each stream; pure and synchronous.

    A sentence ends at `.`, `!` or `?` before white space, where what follows cannot belong to it, at a line break, and
    at `flush`. `Hello! ` comes out at once; `Dr. `, `3.`, `etc. `, `Well... ` and `"Stop!" ` wait for what follows.

    One longer than `max_chars` is cut into parts of about the same length, after punctuation where there is some, or
    else before a conjunction, or at a space.

    One shorter than `min_chars` is joined to the one after it, or else to the one before it, if that came in the same
    push; it never waits. What has nothing that can be said makes no sentence: its words go with those of the sentence
    before it in the same push, or else of the next one. At the end of a stream nobody gives them.
    """

    def __init__(
        self,
        max_chars: int = MAX_CHARS,
        *,
        normalise: bool = True,
        min_chars: int = MIN_CHARS,
        tags: Collection[str] = (),
    ):
        """
        Args:
            max_chars: Longest text of a sentence, in characters as they are spoken; at least 20.
            normalise: Whether numbers, symbols and markup are written out; otherwise words are said as they stand.
            min_chars: Sentences with fewer characters are joined to a neighbour that is there; 0 joins none.
            tags: Words that the model itself knows, as `[laugh]`: they are left as they stand.

        Raises:
            ValueError: `max_chars` is too small.
        """
        if max_chars < 20:
            raise ValueError(f"max_chars is {max_chars}; a sentence needs room for 20 characters at least")
        self._max_chars = max_chars
        self._normalise = normalise
        self._min_chars = min_chars
        self._tags = frozenset(tags)
        self._text = ""
        self._looked = 0
        self._silent: list[Spoken] = []

    def push(self, piece: str) -> list[Sentence]:
        """Take more text, of any length, and give the sentences that it completes."""
        self._text += piece
        return self._given(complete=False)

    def flush(self) -> list[Sentence]:
        """Nothing follows for now: give what is left. Text that is pushed afterwards begins a new sentence."""
        return self._given(complete=True)

    def _given(self, *, complete: bool) -> list[Sentence]:
        found: list[Found] = []
        begin = self._begin_of_sentence(0)
        while (boundary := self._end(begin, complete)) is not None:
            self._take(found, self._text[begin : boundary.at], boundary.paragraph)
            begin = self._begin_of_sentence(boundary.at)
            self._looked = 0
        rest = self._text[begin:]
        if found and rest[-1:].isspace() and not any(map(str.isalnum, rest)):
            # Emoji after the end of a sentence are its own.
            self._take(found, rest, found[-1][1])
            rest = ""
        self._text = rest
        return self._sentences(found)

    def _begin_of_sentence(self, at: int) -> int:
        while at < len(self._text) and self._text[at].isspace():
            at += 1
        return at

    def _end(self, begin: int, complete: bool) -> Boundary | None:
        """The end of the sentence at `begin`, in the whole text; None where it has none yet."""
        if begin == len(self._text):
            return None
        limit = UNENDED * self._max_chars
        window = self._text[begin : begin + limit + 1]
        cut_short = len(window) > limit
        boundary, self._looked = find_end(window, self._looked, complete=complete and not cut_short)
        if boundary is not None:
            return Boundary(begin + boundary.at, boundary.paragraph)
        if cut_short:
            return Boundary(begin + _breath(window, limit))
        return Boundary(len(self._text)) if complete else None

    def _take(self, found: list[Found], text: str, paragraph: bool) -> None:
        """Add the words of a sentence to what was found; what is silent goes to a neighbour."""
        words = normalize(text, self._tags) if self._normalise else tuple(Spoken(word, word) for word in text.split())
        if _has_sound(words):
            found.append(([*self._silent, *words], paragraph))
            self._silent = []
        elif found:
            before, ends = found[-1]
            before.extend(_silenced(words))
            found[-1] = (before, ends or paragraph)
        else:
            self._silent.extend(_silenced(words))

    def _sentences(self, found: Sequence[Found]) -> list[Sentence]:
        sentences: list[Sentence] = []
        for words, paragraph in self._joined(found):
            parts = _with_sound(in_parts(words, self._max_chars))
            last = len(parts) - 1
            sentences.extend(
                Sentence(part, _text(part, "." if index == last else ","), paragraph and index == last)
                for index, part in enumerate(parts)
            )
        return sentences

    def _joined(self, found: Sequence[Found]) -> list[Found]:
        """The sentences with the short ones joined to the next, the last to the one before it."""
        joined: list[Found] = []
        for words, paragraph in found:
            if joined and self._belong(joined[-1][0], words):
                joined[-1] = ([*_ended(joined[-1][0]), *words], paragraph)
            else:
                joined.append((words, paragraph))
        if len(joined) > 1 and self._belong(joined[-1][0], joined[-2][0]):
            words, paragraph = joined.pop()
            joined[-1] = ([*_ended(joined[-1][0]), *words], paragraph)
        return joined

    def _belong(self, short: Sequence[Spoken], other: Sequence[Spoken]) -> bool:
        return _size(short) < self._min_chars and _size(short) + _size(other) < self._max_chars


def _size(words: Sequence[Spoken]) -> int:
    return sum(len(word.spoken) + 1 for word in words if word.spoken)


def _has_sound(words: Sequence[Spoken]) -> bool:
    return any(character.isalnum() for word in words for character in word.spoken)


def _breath(window: str, limit: int) -> int:
    """Where to cut text that has no end: at its last white space, or in a word that has none either."""
    for at in range(limit, limit // 2, -1):
        if window[at].isspace():
            return at
    return limit


def _with_sound(parts: Sequence[tuple[Spoken, ...]]) -> list[tuple[Spoken, ...]]:
    """The parts that have something to say, each with the silent ones after it, the first with those before it, too."""
    kept: list[tuple[Spoken, ...]] = []
    waiting: tuple[Spoken, ...] = ()
    for part in parts:
        if _has_sound(part):
            kept.append((*waiting, *part))
            waiting = ()
        elif kept:
            kept[-1] += _silenced(part)
        else:
            waiting += _silenced(part)
    return kept


def _silenced(words: Sequence[Spoken]) -> tuple[Spoken, ...]:
    return tuple(Spoken(word.source, "") for word in words)


def _ended(words: Sequence[Spoken]) -> Sequence[Spoken]:
    """The words of a sentence before another one: a heading ends like a sentence."""
    for index in range(len(words) - 1, -1, -1):
        spoken = words[index].spoken
        if spoken:
            return (*words[:index], Spoken(words[index].source, _closed(spoken, ".")), *words[index + 1 :])
    return words


def _closed(text: str, mark: str) -> str:
    if text.rstrip(CLOSING).endswith(tuple(TERMINAL)):
        return text
    return text.rstrip(WEAK) + mark


def _text(words: Sequence[Spoken], mark: str) -> str:
    return _closed(" ".join(word.spoken for word in words if word.spoken), mark)
