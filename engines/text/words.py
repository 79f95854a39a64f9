"""One word: what is around it, and what is said for it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from engines.text import dates, money, numbers, units, web
from engines.text.abbreviations import MAYBE_LAST, NUMBERED, written_out
from engines.text.symbols import SAID

OPENING = "([{\"'¿¡<_"
CLOSING = ".,;:!?)]}\"'…_>。，、！？；：（）"
LONGEST_RULE = 80
"""Longer words are not numbers, dates or sums; addresses and paths may be."""

LONGEST_REMEMBERED = 24

DOTTED = re.compile(r"(?:[A-Za-z]\.)+[A-Za-z]")
ORDINAL = re.compile(rf"({numbers.PLAIN})(?:st|nd|rd|th)", re.IGNORECASE)
FRACTION = re.compile(r"([0-9]{1,3})/([0-9]{1,4})")
VERSION = re.compile(r"[vV]([0-9]{1,6}(?:\.[0-9]{1,6}){0,5})|([0-9]{1,6}(?:\.[0-9]{1,6}){2,5})")
SCIENTIFIC = re.compile(rf"({numbers.SIGNED})[eE]([-+]?[0-9]{{1,3}})")
RATIO = re.compile(r"([0-9]{1,4}):([0-9]{1,4})")
PHONE = re.compile(
    r"\+?(?:[0-9]{1,3}[-.])?(?:\([0-9]{2,4}\)|[0-9]{3})[-.]?[0-9]{3}[-.][0-9]{4}|[0-9]{3}-[0-9]{4}"
    r"|\+[0-9]{7,15}|\+[0-9]{1,3}(?:[-.][0-9]{2,5}){2,5}"
)
NUMBER_SIGN = re.compile(r"(?:#|[Nn]o\.)([0-9]{1,9})")
FEET = re.compile(r"([0-9])'([0-9]{1,2})")
MANY = re.compile(r"([0-9]{1,3}(?:,[0-9]{3})*,000)s")
IDENTIFIER = re.compile(r"[0-9]{1,9}(?:-[0-9]{1,9}){2,6}")
ADDRESS = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3}){3})(?::([0-9]{1,5}))?")
ABOUT = re.compile(r"[~≈](.+)")
COMPARED = re.compile(r"([<>≤≥]=?)(.+)")
POSSESSIVE = re.compile(r"(.+)'s", re.DOTALL)
_REGNAL = """Henry Louis Elizabeth Charles George Edward Richard James William Pius Benedict Philip Napoleon Alexander
             Frederick Nicholas Catherine Ivan Peter Leo Gregory Innocent Urban Clement Ramesses Paul Ptolemy Carl
             Gustav Christian Otto Friedrich Wilhelm Ferdinand Alfonso Juan"""
_COUNTED = """War Chapter Part Act Volume Book Phase Type Title Article Section Bowl Stage Class Episode Scene Appendix
              Schedule Tier Level Grade Category"""
REGNAL = frozenset(_REGNAL.split())
COUNTED = frozenset(_COUNTED.split())
ONE_TOO = frozenset({"War", "Chapter", "Act", "Volume", "Phase", "Type"})
"""After these `I` is a number."""

TOKEN = re.compile(
    r"(?P<place>[0-9]{1,6}(?:st|nd|rd|th)(?![A-Za-z]))"
    rf"|(?P<number>{numbers.PLAIN}(?:\.[0-9]+)?)"
    r"|(?P<word>[^0-9\s!-&(-/:-@\[-`{-~…—–−×÷±≈≠≤≥→°²³√∞§™%€£¥]+)"
    r"|(?P<mark>(?P<one>\S)(?P=one)*)"
)
BETWEEN = {"-": "-", ",": ", ", ";": "; ", ":": ", ", "!": "! ", "?": "? ", "…": "... ", "—": ", ", "–": ", ",
           "/": " slash ", "_": " ", "\\": " ", "|": ", ", '"': "", "'": "'", "(": " ", ")": " ", "[": " ", "]": " ",
           "{": " ", "}": " ", "~": " ", "`": "", "*": ""}  # fmt: skip


@dataclass(frozen=True)
class Written:
    """A word without markup, in its parts: what opens before it, the word itself, what follows it."""

    lead: str
    core: str
    trail: str

    @property
    def text(self) -> str:
        """All of it."""
        return self.lead + self.core + self.trail


def written(text: str) -> Written:
    """Part a word from what is around it."""
    text = text.replace("()", "")
    core = text.lstrip(OPENING)
    lead = text[: len(text) - len(core)]
    if lead.endswith("'") and core[:1].isdigit() and "'" not in core.rstrip(".,;:!?"):
        lead, core = lead[:-1], "'" + core
    if lead.endswith("<") and len(core) > 1:
        lead, core = lead[:-1], "<" + core
    if lead.endswith("(") and PHONE.match("(" + core):
        lead, core = lead[:-1], "(" + core
    trimmed = core.rstrip(CLOSING)
    return Written(lead, trimmed, core[len(trimmed) :])


def said(words: Sequence[Written], at: int) -> str:
    """What is said for one word, with its pauses; it may begin with a pause that belongs to the word before it."""
    word = words[at]
    if " " in word.text.strip():
        return _several(word.text)
    if not word.core:
        return _alone(word.text)
    before, after = words[at - 1].core if at else "", words[at + 1].core if at + 1 < len(words) else ""
    short = written_out(word.core, word.trail.startswith("."), before, after)
    if short is None:
        return around(word, _core(word.core, before))
    return around(word, short, word if _may_end(word, short, after) else without_stop(word))


def around(word: Written, words: str, last: Written | None = None) -> str:
    """Put the pauses around what is said; `last` is the last word, where several are said together."""
    opening = ", " if any(mark in word.lead for mark in "({") else ""
    return f"{opening}{words}{_pause((last or word).trail, words)}"


def without_stop(word: Written) -> Written:
    """The word without the full stop of an abbreviation."""
    return Written(word.lead, word.core, word.trail.removeprefix("."))


def _may_end(word: Written, said_for: str, after: str) -> bool:
    """Whether the full stop of an abbreviation may be that of the sentence, too."""
    lower = word.core.lower()
    last = lower in MAYBE_LAST and lower not in NUMBERED and said_for != "Saint"
    return not after or (last and after[:1].isupper())


def _several(text: str) -> str:
    parts = [written(part) for part in text.split()]
    return re.sub(r"\s+([,.;:!?])[,.;:!?\s]*", r"\1 ", " ".join(said(parts, at) for at in range(len(parts)))).strip()


def _pause(trail: str, words: str) -> str:
    if not trail or not words:
        return ""
    trail = trail.translate({0x3002: ".", 0xFF0C: ",", 0x3001: ",", 0xFF01: "!", 0xFF1F: "?", 0xFF1B: ";", 0xFF1A: ":"})
    if "..." in trail or "…" in trail:
        return "..."
    return next((mark for mark in "?!.;:," if mark in trail), "," if any(mark in trail for mark in ")}") else "")


def _alone(text: str) -> str:
    if not text or text in ("<", ">"):
        return SAID.get(text, "")
    return _pause(text, "-")


def _core(core: str, before: str) -> str:
    return (_remembered if len(core) <= LONGEST_REMEMBERED else _read)(core, before)


def _read(core: str, before: str) -> str:
    if core.isalpha() and core.isascii():
        return _roman(core, before) or core
    if core in SAID:
        return SAID[core]
    if not any(character.isalnum() for character in core):
        return _symbols(core)
    if core in ("/", "\\"):
        return ","
    if len(core) <= LONGEST_RULE and any("0" <= character <= "9" for character in core):
        number = numeric(core, before)
        if number is not None:
            return number
    return web.address(core) or web.social(core) or _dotted(core) or web.path(core) or generic(core)


_remembered = lru_cache(maxsize=8192)(_read)


def _roman(core: str, before: str) -> str | None:
    value = numbers.roman(core) if core.isupper() and (before in REGNAL or before in COUNTED) else None
    if value is None or (core == "I" and before not in ONE_TOO):
        return None
    name = numbers.ordinal(str(value)) if before in REGNAL else numbers.cardinal(str(value))
    return f"the {name}" if before in REGNAL else name


def _dotted(core: str) -> str | None:
    return core.replace(".", " " if core.islower() else "") if DOTTED.fullmatch(core) else None


def numeric(core: str, before: str = "") -> str | None:
    """Say a word that is a number of some kind; None where it is none."""
    if found := POSSESSIVE.fullmatch(core):
        said_for = numeric(found[1], before)
        return f"{said_for}'s" if said_for and not dates.DECADE.fullmatch(core) else dates.years(core)
    simple = (
        dates.date(core)
        or _phone(core)
        or dates.time(core)
        or dates.years(core, before)
        or money.amount(core)
        or _count(core)
        or units.quantity(core)
    )
    return simple or _ranged(core) or units.hyphened(core) or _compared(core, before)


def _phone(core: str) -> str | None:
    if not PHONE.fullmatch(core) and not IDENTIFIER.fullmatch(core):
        return None
    groups = re.findall(r"[0-9]+", core)
    return ("plus " if core[0] == "+" else "") + ", ".join(map(numbers.digits, groups))


def _count(core: str) -> str | None:
    if re.fullmatch(numbers.SIGNED, core):
        return numbers.decimal(core)
    if found := ORDINAL.fullmatch(core):
        return numbers.ordinal(found[1])
    if found := FRACTION.fullmatch(core):
        return _fraction(int(found[1]), int(found[2]))
    if found := ADDRESS.fullmatch(core):
        said_for = " dot ".join(map(numbers.digits, found[1].split(".")))
        return f"{said_for}, port {numbers.digits(found[2])}" if found[2] else said_for
    if found := VERSION.fullmatch(core):
        version = " point ".join(map(numbers.cardinal, (found[1] or found[2]).split(".")))
        return f"version {version}" if core[0] in "vV" else version
    if found := SCIENTIFIC.fullmatch(core):
        return f"{numbers.decimal(found[1])} times ten to the power of {numbers.decimal(found[2].lstrip('+'))}"
    if found := NUMBER_SIGN.fullmatch(core):
        return f"number {numbers.cardinal(found[1])}"
    if found := FEET.fullmatch(core):
        return f"{numbers.cardinal(found[1])} foot {numbers.cardinal(found[2])}"
    if found := MANY.fullmatch(core):
        return numbers.plural(numbers.cardinal(found[1]))
    if found := RATIO.fullmatch(core):
        return f"{numbers.cardinal(found[1])} to {numbers.cardinal(found[2])}"
    return None


def _fraction(above: int, below: int) -> str:
    if 0 < above < below and (below <= 10 or below in (12, 16, 20, 32, 64, 100)) and below != 10:
        return numbers.fraction(above, below)
    if above == below > 10:
        return f"{numbers.cardinal(str(above))} {numbers.cardinal(str(below))}"
    joined = "out of" if above <= below else "over"
    return f"{numbers.cardinal(str(above))} {joined} {numbers.cardinal(str(below))}"


def _ranged(core: str) -> str | None:
    found = units.RANGE.fullmatch(core)
    if not found:
        return None
    high = units.quantity(found[2] + found[3]) if found[3] else numbers.decimal(found[2])
    return f"{numbers.decimal(found[1])} to {high}" if high else None


def _compared(core: str, before: str) -> str | None:
    if found := ABOUT.fullmatch(core):
        number = numeric(found[1], before)
        return f"about {number}" if number else None
    if found := COMPARED.fullmatch(core):
        number = numeric(found[2], before)
        sign = {"<=": "≤", ">=": "≥"}.get(found[1], found[1])
        return f"{SAID[sign]} {number}" if number else None
    return None


def _symbols(core: str) -> str:
    if core.strip("-–—") == "":
        return ","
    runs = [found["one"] for found in TOKEN.finditer(core) if found["mark"] and len(found["mark"]) < 3]
    return " ".join(filter(None, (SAID.get(mark, "") for mark in runs[:8])))


def generic(core: str) -> str:
    """Say a word of letters, digits and symbols part by part: `COVID-19`, `AT&T`, `f(x)=2x`, `word—word`."""
    parts: list[str] = []
    for found in TOKEN.finditer(core.replace("(s)", "s")):
        if found["place"]:
            parts.append(f" {numbers.ordinal(found['place'][:-2])} ")
        elif found["number"]:
            parts.append(f" {numbers.decimal(found['number'])} ")
        elif found["word"]:
            parts.append(found["word"])
        else:
            parts.append(_mark(found["mark"], found["one"], core, found.start(), found.end()))
    joined = re.sub(r"\s+([,.;:!?'])", r"\1", "".join(parts).replace(" - ", " ").replace("- ", " ").replace(" -", " "))
    return " ".join(joined.split()).strip("-,; ")


def _mark(run: str, one: str, core: str, start: int, end: int) -> str:
    before, after = core[start - 1 : start], core[end : end + 1]
    if len(run) > 3:
        return ", " if one in BETWEEN else " "
    if one == ".":
        if len(run) > 1:
            return "... "
        return ". " if before.islower() and after.isupper() else " " if len(core) < 3 or not after else " dot "
    if one == "#":
        return " sharp " if before.isalpha() and not after else " number " if after.isdigit() else " "
    if one == "$" and not after.isdigit():
        return " "
    if one == "+":
        return " plus" * len(run) + " "
    if one == "-" and len(run) > 1:
        return ", "
    return BETWEEN[one] if one in BETWEEN else f" {SAID.get(one, '')} "
