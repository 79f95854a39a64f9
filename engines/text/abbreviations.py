"""Abbreviations, and what they stand for."""

ALWAYS = {
    "mr": "Mister", "mrs": "Missus", "ms": "Miz", "dr": "Doctor", "prof": "Professor", "jr": "Junior", "sr": "Senior",
    "gen": "General", "sgt": "Sergeant", "capt": "Captain", "lt": "Lieutenant", "col": "Colonel", "gov": "Governor",
    "sen": "Senator", "rep": "Representative", "rev": "Reverend", "hon": "Honorable", "pres": "President",
    "e.g": "for example", "i.e": "that is", "etc": "et cetera", "vs": "versus", "approx": "approximately",
    "ca": "circa", "cf": "compare", "viz": "namely", "inc": "Incorporated", "ltd": "Limited", "corp": "Corporation",
    "co": "Company", "dept": "Department", "est": "established", "ave": "Avenue", "blvd": "Boulevard", "rd": "Road",
    "mt": "Mount", "ft": "Fort", "hrs": "hours", "hr": "hour", "mins": "minutes", "min": "minimum", "max": "maximum",
    "avg": "average", "a.m": "AM", "p.m": "PM", "ph.d": "PhD", "m.d": "MD", "b.a": "BA", "m.a": "MA", "u.s": "US",
    "u.s.a": "USA", "u.k": "UK", "e.u": "EU", "u.n": "UN", "d.c": "DC", "p.s": "PS", "al": "al", "tel": "telephone",
    "ext": "extension", "incl": "including", "excl": "excluding", "misc": "miscellaneous", "temp": "temperature",
    "govt": "government", "b.c": "BC", "a.d": "AD", "r.i.p": "RIP", "a.k.a": "also known as", "f.y.i": "FYI",
}  # fmt: skip
"""With a full stop after it, in lower case: what is said."""

BARE = {
    "vs": "versus", "e.g": "for example", "i.e": "that is", "w/": "with", "w/o": "without", "b/c": "because",
    "aka": "also known as", "mr": "Mister", "mrs": "Missus", "dr": "Doctor", "approx": "approximately",
    "n/a": "not applicable", "and/or": "and or", "etc": "et cetera", "24/7": "twenty-four seven", "9/11": "nine eleven",
    "i/o": "I O",
}  # fmt: skip
"""Without a full stop."""

NUMBERED = {
    "no": "number", "nos": "numbers", "nr": "number", "fig": "figure", "figs": "figures", "vol": "volume",
    "ch": "chapter", "sec": "section", "eq": "equation", "p": "page", "pp": "pages", "art": "article", "ver": "version",
    "v": "version", "ed": "edition", "tab": "table", "pt": "part",
}  # fmt: skip
"""Before a number only: `No. 5`; "No." by itself is an answer."""

_NEVER_LAST = (
    "mr mrs ms dr prof gen sgt capt lt col gov sen rep rev hon pres e.g i.e vs approx ca cf viz mt fig figs eq tel"
)
NEVER_LAST = frozenset(_NEVER_LAST.split()) | {"incl", "excl"}
"""A sentence does not end with it: something must follow."""

MAYBE_LAST = (set(ALWAYS) | set(NUMBERED) | {"st", "ave"}) - NEVER_LAST
"""A sentence may end with it: a capital letter after it decides."""


def written_out(core: str, dotted: bool, before: str, after: str) -> str | None:
    """Say an abbreviation; None where it is none.

    Args:
        core: The word without the punctuation around it.
        dotted: Whether a full stop follows it.
        before: The word before it.
        after: The word after it.
    """
    lower = core.lower()
    if not dotted:
        title = lower in ("mr", "mrs", "dr") and core.istitle()
        return BARE.get(lower) if title or not core[:1].isupper() else None
    if lower == "st":
        return _saint_or_street(core, before, after)
    if lower in NUMBERED and after[:1].isdigit():
        return NUMBERED[lower]
    if lower in ("min", "max", "est", "co", "al", "ft") and core[:1].isupper() != (lower in ("co", "ft")):
        # "Max." is a name at the end of a sentence, "al." is only in "et al.".
        return None
    if core.isupper() and len(core) > 1 and "." not in core:
        return None
    return ALWAYS.get(lower)


def _saint_or_street(core: str, before: str, after: str) -> str | None:
    if not core[:1].isupper():
        return None
    named = before[:1].isupper() or before[:1].isdigit()
    return "Saint" if after[:1].isupper() and not named else "Street"
