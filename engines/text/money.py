"""Sums of money."""

import re

from engines.text.numbers import DECIMAL, cardinal, decimal, is_one, plural

SYMBOLS = {
    "US$": ("US dollar", "cent"), "A$": ("Australian dollar", "cent"), "C$": ("Canadian dollar", "cent"),
    "HK$": ("Hong Kong dollar", "cent"), "$": ("dollar", "cent"), "€": ("euro", "cent"), "£": ("pound", "pence"),
    "¥": ("yen", ""), "₹": ("rupee", "paisa"), "₽": ("ruble", "kopek"), "₩": ("won", ""), "₺": ("lira", "kurus"),
    "₿": ("bitcoin", ""), "¢": ("cent", ""), "₴": ("hryvnia", ""), "₪": ("shekel", ""), "฿": ("baht", ""),
    "₫": ("dong", ""), "₱": ("peso", ""), "₦": ("naira", ""),
}  # fmt: skip
CODES = {
    "USD": ("US dollar", "cent"), "EUR": ("euro", "cent"), "GBP": ("pound", "pence"), "JPY": ("yen", ""),
    "CHF": ("Swiss franc", "centime"), "CAD": ("Canadian dollar", "cent"), "AUD": ("Australian dollar", "cent"),
    "CNY": ("yuan", ""), "INR": ("rupee", "paisa"), "SEK": ("Swedish krona", ""), "NOK": ("Norwegian krone", ""),
    "DKK": ("Danish krone", ""), "PLN": ("zloty", ""), "BTC": ("bitcoin", ""),
}  # fmt: skip
SAME = {"yen", "won", "yuan", "baht", "dong", "pence"}
"""The same word for one and for many."""

SCALES = {
    "k": "thousand", "K": "thousand", "m": "million", "M": "million", "mn": "million", "b": "billion", "B": "billion",
    "bn": "billion", "t": "trillion", "T": "trillion", "tn": "trillion",
    "thousand": "thousand", "million": "million", "billion": "billion", "trillion": "trillion", "hundred": "hundred",
}  # fmt: skip

_SYMBOL = "|".join(re.escape(symbol) for symbol in SYMBOLS)
_SCALE = r"(k|K|mn|m|M|bn|b|B|tn|t|T)?"
EUROPEAN = re.compile(r"[0-9]{1,3}(?:\.[0-9]{3})*,[0-9]{2}")
_NUMBER = rf"({DECIMAL}|[0-9]{{1,3}}(?:\.[0-9]{{3}})*,[0-9]{{2}})"
BEFORE = re.compile(rf"([-−+]?)({_SYMBOL})([-−]?){_NUMBER}{_SCALE}(?:/([A-Za-z]{{1,10}}))?")
AFTER = re.compile(rf"([-−+]?){_NUMBER}{_SCALE}({_SYMBOL})(?:/([A-Za-z]{{1,10}}))?")
RANGE = re.compile(rf"({_SYMBOL})({DECIMAL}){_SCALE}[-–—](?:{_SYMBOL})?({DECIMAL}){_SCALE}")
CODED = re.compile(rf"({'|'.join(CODES)})({DECIMAL}){_SCALE}|({DECIMAL}){_SCALE}({'|'.join(CODES)})")


def amount(core: str, scale: str = "") -> str | None:
    """Say a sum: `$5.50`, `£3m`, `1.234,56€`, `$5-10`, `-$20/month`; None where it is none.

    Args:
        core: The word, without the punctuation around it.
        scale: The word after it, where that multiplies it: `$3` and `million`.
    """
    if found := BEFORE.fullmatch(core):
        sign, symbol, inner, number, suffix, per = found.groups()
        return _signed(sign or inner, _sum(number, SYMBOLS[symbol], scale or SCALES.get(suffix or "", "")), per)
    if found := AFTER.fullmatch(core):
        sign, number, suffix, symbol, per = found.groups()
        return _signed(sign, _sum(number, SYMBOLS[symbol], scale or SCALES.get(suffix or "", "")), per)
    if found := RANGE.fullmatch(core):
        symbol, low, low_suffix, high, suffix = found.groups()
        first = f"{decimal(low)} {SCALES[low_suffix]}" if low_suffix else decimal(low)
        return f"{first} to {_sum(high, SYMBOLS[symbol], scale or SCALES.get(suffix or '', ''))}"
    if found := CODED.fullmatch(core):
        code, number = found[1] or found[6], found[2] or found[4]
        return _sum(number, CODES[code], scale or SCALES.get(found[3] or found[5] or "", ""))
    return None


def coded(number: str, code: str) -> str | None:
    """Say a sum whose currency is a word of its own: `5 USD`, `EUR 5`, `20 €`; None where it is none."""
    names = CODES.get(code) or SYMBOLS.get(code)
    if names is None or not re.fullmatch(_NUMBER, number):
        return None
    return _sum(number, names, "")


def _signed(sign: str, said: str, per: str | None) -> str:
    words = {"-": "minus ", "−": "minus ", "+": "plus "}.get(sign, "") + said
    if per is None:
        return words
    return f"{words} per {({'mo': 'month', 'yr': 'year', 'hr': 'hour', 'h': 'hour', 'wk': 'week'}).get(per, per)}"


def _sum(number: str, names: tuple[str, str], scale: str) -> str:
    if EUROPEAN.fullmatch(number):
        number = number.replace(".", "").replace(",", ".")
    if scale:
        return f"{decimal(number)} {scale} {_many(names[0])}"
    whole, _, after = number.partition(".")
    if len(after) != 2 or not names[1]:
        return f"{decimal(number)} {names[0] if is_one(number) else _many(names[0])}"
    return _with_cents(whole or "0", after, names)


def _with_cents(whole: str, after: str, names: tuple[str, str]) -> str:
    large = f"{cardinal(whole)} {names[0] if is_one(whole) else _many(names[0])}"
    if after == "00":
        return large
    cents = str(int(after))
    small = f"{cardinal(cents)} {names[1] if cents == '1' else _many(names[1])}"
    return small if int(whole.replace(",", "")) == 0 else f"{large} and {small}"


def _many(name: str) -> str:
    return name if name in SAME else plural(name)
