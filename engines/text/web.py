"""Addresses of the web, e-mail, files, hashtags and handles, as a person would read them out."""

import re

from engines.text.numbers import cardinal, digits

LONGEST_PATH = 24
"""A longer path of an address is left out: nobody can write it down."""

SCHEME = re.compile(r"(?:https?|ftp|wss?|file)://", re.IGNORECASE)
MAIL = re.compile(r"(?:mailto:)?([A-Za-z0-9._%+-]{1,64})@([A-Za-z0-9.-]{1,253}\.[A-Za-z]{2,24})")
HOST = re.compile(r"(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}")
_TOP_LEVEL = """com org net edu gov io ai dev app co uk de fr eu us ca au nz jp cn in ru es it nl ch at be se no dk fi
                pl pt br mx ie info biz me tv xyz online site tech cloud page blog shop int mil"""
TOP_LEVEL = frozenset(_TOP_LEVEL.split())
"""Endings that make a name without `http://` an address."""

NAMES = {".": "dot", "-": "dash", "_": "underscore", "/": "slash", "\\": "backslash", "@": "at", "+": "plus",
         "~": "tilde", ":": "colon", "%": "percent", "&": "and", "=": "equals", "#": "hash"}  # fmt: skip
PARTS = re.compile(r"[0-9]+|[^\W\d_]+|_|[^\w]", re.UNICODE)
FILE = re.compile(r"(?:[\w-]+\.)+[A-Za-z][A-Za-z0-9]{0,7}")
PATH = re.compile(r"(?:~|\.{1,2}|[A-Za-z]:)?(?:[/\\][\w.+-]+)+[/\\]?|[\w.+-]+(?:/[\w.+-]+)*/[\w+-]+\.[A-Za-z0-9]{1,8}")
TAG = re.compile(r"#(\w*[^\W\d]\w*)")
HANDLE = re.compile(r"@(\w[\w.-]*)")
CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def address(core: str) -> str | None:
    """Say a web or mail address: `https://www.example.com/docs` is "example dot com slash docs"; None if none."""
    if len(core) > 2000:
        core = core[:2000]
    if found := MAIL.fullmatch(core):
        return f"{spelled(found[1])} at {spelled(found[2])}"
    scheme = SCHEME.match(core)
    host, slash, path = (core[scheme.end() :] if scheme else core).partition("/")
    host, _, query = host.partition("?")
    name, _, port = host.rpartition("@")[2].partition(":")
    if not scheme and not _is_host(name):
        return None
    said = spelled(name.removeprefix("www."))
    said = f"{said}, port {digits(port)}," if port.isdigit() and port not in ("80", "443") else said
    path = path.strip("/") if slash and not query else ""
    plain = re.fullmatch(r"[\w./~-]+", path) and len(path) <= LONGEST_PATH
    return f"{said.rstrip(',')} slash {spelled(path)}" if plain else said.rstrip(",")


def _is_host(name: str) -> bool:
    if not HOST.fullmatch(name) or not any(letter.isalpha() for letter in name.partition(".")[0] or "0"):
        return False
    first, last = name.partition(".")[0], name.rpartition(".")[2]
    # "end.In" lacks a space; nobody writes addresses so.
    return name.lower().startswith("www.") or (last in TOP_LEVEL and len(first) > 1)


def spelled(name: str) -> str:
    """Say the parts of a name with the marks between them: `my_file.txt` is "my underscore file dot txt"."""
    said = (_part(part) for part in PARTS.findall(name))
    return " ".join(filter(None, said))


def _part(part: str) -> str:
    if part.isascii() and part.isdigit():
        return cardinal(part) if len(part) <= 4 else digits(part)
    return part if part.isalnum() else NAMES.get(part, "")


def path(core: str) -> str | None:
    """Say a path or the name of a file: `src/main.py` is "src slash main dot py"; None where it is none."""
    if "/" in core or "\\" in core:
        return spelled(core[:2000].rstrip("/\\")) if PATH.fullmatch(core[:2000]) else None
    if not FILE.fullmatch(core[:2000]):
        return None
    before, _, ending = core.rpartition(".")
    if ending[:1].isupper() and before[-1:].islower() and not ending.isupper():
        return f"{before}. {ending}" if "." not in before else None
    return spelled(core[:2000])


def social(core: str) -> str | None:
    """Say a hashtag or a handle: `#NewYork` is "hashtag New York", `@ada_l` is "at ada l"; None where it is none."""
    if found := TAG.fullmatch(core[:200]):
        return f"hashtag {CAMEL.sub(' ', found[1]).replace('_', ' ')}"
    if found := HANDLE.fullmatch(core[:200]):
        return f"at {spelled(found[1]).replace(' underscore ', ' ')}"
    return None
