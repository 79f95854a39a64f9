"""What becomes of a decoded result: whether it is speech, and whether it is worth another pass.

Whisper always writes something. On noise it writes what subtitles say most often, or falls into a loop; the gates
remove that and leave short honest answers alone. Nothing here reads audio or runs a model.
"""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

from engines.whisper.phantoms import HONEST_REPEATS, Phantom, phantom_of, plain

Gate = Literal["silence", "no_speech", "loop", "phantom"]

NUMBER = re.compile(r"\d+")
LAUGH = re.compile(r"(?:[hjx][aeiou]+){2,}h?|(?:[хг][аеиоу]+){2,}|k{3,}|w{3,}|(?:[ㅎㅋ哈呵嘿笑はハふフへヘه]){2,}")
SPARSE_FROM_SECS = 5.0
"""Shorter utterances are mostly what is recorded before and after the speech."""

LONG_TEXT = 40
"""Characters from which a compression ratio says something."""


@dataclass(frozen=True)
class Evidence:
    """What is known of one decoded utterance.

    Attributes:
        text: The words.
        tokens: Text tokens, without special ones.
        language: Code of the language it was decoded in.
        avg_logprob: Mean log-probability of the tokens, 0 at best.
        no_speech_prob: Probability, 0 to 1, of the no-speech token.
        compression_ratio: Of the UTF-8 text by zlib, as faster-whisper computes it.
        audio_secs: Length of the audio.
        level_dbfs: Its root-mean-square level.
        hit_token_limit: Whether the decoder was stopped before it ended by itself.
    """

    text: str
    tokens: Sequence[int]
    language: str
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    audio_secs: float
    level_dbfs: float
    hit_token_limit: bool = False

    @property
    def doubt(self) -> float:
        """How little speaks for speech: 0 at best. Noise and honest answers part best along this line."""
        return self.no_speech_prob - self.avg_logprob / 2


@dataclass(frozen=True)
class Gates:
    """Thresholds.

    Attributes:
        silence_dbfs: What is quieter is not speech.
        no_speech_prob: Above it, and below `poor_logprob`, it is not speech.
        poor_logprob: Below it a result is doubtful.
        loop_compression_ratio: Above it the text repeats itself.
        sparse_tokens_per_sec: Fewer in a long utterance, and the decoder may have stopped early: doubtful.
        loops: Whether repeated words and tokens are looked for.
        phantoms: Whether the sentences that Whisper invents are looked for.
        no_speech_doubt: Above this `Evidence.doubt`, it is not speech.
        phantom_doubt: Above it, a sentence that Whisper invents but people say, too, was not said.
        favourite_doubt: Above it, nobody said thanks: an honest thank you is 0.5 at most, even in noise.
        phantom_dbfs: Quieter than this, neither was said.
        no_speech_redo: Below it, a loop or a phantom is worth another pass: noise is mostly above.
    """

    silence_dbfs: float = -55.0
    no_speech_prob: float = 0.6
    poor_logprob: float = -1.0
    loop_compression_ratio: float = 2.4
    sparse_tokens_per_sec: float = 1.0
    loops: bool = True
    phantoms: bool = True
    no_speech_doubt: float = 1.3
    phantom_doubt: float = 1.0
    favourite_doubt: float = 0.7
    phantom_dbfs: float = -50.0
    no_speech_redo: float = 0.8

    @classmethod
    def off(cls) -> "Gates":
        """Everything is kept and nothing is doubtful."""
        return cls(
            silence_dbfs=-inf,
            no_speech_prob=inf,
            no_speech_doubt=inf,
            poor_logprob=-inf,
            loop_compression_ratio=inf,
            sparse_tokens_per_sec=0.0,
            loops=False,
            phantoms=False,
        )


@dataclass(frozen=True)
class Verdict:
    """What becomes of a result.

    Attributes:
        keep: Whether its words are used.
        gate: What removed them.
        doubtful: Whether it is worth another pass, with the full window or a higher temperature.
    """

    keep: bool
    gate: Gate | None = None
    doubtful: bool = False


def judge(evidence: Evidence, gates: Gates) -> Verdict:
    """Decide whether a result is speech."""
    if evidence.level_dbfs < gates.silence_dbfs:
        return Verdict(False, "silence")
    if not evidence.text.strip():
        # Nothing, where there is sound that is no silence to the model: another pass may find words.
        audible = evidence.level_dbfs >= gates.phantom_dbfs and evidence.no_speech_prob < gates.no_speech_prob / 2
        return Verdict(False, doubtful=audible and gates.loops)
    poor = evidence.avg_logprob < gates.poor_logprob
    limited = evidence.hit_token_limit and gates.loops
    if (poor and evidence.no_speech_prob > gates.no_speech_prob) or evidence.doubt > gates.no_speech_doubt:
        # A loop says little of whether there was speech: "Yes." in light noise becomes one in a short window.
        return Verdict(False, "no_speech", doubtful=limited and evidence.no_speech_prob < gates.no_speech_redo)
    if gates.phantoms and _is_phantom(evidence, gates):
        # Where there may be speech, another pass may find it.
        return Verdict(False, "phantom", doubtful=evidence.no_speech_prob < gates.no_speech_redo)
    loop = _loop(evidence, gates)
    if loop == "all":
        return Verdict(False, "loop", doubtful=True)
    if limited and (poor or loop):
        return Verdict(False, "loop", doubtful=True)
    return Verdict(True, doubtful=bool(poor or loop or limited or _is_sparse(evidence, gates)))


def _is_sparse(evidence: Evidence, gates: Gates) -> bool:
    """Whether so little was written that Whisper may have stopped in the middle."""
    wanted = gates.sparse_tokens_per_sec * evidence.audio_secs
    return evidence.audio_secs >= SPARSE_FROM_SECS and len(evidence.tokens) < wanted


def _is_phantom(evidence: Evidence, gates: Gates) -> bool:
    match phantom_of(evidence.text, evidence.language):
        case Phantom.NEVER_SAID:
            return True
        case Phantom.FAVOURITE:
            return evidence.doubt > gates.favourite_doubt or evidence.level_dbfs < gates.phantom_dbfs
        case Phantom.PLAUSIBLE:
            return evidence.doubt > gates.phantom_doubt or evidence.level_dbfs < gates.phantom_dbfs
    return False


def _loop(evidence: Evidence, gates: Gates) -> Literal["all", "part"] | None:
    """Whether the text, or a part of it, repeats itself as nobody does."""
    words = plain(evidence.text).split()
    spelled = all(_is_honest(word) for word in words)
    if (
        not spelled
        and evidence.compression_ratio > gates.loop_compression_ratio
        and compression_ratio(evidence.text) > gates.loop_compression_ratio
    ):
        return "all"
    if not gates.loops:
        return None
    letters = len(words) == 1
    if letters and LAUGH.fullmatch(words[0]):
        return None
    repeated = _repeated(list(words[0]) if letters else words, by_letters=letters)
    found = max(repeated, _repeated_tokens(evidence.tokens, 16 if spelled else 7))
    if found >= 0.5:
        return "all"
    return "part" if found else None


def compression_ratio(text: str) -> float:
    """How well the text compresses, whatever its script.

    In UTF-8 honest Hindi compresses as well as an English loop, since three bytes stand for each letter: here each
    letter is one byte.
    """
    letters = {letter: number for number, letter in enumerate(dict.fromkeys(text))}
    if len(letters) > 255 or len(text) < LONG_TEXT:
        return 0.0
    single = bytes(letters[letter] for letter in text)
    return len(single) / len(zlib.compress(single))


def _repeated(units: Sequence[str], *, by_letters: bool) -> float:
    """Share of the words (or, without spaces, the letters) that are in a repetition as nobody speaks it."""
    total, covered = len(units), 0
    for size in range(1, total // 3 + 1):
        for start, times in _runs(units, size):
            unit = units[start : start + size]
            whole = size * times >= 0.6 * total
            if times > _bearable(unit, whole, by_letters=by_letters):
                covered = max(covered, size * times)
    return covered / total if total else 0.0


def _bearable(unit: Sequence[str], whole: bool, *, by_letters: bool) -> int:
    """How often people say this in a row."""
    if all(_is_honest(word) for word in unit) or "".join(unit) in HONEST_REPEATS:
        return 8
    if by_letters and len(unit) == 1:
        # One letter drawn out: "aaah", "んんん".
        return 6
    if len(unit) == 1:
        # Stammering inside a sentence is honest, a sentence of nothing else is not.
        return 2 if whole else 4
    return 3 if len(unit) <= 4 else 2


def _runs(units: Sequence[object], size: int) -> list[tuple[int, int]]:
    """Start of each run of equal n-grams and how often the n-gram follows itself, itself included; 3 times or more."""
    found: list[tuple[int, int]] = []
    matched, total = 0, len(units)
    for at in range(size, total + 1):
        if at < total and units[at] == units[at - size]:
            matched += 1
            continue
        times = matched // size + 1
        if times >= 3:
            found.append((at - size - matched, times))
        matched = 0
    return found


def _repeated_tokens(tokens: Sequence[int], bearable: int) -> float:
    """Share of the tokens that repeat more often than is bearable: loops that no words show."""
    covered = 0
    for size in range(1, min(len(tokens) // bearable, 16) + 1):
        covered = max([covered, *(size * times for _, times in _runs(tokens, size) if times > bearable)])
    return covered / len(tokens) if tokens else 0.0


def _is_honest(word: str) -> bool:
    return bool(NUMBER.fullmatch(word) or LAUGH.fullmatch(word)) or word in HONEST_REPEATS
