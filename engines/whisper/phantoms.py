"""What Whisper writes where nobody speaks, by language: the ends of videos and the credits of subtitles.

Collected from public reports of its users (openai/whisper discussion 928 and the lists that followed it) and from what
the small models write on noise. A phrase counts only where it is the whole text.
"""

import re
import unicodedata
from enum import Enum
from functools import lru_cache

from engines.whisper.phrases import FAVOURITES, NEVER_SAID, PLAUSIBLE
from engines.whisper.phrases import HONEST_REPEATS as _REPEATS


class Phantom(Enum):
    """How sure it is that nobody said it."""

    NEVER_SAID = "never said to an agent: credits, requests to subscribe, sounds in brackets"
    FAVOURITE = "thanks: said often, and what Whisper invents most"
    PLAUSIBLE = "said often, and invented often"


# Credits have names in them. They are matched against normalised words, from the first to the last.
_CREDITS = re.compile(
    "|".join(
        (
            r"(\S+ ){0,8}amara ?org( \S+){0,4}",
            r"(www )?mooji org",
            r"(subtitles|subtitled|captions|captioned|transcribed|transcript|transcription|translated|translation"
            r"|sync(ed)?( corrections| correction)*) (made |edited |and \w+ )*by( \S+){1,5}",
            r"untertitel(ung)?( \d{4})? (der|im auftrag|von|des|durch|aufgrund|br) (zdf|ard|swr|wdr|ndr|stephanie"
            r"|amara|br|orf|mdr|srf)( \S+){0,6}",
            r"(untertitel(ung)? )?(im auftrag des )?(zdf|wdr|swr|ndr|ard|br|mdr|orf)( fur funk)? (\d{4})",
            r"sous titr(es|age) (st ?501|(realises|faits?|par|societe|mfp|fr)( \S+){1,7})",
            r"(par )?soustitreur com",
            r"(subtitulos (realizados|creados|hechos)|subtitulado por)( \S+){1,6}",
            r"(sottotitoli|revisione)( e revisione)? (creati da|a cura di|al canale)( \S+){1,6}",
            r"qtss",
            r"(transcricao e )?legendas? pela( \S+){1,5}",
            r"(ondertitel\w*|vertaling) (ingediend |ingezonden )?(door|van|tv)( \S+){1,5}",
            r"((tłumaczenie|zdjecia|napisy|tlumaczenie)( i)? ?)+(napisy )?(stworzone|wykonane|robione)"
            r"( \S+){1,4}",
            r"(редактор|корректор) субтитров( \S+){1,8}",
            r"субтитры (сделал|сделала|делал|делала|создавал|создавала|добавил|добавила|подготовил|подготовлены"
            r"|подогнал|предоставил|выполнил|от|и)( \S+){1,5}",
            r"субтитри (створив|створила|створено|зробив|підготував|від)( \S+){0,5}",
            r"(ceviri ve )?altyazı (m ?k|by|ceviri)( \S+){0,3}",
            r"(ceviri ve )?altyazi (m ?k|by|ceviri)( \S+){0,3}",
            r"(中文)?字幕(by|由|志愿者|志願者|製作|制作|翻译|翻譯|提供|组|組)\S{0,16}( \S+){0,3}",
            r"(한글|한국어)? ?자막 ?(by|제작|제공)( \S+){0,4}",
            r"(mbc|kbs|sbs|ytn|연합) ?뉴스 \S+입니다",
            r"ترجمه ?(نانسي|فريق|الاخ|وتدقيق)( \S+){0,4}",
            # "Undertexter av" is also "subtitles off": only with the names that come.
            r"(svensk )?(undertexter|undertextning|textning|oversattning)( av| fran| ab)? (svensk|stina|btistudios"
            r"|stockholm)( \S+){0,4}",
            r"(danske tekster|undertekster|norske tekster|teksting|tekstet) (af|av|fra) (nicolai|jesper|dansk"
            r"|scandinavian|ai)( \S+){0,4}",
            r"(tekstitys|suomennos) (yle|broadcast|btistudios|jaakko|outi)( \S+){0,4}",
            r"(titulky|preklad|korekce) (vytvoril|vytvorila|prelozil|prelozila|a titulky)( \S+){1,5}",
            r"(yoyo television series exclusive)",
        )
    )
)

_BRACKETED = re.compile(
    r"(\[[^\]]*\]|\([^)]*\)|\*[^*]+\*|（[^）]*）|【[^】]*】|♪[^♪]*♪?|♫[^♫]*♫?|[\s.…·!?,。、・~〜-])+"
)
_SENTENCE_END = re.compile(r"[.!?。！？…,、，।؟♪♫\n]+")


@lru_cache(maxsize=4096)
def plain(text: str) -> str:
    """The words alone: one width and case, no punctuation, no accents, one space between words."""
    decomposed = unicodedata.normalize("NFKD", text.casefold().replace("ı", "i"))
    bare = "".join(letter for letter in decomposed if not unicodedata.combining(letter) and letter not in "'’ʼ`´")
    spaced = "".join(letter if _is_spoken(letter) else " " for letter in bare)
    return " ".join(unicodedata.normalize("NFKC", spaced).split())


def phantom_of(text: str, language: str) -> Phantom | None:
    """Whether the whole text is one, or several, that Whisper is known to invent in this language.

    Credits count in every language: Whisper writes them in others than the one it was told.
    """
    if _BRACKETED.fullmatch(text):
        return Phantom.NEVER_SAID
    words = plain(text)
    if not words:
        return Phantom.NEVER_SAID
    if _is_credit(words):
        return Phantom.NEVER_SAID
    kinds = [_kind(sentence, language) for part in _SENTENCE_END.split(text) if (sentence := plain(part))]
    whole = _kind(words, language)
    if whole is not None:
        return whole
    if not kinds or None in kinds:
        return None
    return next(kind for kind in Phantom if kind in kinds)


def _kind(words: str, language: str) -> Phantom | None:
    if _is_credit(words):
        return Phantom.NEVER_SAID
    if _key(words) not in _PLAUSIBLE_KEYS.get(language, frozenset()):
        return None
    return Phantom.FAVOURITE if _key(words) in _FAVOURITE_KEYS else Phantom.PLAUSIBLE


def _is_credit(words: str) -> bool:
    return _key(words) in _NEVER_SAID_KEYS or _CREDITS.fullmatch(words) is not None


def _is_spoken(letter: str) -> bool:
    # Vowel signs of Indian scripts are marks that have a place of their own.
    return letter.isalnum() or unicodedata.category(letter) == "Mc"


def _key(words: str) -> str:
    """Spaces stand elsewhere from time to time, and some scripts have none."""
    return words.replace(" ", "")


_NEVER_SAID_KEYS = frozenset(_key(plain(line)) for line in NEVER_SAID.splitlines() if line.strip())
_FAVOURITE_KEYS = frozenset(_key(plain(phrase)) for phrase in FAVOURITES.split("|"))
_PLAUSIBLE_KEYS = {
    language: frozenset(_key(plain(phrase)) for phrase in phrases.split("|")) for language, phrases in PLAUSIBLE.items()
}
HONEST_REPEATS = frozenset(plain(word) for word in _REPEATS.split())
"""Words, normalised with `plain`, that people say several times in a row."""
