"""Characters: what is invisible, decorative, or a picture is taken away; what means something gets its usual form."""

import html
import unicodedata

SAME = str.maketrans(
    {
        "’": "'", "‘": "'", "‛": "'", "ʼ": "'", "`": "`", "´": "'", "′": "'", "“": '"', "”": '"', "„": '"', "‟": '"',
        "«": '"', "»": '"', "‹": '"', "›": '"', "″": '"', "‐": "-", "‑": "-", "‒": "–", "―": "—", "﹣": "-", "－": "-",
        "⁃": "-", "•": "*", "‣": "*", "◦": "*", "▪": "*", "●": "*", "·": "·", "⁄": "/", "∕": "/", "∗": "*", "⋅": "·",
        "¼": " 1/4", "½": " 1/2", "¾": " 3/4", "⅓": " 1/3", "⅔": " 2/3", "⅛": " 1/8", "¹": "^1", "⁴": "^4", "⁵": "^5",
        "⁶": "^6", "⁷": "^7", "⁸": "^8", "⁹": "^9", "№": "No. ", "™": "", "®": "", "©": "", "℠": "", "¶": "", "†": "",
        "‡": "", "‽": "?!", "⁇": "??", "⁉": "!?", "⁈": "?!", "‼": "!!", "⋯": "…", "︙": "…", "⸺": "—",
    }
)  # fmt: skip

SAID = {
    "&": "and", "+": "plus", "=": "equals", "<": "less than", ">": "greater than", "≤": "at most", "≥": "at least",
    "≠": "is not equal to", "≈": "approximately", "≃": "approximately", "≡": "is identical to", "×": "times",
    "÷": "divided by", "±": "plus or minus", "∓": "minus or plus", "−": "minus", "√": "the square root of",
    "∞": "infinity", "∑": "the sum of", "∏": "the product of", "∫": "the integral of", "∂": "partial", "∆": "delta",
    "∈": "in", "∉": "not in", "∪": "union", "∩": "intersection", "⊂": "is a subset of", "∴": "therefore",
    "∵": "because", "∝": "is proportional to", "∅": "the empty set", "∀": "for all", "∃": "there exists",
    "→": "to", "⇒": "implies", "←": "from", "↔": "to and from", "⇔": "if and only if", "°": "degrees", "º": "degrees",
    "§": "section", "%": "percent", "‰": "per mille", "@": "at", "²": "squared", "³": "cubed", "^": "to the power of",
    "$": "dollar", "€": "euro", "£": "pound", "¥": "yen", "₹": "rupee", "¢": "cent", "µ": "micro", "Ω": "ohm",
    "≪": "much less than", "≫": "much greater than", "ª": "", "¬": "not", "·": "", "℃": "degrees Celsius",
    "℉": "degrees Fahrenheit",
}  # fmt: skip
"""Symbols that are said by name."""

_FACES = ":) :-) :( :-( ;) ;-) :D :-D :P :-P :p :'( :/ :-/ :| :o :O xD XD <3 </3 ^_^ -_- o_O :* :3 =) =( =D"
FACES = frozenset(_FACES.split())
JOINERS = "\u200c\u200d"
"""Persian and the scripts of India write words with them."""

KEYCAP, BLACK_SQUARE = "\u20e3", 0x25A0
DECORATED = (
    (0x1D400, 0x1D7FF),
    (0xFF01, 0xFF5E),
    (0xFB00, 0xFB06),
    (0x2080, 0x2089),
    (0x2460, 0x2473),
    (0x24B6, 0x24E9),
)
"""Letters and digits in other clothes: bold and italic mathematical ones, full width, ligatures, in circles."""


def cleaned(word: str) -> str:
    """A word in the usual characters; it may be empty, or several words.

    Letters and marks of all languages stay as they are.
    """
    if "&" in word and ";" in word:
        # What is escaped is no tag.
        word = html.unescape(word.replace("&lt;", "‹").replace("&gt;", "›"))
    if word in FACES:
        return ""
    if word.isascii() and word.isprintable():
        return word
    return "".join(map(_kept, word, " " + word)).translate(SAME)


def _kept(character: str, before: str) -> str:
    if " " < character < "\x7f":
        return character
    if any(first <= ord(character) <= last for first, last in DECORATED):
        return unicodedata.normalize("NFKC", character)
    match unicodedata.category(character):
        case "Cc" | "Zs" | "Zl" | "Zp":
            return " "
        case "Cf":
            return character if character in JOINERS and before.isalpha() else ""
        case "Cs" | "Co" | "Cn":
            return ""
        case "So":
            return character if character in SAID or character == "№" else ""
        case "Sk" | "Me":
            return character if ord(character) < 0x300 and character == "´" else ""
        case "Mn":
            return "" if 0xFE00 <= ord(character) <= 0xFE0F else character
        case "Sm":
            return character if character in SAID or character in "⁄∕∗⋅" else ""
    return character if ord(character) < 0x1F000 or character.isalnum() else ""
