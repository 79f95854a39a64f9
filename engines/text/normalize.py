"""English text as a language model writes it, as the words that a speaker says for it."""

from collections.abc import Collection

from engines.text.markup import reduced
from engines.text.phrases import phrase
from engines.text.spoken import Spoken
from engines.text.words import said, written

PAUSES = ",;:"


def normalize(text: str, tags: Collection[str] = ()) -> tuple[Spoken, ...]:
    """Write out what is not words: numbers, dates, money, times, units, addresses, markup, symbols.

    Never raises, and takes time in proportion to the text's length. Words are passed on as they are, those of other
    languages included.

    Args:
        text: A sentence, or any other stretch of text whose words are whole.
        tags: Words that the model itself knows, as `[laugh]`, and that are left as they stand.

    Returns:
        The text's words in order, each with what is said for it; see `Spoken`. Empty for white space.
    """
    sources = text.split()
    known = frozenset(tags)
    words = [written(text) for text in (reduced(sources) if not known else _reduced_but(sources, known))]
    spoken: list[Spoken] = []
    at = 0
    while at < len(words):
        taken, words_said = phrase(words, at) or (1, None)
        if words_said is None:
            words_said = sources[at] if _is_tag(sources[at], known) else said(words, at)
        _add(spoken, " ".join(sources[at : at + taken]), words_said)
        at += taken
    return tuple(spoken)


def _is_tag(source: str, tags: frozenset[str]) -> bool:
    return bool(tags) and source.rstrip(".,!?") in tags


def _reduced_but(sources: list[str], tags: frozenset[str]) -> list[str]:
    return ["" if _is_tag(source, tags) else text for source, text in zip(sources, reduced(sources), strict=True)]


def _add(spoken: list[Spoken], source: str, words: str) -> None:
    """Add what is said for a word; a pause at its beginning goes to the word before it."""
    mark = words[:1]
    if mark in (",", ".", "!", "?", ";", ":") and mark:
        pause = "..." if words.startswith("...") else mark
        words = words.lstrip(",.!?;: ")
        _pause(spoken, pause)
    spoken.append(Spoken(source, words))


def _pause(spoken: list[Spoken], mark: str) -> None:
    for index in range(len(spoken) - 1, max(-1, len(spoken) - 9), -1):
        word = spoken[index]
        if word.spoken:
            stronger = word.spoken[-1] in PAUSES and mark not in PAUSES
            if stronger or word.spoken[-1] not in PAUSES + ".!?…":
                spoken[index] = Spoken(word.source, word.spoken.rstrip(PAUSES) + mark)
            return
