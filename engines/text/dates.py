"""Dates, times of day, years and decades."""

import re

from engines.text.numbers import cardinal, digits, ordinal, plural, year

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")  # fmt: skip
NAMES = {name[:3]: name for name in MONTHS} | {name: name for name in MONTHS} | {"Sept": "September"}

ISO = re.compile(r"([0-9]{4})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})(?:T([0-9]{1,2}:[0-9]{2})(?::[0-9.]{2,12})?Z?)?")
SLASHED = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4}|[0-9]{2})")
DOTTED = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})")
TIME = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?([aApP]\.?[mM]\.?)?")
HOUR = re.compile(r"([0-9]{1,2})([aApP]\.?[mM]\.?)")
TIME_RANGE = re.compile(r"([0-9]{1,2}(?::[0-9]{2})?(?:[ap]m|[AP]M)?)[-–—]([0-9]{1,2}(?::[0-9]{2})?)([aApP]\.?[mM]\.?)?")
DECADE = re.compile(r"['’]?([0-9]{4}|[0-9]0)['’]?s")
SHORT_YEAR = re.compile(r"['’]([0-9]{2})")
YEARS = re.compile(r"(1[0-9]{3}|20[0-9]{2})[-–—/](1[0-9]{3}|20[0-9]{2}|[0-9]{2})")
YEAR = re.compile(r"1[0-9]{3}|20[0-9]{2}")
DAY = re.compile(r"([0-9]{1,2})(?:st|nd|rd|th)?")
ANY_YEAR = re.compile(r"[0-9]{4}")

YEAR_FOLLOWS = {"in", "since", "by", "from", "until", "till", "year", "of", "to", "before", "after", "during", "circa",
                "around", "early", "late", "mid", "summer", "winter", "spring", "autumn", "fall", "between", "and",
                "©"} | {name.lower() for name in NAMES}  # fmt: skip


def date(core: str) -> str | None:
    """Say a date in digits: `2026-11-24`, `11/24/2026` (the month first if it can be), `24.11.2026`; None if none."""
    if found := ISO.fullmatch(core):
        said = _date(found[1], found[2], found[3])
        return f"{said}, {time(found[4])}" if said and found[4] else said
    if found := SLASHED.fullmatch(core):
        return _date(found[3], found[1], found[2]) or _date(found[3], found[2], found[1])
    if found := DOTTED.fullmatch(core):
        return _date(found[3], found[2], found[1])
    return None


def _date(when: str, month: str, day: str) -> str | None:
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return None
    return f"{MONTHS[int(month) - 1]} {ordinal(day)}, {_short(when) if len(when) == 2 else year(when)}"


def _short(written: str) -> str:
    return f"twenty {cardinal(written)}" if written[0] != "0" else f"two thousand and {digits(written[1])}"


def month_of(word: str) -> str | None:
    """The full name of a month that may be shortened: `Nov` or `Nov.`."""
    return NAMES.get(word.rstrip("."))


def day_of(word: str) -> str | None:
    """Say the day of a month: `24`, `24th`; None where it is none."""
    found = DAY.fullmatch(word)
    return ordinal(found[1]) if found and 1 <= int(found[1]) <= 31 else None


def time(core: str) -> str | None:
    """Say a time of day: `3:30pm`, `15:45`, `9am`, `3-5pm`; None where it is none."""
    if found := TIME.fullmatch(core):
        return _clock(found[1], found[2], found[3], _half(found[4]))
    if (found := HOUR.fullmatch(core)) and int(found[1]) <= 12:
        return f"{cardinal(found[1])} {_half(found[2])}"
    if (found := TIME_RANGE.fullmatch(core)) and (found[3] or (":" in found[1] and ":" in found[2])):
        first, second = (cardinal(part) if part.isdigit() else time(part) for part in (found[1], found[2]))
        return f"{first} to {second}{' ' + _half(found[3]) if found[3] else ''}" if first and second else None
    return None


def _half(written: str | None) -> str:
    return (written or "").replace(".", "").upper()


def _clock(hours: str, minutes: str, seconds: str | None, half: str) -> str | None:
    if int(hours) > 24 or int(minutes) > 59:
        return None
    hour = cardinal(hours.lstrip("0") or "0")
    if minutes == "00":
        said = hour if half else f"{hour} o'clock" if 1 <= int(hours) <= 12 else f"{hour} hundred"
    else:
        said = f"{hour} oh {cardinal(minutes[1])}" if minutes[0] == "0" else f"{hour} {cardinal(minutes)}"
    said = f"{said} {half}" if half else said
    return f"{said} and {cardinal(seconds.lstrip('0') or '0')} seconds" if seconds else said


def years(core: str, before: str = "") -> str | None:
    """Say a year, where it is one, a decade, or a stretch of years: `1984`, `1990s`, `'80s`, `1939-45`; None if none.

    Args:
        core: The word, without the punctuation around it.
        before: The word before it: `1234` alone is a number, after `in` a year.
    """
    if found := DECADE.fullmatch(core):
        return plural(year(found[1]) if len(found[1]) == 4 else cardinal(found[1]))
    if found := YEARS.fullmatch(core):
        last = found[2] if len(found[2]) == 4 else found[1][:2] + found[2]
        return f"{year(found[1])} to {year(last)}" if last > found[1] else None
    if found := SHORT_YEAR.fullmatch(core):
        return cardinal(found[1].lstrip("0") or "0")
    if YEAR.fullmatch(core) and (before.lower().strip("(,.") in YEAR_FOLLOWS or core[:2] in ("19", "20")):
        return year(core)
    return None
