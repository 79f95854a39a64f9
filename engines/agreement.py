"""Which words of a growing utterance can be trusted: those that two successive hypotheses begin with.

"Local agreement" (Liu, Spanakis and Niehues, 2020; used for Whisper by Macháček, Dabre and Bojar, 2023).
"""

import re

_SILENT = re.compile(r"[\W_]+")
ANCHOR_WORDS = 3


class LocalAgreement:
    """Splits the hypotheses of one utterance into a stable beginning and an unstable rest.

    The stable part only grows: a word that was stable is never taken back or written differently.
    """

    def __init__(self) -> None:
        self._stable: list[str] = []
        self._previous: list[str] = []

    @property
    def stable(self) -> str:
        """The words that will not change."""
        return " ".join(self._stable)

    def update(self, hypothesis: str | list[str]) -> tuple[str, str]:
        """Hear the next hypothesis.

        Args:
            hypothesis: Text or words of the whole utterance so far.

        Returns:
            The stable words, and what this hypothesis has after them. Words are compared without case and punctuation.
        """
        words = hypothesis.split() if isinstance(hypothesis, str) else list(hypothesis)
        rest = _after(self._stable, words)
        agreed = _common(_after(self._stable, self._previous), rest)
        self._stable += rest[:agreed]
        self._previous = words
        return self.stable, " ".join(rest[agreed:])


def _after(stable: list[str], words: list[str]) -> list[str]:
    """What follows the stable words in a hypothesis, which may have come to hear some of them otherwise."""
    count = len(stable)
    if _common(stable, words) < count:
        # The last stable words are looked for near their place; without them the number of words has to do.
        anchor = [_bare(word) for word in stable[-ANCHOR_WORDS:]]
        bare = [_bare(word) for word in words]
        for shift in (1, -1, 2, -2):
            end = count + shift
            if len(anchor) == ANCHOR_WORDS and bare[max(0, end - len(anchor)) : max(0, end)] == anchor:
                return words[end:]
    return words[count:]


def _common(left: list[str], right: list[str]) -> int:
    pairs = zip(left, right, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if _bare(a) != _bare(b)), min(len(left), len(right)))


def _bare(word: str) -> str:
    return _SILENT.sub("", word).casefold()
