"""What is written in several words and said together: dates, sums and units after a space, telephone numbers."""

from collections.abc import Sequence

from engines.text import dates, money, units
from engines.text.numbers import cardinal, decimal, digits, fraction, year
from engines.text.words import FRACTION, Written, around

OPERATORS = frozenset("=+×÷≈*/<>")
HALVES = {"am": "AM", "pm": "PM", "a.m": "AM", "p.m": "PM"}
BEGINNINGS = dates.NAMES.keys() | money.CODES.keys() | money.SYMBOLS.keys()
SQUARES = {unit + power for unit in units.UNITS for power in units.POWERS}
FOLLOWERS = BEGINNINGS | units.UNITS.keys() | SQUARES | money.SCALES.keys() | set("-–—")
"""What may stand after a number that is said with it, besides another number."""

LONGEST_PHONE = 6
"""Groups of digits."""

GROUPS = (3, 4, 6, 8)
"""Digits of the second group, where the first has no sign: `555 123 4567`, `1 555 123-4567`, `4111 1111 1111 1111`."""


def phrase(words: Sequence[Written], at: int) -> tuple[int, str] | None:
    """Say the words at `at` together with those after it; None where each is said by itself.

    Returns:
        How many words, and what is said for them, with its pauses.
    """
    first = words[at]
    if at + 1 >= len(words) or not (_may_begin(first.core) and _may_follow(words[at + 1].core)):
        return None
    for rule in BEFORE_NUMBER if words[at + 1].core[:1].isdigit() else BEFORE_WORD:
        found = rule(words, at)
        if found:
            count, said = found
            lead = Written("", first.core, first.trail) if rule is _phone else first
            return count, around(lead, said, _last(words, at + count - 1))
    return None


def _last(words: Sequence[Written], at: int) -> Written:
    """The last word, without the full stop of `5 min.` and `3 p.m.`, unless the sentence ends with it."""
    word = words[at]
    if word.core.isdigit() or at + 1 >= len(words) or words[at + 1].core[:1].isupper():
        return word
    return Written(word.lead, word.core, word.trail.removeprefix("."))


def _may_begin(core: str) -> bool:
    return core in BEGINNINGS or _has_digit(core)


def _may_follow(core: str) -> bool:
    return core.partition("/")[0] in FOLLOWERS or core.lower() in HALVES or _has_digit(core)


def _has_digit(core: str) -> bool:
    return not core.isalpha() and any("0" <= character <= "9" for character in core[:40])


def _core(words: Sequence[Written], at: int) -> str:
    return words[at].core if at < len(words) and not words[at].lead else ""


def _clings(words: Sequence[Written], at: int, marks: Sequence[str] = ("",)) -> bool:
    """Whether nothing, or only one of the marks, stands between a word and the next."""
    return words[at].trail in marks


def _month_first(words: Sequence[Written], at: int) -> tuple[int, str] | None:
    month = dates.month_of(words[at].core)
    if not month or not _clings(words, at, ("", ".")):
        return None
    after = _core(words, at + 1)
    day = dates.day_of(after)
    if day and _clings(words, at + 1, ("", ",")) and dates.ANY_YEAR.fullmatch(_core(words, at + 2)):
        return 3, f"{month} {day}, {year(words[at + 2].core)}"
    if day:
        return 2, f"{month} {day}"
    if dates.ANY_YEAR.fullmatch(after) and month != "May":
        return 2, f"{month} {year(after)}"
    return None


def _day_first(words: Sequence[Written], at: int) -> tuple[int, str] | None:
    day, month = dates.day_of(words[at].core), dates.month_of(_core(words, at + 1))
    if not day or not month or not _clings(words, at):
        return None
    if dates.ANY_YEAR.fullmatch(_core(words, at + 2)) and _clings(words, at + 1, ("", ",", ".")):
        return 3, f"{day} of {month}, {year(words[at + 2].core)}"
    return 2, f"{day} of {month}"


def _sum(words: Sequence[Written], at: int) -> tuple[int, str] | None:
    if not _clings(words, at):
        return None
    first, second = words[at].core, _core(words, at + 1)
    if second in money.SCALES and len(second) > 1:
        said = money.amount(first, money.SCALES[second])
        return (2, said) if said else None
    said = money.coded(first, second) or money.coded(second, first)
    return (2, said) if said else None


def _phone(words: Sequence[Written], at: int) -> tuple[int, str] | None:
    first = words[at].core
    if first[:1].isdigit() and (len(first) == 2 or len(words[at + 1].core) not in GROUPS):
        return None
    opened = first.startswith("(") or words[at].lead.endswith("(")
    if not (first[:1] in ("+", "(") or first[:1].isdigit()):
        return None
    groups = [first]
    while len(groups) < LONGEST_PHONE and at + len(groups) < len(words):
        group = words[at + len(groups)]
        inner = group.text.strip("().,;:!?-")
        if not inner.replace("-", "").isdigit() or words[at + len(groups) - 1].trail not in ("", ")"):
            break
        groups.append(inner)
    plain = [part for group in groups for part in group.strip("+()").split("-")]
    if not all(part.isascii() and part.isdigit() for part in plain) or not _is_phone(first, opened, plain, len(groups)):
        return None
    return len(groups), ("plus " if first[0] == "+" else "") + ", ".join(map(digits, plain))


def _is_phone(first: str, opened: bool, groups: Sequence[str], written: int) -> bool:
    lengths = [len(group) for group in groups]
    if written < 2 or max(lengths) > 6:
        return False
    if first[0] == "+" or (opened and lengths[0] == 3):
        return 7 <= sum(lengths) <= 15
    if first[0] == "0":
        return 9 <= sum(lengths) <= 12
    return lengths in ([3, 3, 4], [1, 3, 3, 4], [4, 4, 4, 4])


def _range(words: Sequence[Written], at: int) -> tuple[int, str] | None:
    """`5 - 10` is from one to the other, but in a calculation the first less the second."""
    if at + 2 >= len(words) or words[at + 1].core not in ("-", "–", "—") or not _clings(words, at):
        return None
    first, second = words[at].core, words[at + 2].core
    if not (first.isascii() and first.isdigit() and second.isascii() and second.isdigit()):
        return None
    near = {word.core for word in (*words[max(0, at - 1) : at], *words[at + 3 : at + 4])}
    joined = "minus" if near & OPERATORS else "to"
    return 3, f"{cardinal(first)} {joined} {cardinal(second)}"


def _mixed(words: Sequence[Written], at: int) -> tuple[int, str] | None:
    first, found = words[at].core, FRACTION.fullmatch(_core(words, at + 1))
    if not found or not (first.isascii() and first.isdigit()) or not _clings(words, at):
        return None
    above, below = int(found[1]), int(found[2])
    if not 0 < above < below <= 16:
        return None
    part = fraction(above, below)
    return 2, f"{cardinal(first)} and {part.replace('one ', 'a ', 1) if above == 1 else part}"


def _half(words: Sequence[Written], at: int) -> tuple[int, str] | None:
    """`3 pm`, `3:30 p.m.`."""
    half = HALVES.get(_core(words, at + 1).lower())
    said = dates.time(words[at].core + half) if half and _clings(words, at) else None
    return (2, said) if said else None


def _unit(words: Sequence[Written], at: int) -> tuple[int, str] | None:
    if not _clings(words, at):
        return None
    number, symbol = words[at].core, _core(words, at + 1)
    if not any("0" <= character <= "9" for character in number):
        return None
    if found := units.RANGE.fullmatch(number):
        said = units.spaced(found[2], symbol) if not found[3] else None
        return (2, f"{decimal(found[1])} to {said}") if said else None
    about = "about " if number[0] in "~≈" else ""
    said = units.spaced(number.lstrip("~≈"), symbol)
    return (2, about + said) if said else None


BEFORE_NUMBER = (_month_first, _sum, _phone, _mixed)
BEFORE_WORD = (_day_first, _sum, _phone, _range, _half, _unit)
"""Rules in the order in which they are asked."""
