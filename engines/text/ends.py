"""Where sentences end in text that is still being written."""

from dataclasses import dataclass
from enum import Enum

from engines.text.abbreviations import MAYBE_LAST, NEVER_LAST, NUMBERED
from engines.text.dates import NAMES

MARKS = ".!?…"
FULL_WIDTH = "。！？"
"""A sentence ends at these without white space after them."""

AFTER = "\"'”’»)]}*_`~"
"""May stand between the end of a sentence and the white space."""

BEFORE = "\"'“‘«([{*_`~#>-–—•"
"""May stand before the first letter of a sentence."""


MONTHS = frozenset(name.lower() for name in NAMES if len(name) < 5) - {"may", "june", "july"}


class End(Enum):
    """Whether a sentence ends at a place."""

    NO = 0
    YES = 1
    UNSURE = 2
    """What follows decides."""


@dataclass(frozen=True)
class Boundary:
    """The end of a sentence: where the next begins, and whether a blank line lies between."""

    at: int
    paragraph: bool = False


def find_end(text: str, start: int, *, complete: bool) -> tuple[Boundary | None, int]:
    """Look for the end of the sentence that `text` begins with.

    Args:
        text: What has come and was not given yet; it does not begin with white space.
        start: From where to look: what is before it is known to have no end.
        complete: Whether nothing follows.

    Returns:
        The end, if there is one; and from where to look again when more has come.
    """
    at = start
    while at < len(text):
        character = text[at]
        if character in "\n\r\v\f\u2028\u2029":
            return _line_end(text, at), at
        if character in FULL_WIDTH:
            return Boundary(_skip(text, at + 1, FULL_WIDTH + AFTER)), at
        if character in MARKS:
            end = _skip(text, at, MARKS + AFTER)
            verdict = _judge(text, at, end, complete)
            if verdict is End.UNSURE:
                return None, at
            if verdict is End.YES:
                return _after_space(text, end), at
            at = end
        else:
            at += 1
    return None, at


def _skip(text: str, at: int, characters: str) -> int:
    while at < len(text) and text[at] in characters:
        at += 1
    return at


def _line_end(text: str, at: int) -> Boundary:
    return _after_space(text, at)


def _after_space(text: str, at: int) -> Boundary:
    end = at
    while end < len(text) and text[end].isspace():
        end += 1
    lines = text[at:end].replace("\r\n", "\n").replace("\r", "\n").count("\n")
    return Boundary(end, paragraph=lines > 1)


def _judge(text: str, mark: int, end: int, complete: bool) -> End:
    """Whether the sentence ends at the marks from `mark` to `end`."""
    if end == len(text):
        # What follows is not here; at the end of all the rest is given anyway.
        return End.NO if complete else End.UNSURE
    if not text[end].isspace():
        return End.NO
    follows = _following(text, end)
    if "\n" in text[end : end + 1]:
        return End.YES
    run = text[mark:end]
    if run.startswith(("..", "…")):
        return _by_case(follows, complete)
    if text[mark] in "!?" or len(run.rstrip(AFTER)) > 1:
        # `"Stop!" he said` goes on.
        return End.YES if run[-1] in MARKS else _by_case(follows, complete)
    verdict = _after_word(text, mark, follows, complete)
    if verdict is End.YES and run[-1] not in MARKS and run.strip("*_`~") != ".":
        return _by_case(follows, complete)
    return verdict


def _following(text: str, at: int) -> str:
    """The first letter or digit after white space, or what else stands there; empty if it has not come."""
    for index in range(at, min(len(text), at + 40)):
        if not text[index].isspace() and text[index] not in BEFORE:
            return text[index]
    return ""


def _by_case(follows: str, complete: bool) -> End:
    if not follows:
        return End.NO if complete else End.UNSURE
    return End.NO if follows.islower() else End.YES


def _after_word(text: str, mark: int, follows: str, complete: bool) -> End:
    """Whether a full stop ends the sentence, by the word before it."""
    begin = mark
    while begin > 0 and mark - begin < 40 and not text[begin - 1].isspace():
        begin -= 1
    word = text[begin:mark].strip(BEFORE)
    lower = word.lower()
    if begin == 0 and (_is_item(word) or _is_initial(word)):
        return End.NO
    if lower in NEVER_LAST:
        return End.NO
    if lower == "st" and not _is_name(text, begin):
        return End.NO  # A saint.
    if lower in NUMBERED or (lower in MONTHS and word[0].isupper()):
        return _unless_digit(lower, follows, complete)
    if _is_initial(word) and _is_name(text, begin):
        return End.NO
    if lower in MAYBE_LAST or ("." in word and _is_dotted(word)):
        return _by_case(follows, complete)
    return End.YES


def _unless_digit(word: str, follows: str, complete: bool) -> End:
    """`No. 5` goes on; "No." is an answer, and has waited long enough."""
    if not follows:
        return End.YES if complete else End.UNSURE
    return End.NO if follows.isdigit() or (word not in ("no", "art", "v", "p") and follows.islower()) else End.YES


def _is_item(word: str) -> bool:
    """Whether it is the number of a list's item."""
    return (word.isdigit() and len(word) <= 3) or (len(word) == 1 and word.islower())


def _is_initial(word: str) -> bool:
    return len(word) == 1 and word.isupper() and word != "I"


def _is_name(text: str, begin: int) -> bool:
    """Whether the word before an initial begins with a capital, too: `Johann S. Bach`, `J. R. R. Tolkien`."""
    words = text[max(0, begin - 40) : begin].split()
    return bool(words) and words[-1].strip(BEFORE)[:1].isupper()


def _is_dotted(word: str) -> bool:
    return all(len(part) <= 2 and part.isalpha() for part in word.split("."))
