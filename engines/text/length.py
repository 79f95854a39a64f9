"""How long a text takes to say, without saying it."""

from itertools import pairwise

DIGIT = 6.0
"""`seven` and a space."""

SPELLED = 3.0
"""The name of a letter."""

SYLLABLE = 3.0
SHORT_PAUSE = 3.0
LONG_PAUSE = 5.0
SPELLED_UP_TO = 4
"""Longer words in capitals are mostly said as words."""

FIRST_SYLLABIC = 0x2E80
"""From here on letters stand for syllables or words, mostly: Chinese, Japanese, Korean."""


def spoken_length(text: str) -> float:
    """Length of a text in letters of ordinary English prose, of which a speaker says 12 to 20 in a second.

    Letters and the spaces between words count one; digits and letters that are spelled out (`BBC`) as many as their
    names have, letters of scripts that write syllables three; punctuation counts what its pause takes.
    """
    words = text.split()
    return sum(map(_word_length, words)) + max(0, len(words) - 1)


def _word_length(word: str) -> float:
    core = word.strip(".,;:!?'\"()[]…–—-")
    spelled = 2 <= len(core) <= SPELLED_UP_TO and core.isalpha() and core.isupper()
    return sum(_length(character, spelled) for character in word) - _repeats(word)


def _length(character: str, spelled: bool) -> float:
    if character.isalpha():
        if ord(character) >= FIRST_SYLLABIC:
            return SYLLABLE
        return SPELLED if spelled else 1.0
    if character.isdigit():
        return DIGIT
    if character in ",;:–—()、，":
        return SHORT_PAUSE
    return LONG_PAUSE if character in ".!?…。！？" else 0.0


def _repeats(word: str) -> float:
    """What `...` and `!!!` were counted too much: a pause is a pause, however often it is written."""
    return sum(_length(here, False) for before, here in pairwise(word) if _pauses(before, here))


def _pauses(before: str, here: str) -> bool:
    return not (before.isalnum() or here.isalnum()) and _length(before, False) > 0
