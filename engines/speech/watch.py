"""The end of speech among its tokens: a model that does not find it by itself is stopped."""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from math import ceil


class Stop(Enum):
    """Why no more tokens are wanted."""

    NONE = "none"
    """Go on."""
    OVER = "over"
    """All can have been said, and a long silence followed: the model will not find its end by itself."""
    BABBLE = "babble"
    """The same sounds again and again."""
    RUNAWAY = "runaway"
    """Far more tokens than the text takes."""


@dataclass(frozen=True)
class EndLimits:
    """What is too much, in speech tokens (25 a second) and letters (`engines.text.spoken_length`); None: no such rule.

    A speaker says 12 to 20 letters in a second, so that a letter takes 1.25 to 2.1 tokens.

    Attributes:
        tokens_per_letter: Most tokens of a letter. 4 are 6 letters a second, half as fast as the slowest reader.
        spare_tokens: So many besides (2 s): for a drawn-out "Yes", and for silence around it.
        fastest_tokens_per_letter: Before so many nobody can have said all of it.
        usual_tokens_per_letter: After so many, a pause may well be the end: 12.5 letters a second.
        same_token: The same token so often in a row is no sound of speech; a long vowel repeats one 5 to 8 times.
        pattern_tokens: So many tokens made of one short pattern that repeats, at least four times, are none either.
        longest_pattern: Tokens of the longest pattern that is looked for: a syllable or two.
        silence_tokens: So much silence (0.8 s), where all can have been said, is the end.
        early_silence_tokens: So much of it (3 s) is the end, wherever it is: nobody listens to more.
        patience: While not all can have been said, a repetition must be so many times as long: it may be a pause whose
            tokens are not known as silence.
        kept_silence_tokens: Left of the silence at the end (0.2 s).
    """

    tokens_per_letter: float | None = 4.0
    spare_tokens: int = 50
    fastest_tokens_per_letter: float = 1.25
    usual_tokens_per_letter: float = 2.0
    same_token: int | None = 16
    pattern_tokens: int | None = 32
    longest_pattern: int = 8
    silence_tokens: int | None = 20
    early_silence_tokens: int | None = 75
    patience: float = 2.5
    kept_silence_tokens: int = 5

    @classmethod
    def off(cls) -> "EndLimits":
        """Nothing is stopped."""
        return cls(
            tokens_per_letter=None, same_token=None, pattern_tokens=None, silence_tokens=None, early_silence_tokens=None
        )


DEFAULT_LIMITS = EndLimits()


class EndWatch:
    """Watches the speech tokens of one sentence, for where to stop. Each token costs the same."""

    def __init__(self, letters: float, *, silence: Collection[int] = (), limits: EndLimits = DEFAULT_LIMITS):
        """
        Args:
            letters: `engines.text.spoken_length` of the sentence.
            silence: Tokens that stand for silence; the rules of silence need them.
            limits: What is too much.
        """
        self.keep = 0
        """How many of the tokens so far are of the speech: all of them, until a rule stops it."""
        self.stop = Stop.NONE
        """What the last token gave."""
        self._letters = letters
        self._silence = frozenset(silence)
        self._limits = limits
        self._count = 0
        self._quiet = 0
        self._pause: int | None = None
        self._recent: deque[int] = deque(maxlen=max(1, limits.longest_pattern))
        self._matches = [0] * (limits.longest_pattern + 1)

    @property
    def bound(self) -> int | None:
        """Most tokens that this sentence may take."""
        per_letter = self._limits.tokens_per_letter
        return None if per_letter is None else self._limits.spare_tokens + ceil(per_letter * self._letters)

    def push(self, token: int) -> Stop:
        """Take the next token. Once it says stop, it says so for ever; only the first `keep` tokens are to be heard."""
        if self.stop is not Stop.NONE:
            return self.stop
        self._count += 1
        self.keep = self._count
        self._quiet = self._quiet + 1 if token in self._silence else 0
        self._match(token)
        self.stop = self._judge()
        return self.stop

    def _match(self, token: int) -> None:
        """Count for each length of pattern how many tokens equal the one that came so much earlier."""
        recent = self._recent
        for size in range(1, self._limits.longest_pattern + 1):
            same = not self._quiet and len(recent) >= size and recent[-size] == token
            self._matches[size] = self._matches[size] + 1 if same else 0
        recent.append(token)

    def _judge(self) -> Stop:
        if self._quiet:
            return self._silent()
        repeated = self._repeated()
        if repeated:
            self.keep = self._count - repeated
            return Stop.BABBLE
        return self._run_away()

    def _silent(self) -> Stop:
        limits, begin = self._limits, self._count - self._quiet
        if self._quiet == limits.kept_silence_tokens and begin >= limits.usual_tokens_per_letter * self._letters:
            self._pause = self._pause if self._pause is not None else begin
        least = limits.silence_tokens if self._all_said(begin) else limits.early_silence_tokens
        if least is None or self._quiet < least:
            return self._run_away()
        self.keep = begin + min(self._quiet, limits.kept_silence_tokens)
        return Stop.OVER

    def _repeated(self) -> int:
        """Tokens at the end that only repeat what was before them, where they are too many."""
        limits = self._limits
        patience = 1.0 if self._all_said(self._count) else limits.patience
        if limits.same_token is not None and self._matches[1] + 1 >= limits.same_token * patience:
            return self._matches[1]
        if limits.pattern_tokens is None:
            return 0
        for size in range(2, limits.longest_pattern + 1):
            if self._matches[size] + size >= max(limits.pattern_tokens * patience, 4 * size):
                return self._matches[size]
        return 0

    def _run_away(self) -> Stop:
        bound = self.bound
        if bound is None or self._count < bound:
            return Stop.NONE
        if self._pause is not None:
            self.keep = self._pause + self._limits.kept_silence_tokens
        return Stop.RUNAWAY

    def _all_said(self, tokens: int) -> bool:
        return tokens >= self._limits.fastest_tokens_per_letter * self._letters
