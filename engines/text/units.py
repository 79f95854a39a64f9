"""Quantities: a number and its unit."""

import re

from engines.text.numbers import DECIMAL, PLAIN, SIGNED, decimal, is_one

UNITS: dict[str, tuple[str, str]] = {
    symbol: (one, many or one + "s")
    for symbol, one, many in (
        ("km", "kilometer", ""), ("m", "meter", ""), ("cm", "centimeter", ""), ("mm", "millimeter", ""),
        ("µm", "micrometer", ""), ("μm", "micrometer", ""), ("nm", "nanometer", ""), ("mi", "mile", ""),
        ("ft", "foot", "feet"), ("yd", "yard", ""), ("kg", "kilogram", ""), ("g", "gram", ""), ("mg", "milligram", ""),
        ("lb", "pound", ""), ("lbs", "pound", ""), ("oz", "ounce", ""), ("l", "liter", ""), ("L", "liter", ""),
        ("ml", "milliliter", ""), ("mL", "milliliter", ""), ("dl", "deciliter", ""), ("cl", "centiliter", ""),
        ("°C", "degree Celsius", "degrees Celsius"), ("ºC", "degree Celsius", "degrees Celsius"),
        ("℃", "degree Celsius", "degrees Celsius"), ("°F", "degree Fahrenheit", "degrees Fahrenheit"),
        ("ºF", "degree Fahrenheit", "degrees Fahrenheit"), ("℉", "degree Fahrenheit", "degrees Fahrenheit"),
        ("°", "degree", ""), ("º", "degree", ""), ("K", "K", "K"), ("s", "second", ""), ("sec", "second", ""),
        ("secs", "second", ""), ("ms", "millisecond", ""), ("µs", "microsecond", ""), ("μs", "microsecond", ""),
        ("ns", "nanosecond", ""), ("min", "minute", ""), ("mins", "minute", ""), ("h", "hour", ""), ("hr", "hour", ""),
        ("hrs", "hour", ""), ("yr", "year", ""), ("yrs", "year", ""), ("Hz", "hertz", "hertz"),
        ("kHz", "kilohertz", "kilohertz"), ("MHz", "megahertz", "megahertz"), ("GHz", "gigahertz", "gigahertz"),
        ("bit", "bit", ""), ("KB", "kilobyte", ""), ("kB", "kilobyte", ""), ("MB", "megabyte", ""),
        ("GB", "gigabyte", ""), ("TB", "terabyte", ""), ("PB", "petabyte", ""), ("KiB", "kibibyte", ""),
        ("MiB", "mebibyte", ""), ("GiB", "gibibyte", ""), ("TiB", "tebibyte", ""), ("Mb", "megabit", ""),
        ("Gb", "gigabit", ""), ("kbps", "kilobit per second", "kilobits per second"),
        ("Mbps", "megabit per second", "megabits per second"), ("Gbps", "gigabit per second", "gigabits per second"),
        ("W", "watt", ""), ("kW", "kilowatt", ""), ("MW", "megawatt", ""), ("GW", "gigawatt", ""),
        ("Wh", "watt-hour", ""), ("kWh", "kilowatt-hour", ""), ("MWh", "megawatt-hour", ""), ("V", "volt", ""),
        ("mV", "millivolt", ""), ("kV", "kilovolt", ""), ("mA", "milliamp", ""), ("A", "amp", ""),
        ("mAh", "milliamp-hour", ""), ("J", "joule", ""), ("kJ", "kilojoule", ""), ("cal", "calorie", ""),
        ("kcal", "kilocalorie", ""), ("Pa", "pascal", ""), ("kPa", "kilopascal", ""), ("hPa", "hectopascal", ""),
        ("psi", "P S I", "P S I"), ("dB", "decibel", ""), ("Ω", "ohm", ""), ("N", "newton", ""), ("ha", "hectare", ""),
        ("mph", "mile per hour", "miles per hour"), ("kph", "kilometer per hour", "kilometers per hour"),
        ("kmh", "kilometer per hour", "kilometers per hour"), ("fps", "frame per second", "frames per second"),
        ("rpm", "revolution per minute", "revolutions per minute"), ("bpm", "beat per minute", "beats per minute"),
        ("px", "pixel", ""), ("pt", "point", ""), ("%", "percent", "percent"), ("‰", "per mille", "per mille"),
        ("bn", "billion", "billion"), ("k", "thousand", "thousand"), ("x", "times", "times"), ("×", "times", "times"),
        ("d", "day", ""), ("sq", "square", "square"),
    )
}  # fmt: skip
ONLY_ATTACHED = {
    "K",
    "A",
    "N",
    "V",
    "W",
    "J",
    "d",
    "x",
    "×",
    "k",
    "bn",
    "pt",
    "s",
    "sq",
    "ha",
    "l",
    "cal",
    "Pa",
    "Mb",
    "Gb",
}
"""Said as letters, or as words of their own, where a space parts them from the number; `5 m` and `5 g` are units."""

ATTACHED_AS_WRITTEN = {"K", "d", "A", "N", "V"}
"""`4K`, `3d` and `5A` are names more often than quantities."""

PER = {"h": "hour", "hr": "hour", "s": "second", "sec": "second", "min": "minute", "d": "day", "day": "day",
       "wk": "week", "mo": "month", "yr": "year", "L": "liter", "l": "liter", "ml": "milliliter", "mL": "milliliter",
       "kg": "kilogram", "m": "meter", "m2": "square meter", "m²": "square meter", "m³": "cubic meter",
       "km": "kilometer", "km²": "square kilometer", "s²": "second squared", "cm³": "cubic centimeter",
       "dl": "deciliter", "dL": "deciliter", "mi": "mile", "ft": "foot", "lb": "pound", "oz": "ounce"}  # fmt: skip
POWERS = {"²": "square", "³": "cubic"}

QUANTITY = re.compile(rf"({SIGNED})([^0-9\s.,/]{{1,8}})(?:/([^\s/]{{1,8}}))?")
RANGE = re.compile(rf"({SIGNED})[-–—]({DECIMAL})([^0-9\s.,/]{{0,8}}(?:/[^\s/]{{1,8}})?)")
HYPHENED = re.compile(rf"({PLAIN})-([A-Za-z]+)")
UNIT = re.compile(r"([^0-9\s.,/]{1,8})(?:/([^\s/]{1,8}))?")


def unit(symbol: str, number: str, per: str | None = None) -> str | None:
    """Say a unit as it goes with a number: `km`, `5`, `h` is "kilometers per hour"; None where it is no unit."""
    power = POWERS.get(symbol[-1:], "")
    names = UNITS.get(symbol[:-1] if power and symbol not in UNITS else symbol)
    if names is None or (per is not None and per not in PER and not per.isalpha()):
        return None
    said = names[0] if is_one(number) else names[1]
    said = f"{power} {said}" if power else said
    return f"{said} per {PER.get(per, per)}" if per else said


def quantity(core: str) -> str | None:
    """Say a number with its unit attached: `5km/h`, `20°C`, `50%`; None where it is none."""
    found = QUANTITY.fullmatch(core)
    if not found or (found[2] in ATTACHED_AS_WRITTEN and not found[3]):
        return None
    said = unit(found[2], found[1], found[3])
    return f"{decimal(found[1])} {said}" if said else None


def spaced(number: str, symbol: str) -> str | None:
    """Say a number and the unit in the next word: `5 km/h`; None where it is no unit."""
    found = UNIT.fullmatch(symbol)
    if not found or not re.fullmatch(SIGNED, number) or (found[1] in ONLY_ATTACHED and not found[2]):
        return None
    said = unit(found[1], number, found[2])
    return f"{decimal(number)} {said}" if said else None


def hyphened(core: str) -> str | None:
    """Say a number that is part of an adjective: `24-hour`, `5-km`; None where it is none."""
    found = HYPHENED.fullmatch(core)
    if not found:
        return None
    names = UNITS.get(found[2]) if len(found[2]) > 1 else None
    return f"{decimal(found[1])} {names[0] if names else found[2]}"
