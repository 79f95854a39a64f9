"""Markdown and HTML, reduced to their words, word by word: a sentence may begin or end in the middle of markup."""

import re
from collections.abc import Sequence

from engines.text.symbols import cleaned

LONGEST_TAG = 24
"""A tag, or the address and title of a link, ends within so many words, or is none."""

TAG = re.compile(r"<(?:/?[A-Za-z][\w-]*[^<>]*/?|!--[^<>]*|![A-Z]+[^<>]*)>")
OPEN_TAG = re.compile(r"</?(?:[a-z][a-z0-9-]*|!--|!DOCTYPE)$", re.IGNORECASE)
AUTOLINK = re.compile(r"<((?:https?://|mailto:)[^<>]*|[^<>@]+@[^<>]+)>")
BREAKING = re.compile(r"</?(?:br|p|div|li|tr|td|th|h[1-6])\b[^<>]*>", re.IGNORECASE)
LINK_TARGET = re.compile(r"\]\([^()]*(?:\([^()]*\)[^()]*)?\)|\]\[[^\[\]]*\]")
FOOTNOTE = re.compile(r"\[\^[\w-]+\]:?")
RULE = re.compile(r"[-*_=~]{3,}|[|:+-]*\|[|:+-]*|#{1,6}|`{3,}[\w+#.-]*|~{3,}\w*")
POWER = re.compile(r"(?<=\w)\*\*(?=[0-9])")
STAR = re.compile(r"(?<=[0-9])\*(?=[0-9])")


def reduced(words: Sequence[str]) -> list[str]:
    """What is left of each word without markup: empty, the word, or several words with spaces between.

    Args:
        words: The words of a text in order, as they are written.
    """
    texts = [cleaned(word) for word in words]
    _drop_long_markup(texts)
    if texts and texts[0] in ("-", "*", "+", ">", "–", "—"):
        texts[0] = ""
    if len(texts) > 1 and not texts[0] and texts[1].lower() in ("[x]", "[", "[]"):
        texts[1] = ""
    return [_plain(text) for text in texts]


def _drop_long_markup(texts: list[str]) -> None:
    """Empty the words inside of `<a href="…" class="…">` and of `[text](address "a title")`."""
    at = 0
    while at < len(texts):
        text, end = texts[at], None
        tag, link = text.rfind("<"), text.rfind("](")
        if tag > text.rfind(">") and OPEN_TAG.match(text[tag : tag + 40]):
            end = _closing(texts, at, ">")
            start = tag
        elif link >= 0 and ")" not in text[link:]:
            end = _closing(texts, at, ")")
            start = link + 1
        if end is None:
            at += 1
            continue
        _, mark, rest = texts[end].partition(">" if texts[at][start] == "<" else ")")
        texts[at] = text[:start].removesuffix("]") if mark == ")" else text[:start]
        texts[at + 1 : end] = [""] * (end - at - 1)
        texts[end] = rest
        at = end if rest else end + 1


def _closing(texts: Sequence[str], at: int, mark: str) -> int | None:
    """The word that ends the markup which begins in word `at`; attributes have `=` or quotes in them."""
    for index in range(at + 1, min(at + LONGEST_TAG, len(texts))):
        if mark in texts[index]:
            inside = " ".join(texts[at + 1 : index + 1])
            return index if mark == ")" or "=" in inside or "--" in inside or inside in ("/>", ">") else None
        if "<" in texts[index]:
            return None
    return None


def _plain(text: str) -> str:
    if not text or text.isalpha():
        return text
    if RULE.fullmatch(text):
        return "," if text.strip("-:+") == "|" and len(text) == 1 else ""
    if "<" in text:
        text = TAG.sub("", BREAKING.sub(" , ", AUTOLINK.sub(r"\1", text)))
    if "[" in text or "]" in text:
        text = LINK_TARGET.sub("", FOOTNOTE.sub("", text))
        text = text.replace("![", "[")
    if "|" in text:
        text = text.replace("||", " or ").replace("|", " , ")
    if "`" in text:
        text = text.replace("`", "")
    if "*" in text:
        text = STAR.sub("×", POWER.sub("^", text)).replace("*", "")
    if text.startswith("\\") and len(text) == 2:
        text = text[1:]
    return text.replace("~~", "").strip()
