"""Whether the words so far sound finished: a pure judgement of text, for English.

Smart Turn hears how something was said; these rules read what was said. "My number is" has an end that sounds like
one and is none; "yes" has none to hear and is a whole answer. Other languages are judged by their punctuation alone.
"""

import re
from enum import Enum


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _phrases(text: str) -> frozenset[str]:
    return frozenset(text.split("|"))


FILLERS = _words("um uh uhm umm er erm hmm hm mm ah oh well so like okay ok")
"""Words that may stand before an answer without being one."""

SHORT_ANSWERS = _phrases(
    "yes|yeah|yep|yup|sure|of course|absolutely|definitely|correct|right|that's right|exactly|okay|ok|"
    "alright|all right|fine|great|perfect|good|no|nope|nah|never|not really|not yet|no thanks|"
    "no thank you|yes please|please do|please|thanks|thank you|thank you very much|thanks a lot|maybe|"
    "i think so|i don't know|i don't think so|no idea|hello|hi|hey|goodbye|bye|bye bye|good morning|"
    "good evening|good night|stop|wait|hold on|cancel|never mind|nothing|that's all|that's it|"
    "nothing else|go ahead|continue|go on|repeat|repeat that|again|help|yes it is|no it isn't|yes i do|"
    "no i don't|i do|i don't|i am|i'm not|both|neither|either|all of them|none|the first one|"
    "the second one|the last one"
)
"""Whole answers of few words."""

HANGING = _words(
    "and or but because so that if when while than as of to for from with without at by in on into about "
    "like the a an my your his her our their its this these those is are was were am be been i'm it's "
    "that's there's will would can could should shall may might must do does did have has had not very "
    "really um uh uhm umm er erm i you we they he she who which whose what where how maybe also plus dot "
    "underscore dash hyphen plus point comma"
)
"""Last words after which more is to come."""

CLOSED = _words(
    "do does did am are is was were will would can could should must have has had not so that it this "
    "these those there you they he she him her them me us what where how on in with like about for to "
    "from at by very really maybe"
)
"""Of those, the ones that may well end a question or a sentence with an end to hear: "who is it for?", "yes, I do." """

NUMBERS = _words(
    "zero oh one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred "
    "thousand million double triple"
)
UNDECLARED = _words(
    "is are was were am to of for with at by from could would will can should might must does did has had"
)
"""Of those, the ones that end a question or a reply, but hardly ever a statement: "we could." is cut off."""

ASKING = re.compile(
    r"^(\w+ )?(who|what|where|when|why|how|which|whose|yes|no|so|if|neither|i know|that|it|here|there)\b"
)
"""A sentence that begins so may end with them: "I know what it is." "Yes, I would." """

THINKING = re.compile(
    r"\b(let me (see|think|check|look)|one moment|just a moment|give me a (second|moment|minute))\W*$"
)
"""Who says so goes on in a moment."""

NAMES_DIGITS = re.compile(
    r"\b(number|code|phone|zip|digits|pin|id|extension|spell(ed|s)?)\b|\b(call|reach) me\b", re.IGNORECASE
)
DIGITS = re.compile(r"\d")
LETTER = re.compile(r"[a-z]")
ASKS_FOR_DIGITS = re.compile(
    r"\b(phone|telephone|card|account|order|confirmation|reference|booking|serial|zip|postal|post ?code|social|"
    r"policy|tracking|membership|passport|contact|mobile|cell)\b.*\b(number|code)?\b|\b(number|digits|code|e-?mail|address|spell)\b",
    re.IGNORECASE,
)
ASKS_FOR_AMOUNT = re.compile(
    r"\bhow (many|much|old|long|far|often|big|tall)\b|\bwhat (time|day|year|age|size)\b", re.IGNORECASE
)
WHOLE_ADDRESS = re.compile(
    r"(@|\bat\b)\S*.*(\.|\bdot )\s*(com|org|net|edu|gov|io|de|uk|eu|fr|co|info|ai|dev)\.?$", re.IGNORECASE
)
BEGUN_ADDRESS = re.compile(r"@|\be-?mail\b.*\bis\b|\w+\s(dot|underscore|dash)\s\w+\.?$", re.IGNORECASE)
NAMES_ADDRESS = re.compile(r"\be-?mail\b", re.IGNORECASE)
AT = re.compile(r"\w+\sat(\s\w+)?\.?$", re.IGNORECASE)
MOST_DIGITS = 10
"""A telephone number of so many digits is taken for whole."""

SPELLED = 3
"""So many digits or letters in a row, one by one, are being spelled out."""


class Ending(Enum):
    """How finished words sound."""

    NONE = "none"
    """There are no words."""
    WHOLE = "whole"
    """A whole answer: nothing more is expected."""
    CLOSED = "closed"
    """A sentence that ends."""
    OPEN = "open"
    """Nothing to tell from."""
    SPELLING = "spelling"
    """Digits, letters or an address are being spelled out, and may go on."""
    HANGING = "hanging"
    """More has to come."""


def ending_of(text: str, *, asked: str = "") -> Ending:
    """Judge the words of a turn so far.

    Args:
        text: What was understood, with punctuation as the recogniser writes it.
        asked: What the agent said last, for answers that are whole only because they were asked for.
    """
    words = spoken_words(text)
    if not words:
        return Ending.NONE
    if text.rstrip().endswith(("...", "…", ",", "-", "–", ":")):
        return Ending.HANGING
    if (spelling := _spelling(text, words, asked)) is not None:
        return spelling
    if _is_short_answer(words):
        return Ending.WHOLE
    ended = text.rstrip().endswith((".", "!", "?", "。", "！", "？"))
    if THINKING.search(" ".join(words)):
        return Ending.HANGING
    is_name = re.search(r"\S\s+May\W*$", text)
    if words[-1] in HANGING and not is_name and not (ended and _may_close(words, is_question="?" in text[-2:])):
        return Ending.HANGING
    return Ending.CLOSED if ended else Ending.OPEN


def _may_close(words: list[str], *, is_question: bool) -> bool:
    """Whether a sentence with a full stop may end with such a word after all."""
    if words[-1] in UNDECLARED and not is_question and not ASKING.search(" ".join(words)):
        return False
    return words[-1] in CLOSED and len(words) > 2


def spoken_words(text: str) -> list[str]:
    """Lower-case words without punctuation; apostrophes stay."""
    return re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text.replace("’", "'").lower())


def _is_short_answer(words: list[str]) -> bool:
    kept = words[next((at for at, word in enumerate(words) if word not in FILLERS), 0) :]
    return any(" ".join(said) in SHORT_ANSWERS for said in (words, kept)) or _two_short_answers(kept)


def _two_short_answers(words: list[str]) -> bool:
    """ "Yes, please." "No, that's all." Each half is one."""
    return any(
        " ".join(words[:at]) in SHORT_ANSWERS and " ".join(words[at:]) in SHORT_ANSWERS for at in range(1, len(words))
    )


def _spelling(text: str, words: list[str], asked: str) -> Ending | None:
    """What digits, letters and addresses at the end say; None where there are none."""
    bare = text.strip().rstrip(".!?, ")
    if WHOLE_ADDRESS.search(bare):
        return Ending.WHOLE
    if BEGUN_ADDRESS.search(bare) or (NAMES_ADDRESS.search(f"{asked} {text}") and AT.search(bare)):
        return Ending.SPELLING
    run = _run(words)
    if not run:
        return None
    count = _digits(run)
    if count >= MOST_DIGITS:
        return Ending.WHOLE
    only = len(run) >= len([word for word in words if word not in FILLERS])
    if ASKS_FOR_DIGITS.search(asked) and not ASKS_FOR_AMOUNT.search(asked):
        return Ending.SPELLING
    if only and asked.rstrip().endswith("?") and len(run) < SPELLED:
        return Ending.WHOLE
    named = NAMES_DIGITS.search(text) and (count > 1 or not count)
    return Ending.SPELLING if named or len(run) >= SPELLED or count > SPELLED else None


def _run(words: list[str]) -> list[str]:
    """The numbers and single letters that the words end with."""
    at = len(words)
    while at and (words[at - 1] in NUMBERS or DIGITS.search(words[at - 1]) or _is_letter(words[at - 1])):
        at -= 1
    run = words[at:]
    # "I" and "a" are words, too.
    while 0 < len(run) < SPELLED and run[0] in ("i", "a"):
        run = run[1:]
    return run


def _is_letter(word: str) -> bool:
    return len(word) == 1 and bool(LETTER.match(word))


def _digits(run: list[str]) -> int:
    return sum(len(DIGITS.findall(word)) or int(word in NUMBERS) for word in run)
