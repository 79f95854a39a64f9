"""Numbers as words."""

import re
from functools import lru_cache

from num2words import num2words

LONGEST = 15
"""Digits that are still said as one number; more are an identifier and are said one by one."""

PLAIN = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)"
DECIMAL = rf"(?:{PLAIN}(?:\.[0-9]+)?|\.[0-9]+)"
SIGNED = rf"[-−+±]?{DECIMAL}"

SCALES = ("trillion", "billion", "million", "thousand", "")
SIGNS = {"-": "minus ", "−": "minus ", "+": "plus ", "±": "plus or minus "}
DENOMINATORS = {2: "half", 4: "quarter"}
ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
ROMAN_FORM = re.compile(r"M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")


@lru_cache(maxsize=16_384)
def _words(number: int, kind: str) -> str:
    # Its commas would be heard as pauses.
    return num2words(number, to=kind).replace(",", "").replace("oh-", "oh ")


def cardinal(written: str) -> str:
    """Say digits, perhaps with commas between thousands, as one number: `1,250` is "one thousand two hundred …"."""
    plain = written.replace(",", "")
    if len(plain) > LONGEST or (len(plain) > 1 and plain[0] == "0"):
        return digits(plain)
    return _grouped(int(plain))


def _grouped(number: int) -> str:
    """As num2words says it, by groups of three digits: those it has said before, and a long number takes it long."""
    groups = [int(group) for group in f"{number:,}".split(",")]
    said = [f"{_words(group, 'cardinal')} {scale}" for group, scale in zip(groups, SCALES[-len(groups) :], strict=True)]
    said = [words for words, group in zip(said, groups, strict=True) if group] or ["zero"]
    if len(said) > 1 and 0 < groups[-1] < 100:
        said[-1] = f"and {said[-1]}"
    return " ".join(said).rstrip()


def digits(written: str) -> str:
    """Say digits one by one, what else there is left out."""
    return " ".join(_words(int(digit), "cardinal") for digit in written if "0" <= digit <= "9")


def ordinal(written: str) -> str:
    """Say digits as a place in an order: `3` is "third"."""
    plain = written.replace(",", "").lstrip("0") or "0"
    return digits(plain) if len(plain) > LONGEST else _words(int(plain), "ordinal")


def year(written: str) -> str:
    """Say a year: `2026` is "twenty twenty-six"."""
    return _words(int(written), "year") if len(written) == 4 else cardinal(written.lstrip("0") or "0")


def plural(words: str) -> str:
    """The plural of a number or a noun, by its last letters: `nineties`, `sixes`, `hundreds`."""
    if words.endswith("y") and words[-2:-1] not in tuple("aeou"):
        return words[:-1] + "ies"
    return words + ("es" if words.endswith(("s", "x", "ch", "sh")) else "s")


def decimal(written: str) -> str:
    """Say a number that may have a sign, commas and decimals: `-1,234.50` is "minus one thousand … point five zero"."""
    sign = SIGNS.get(written[:1], "")
    whole, point, after = written.lstrip("-−+±").partition(".")
    said = cardinal(whole) if whole else "zero"
    return f"{sign}{said} point {digits(after)}" if point and after else f"{sign}{said}"


def is_one(written: str) -> bool:
    """Whether a noun that follows stands in the singular."""
    return written.lstrip("-−+±") == "1"


def fraction(above: int, below: int) -> str:
    """Say a fraction: `3, 4` is "three quarters"."""
    name = DENOMINATORS.get(below) or _words(below, "ordinal")
    if above != 1:
        name = "halves" if name == "half" else plural(name)
    return f"{_words(above, 'cardinal')} {name}"


def roman(written: str) -> int | None:
    """The value of a Roman numeral in capitals up to 3999; None where it is none."""
    if not 0 < len(written) <= 15 or not ROMAN_FORM.fullmatch(written):
        return None
    values = [ROMAN[letter] for letter in written]
    return sum(-here if here < after else here for here, after in zip(values, [*values[1:], 0], strict=True))
