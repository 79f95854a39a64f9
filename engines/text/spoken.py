"""What is written, and what is said for it."""

from dataclasses import dataclass

TERMINAL = ".!?…。！？"
CLOSING = "\"'”’»)]}*_"


@dataclass(frozen=True)
class Spoken:
    """The smallest stretch of whole words that is said together.

    Attributes:
        source: The words as they were written, with the punctuation that clings to them, with one space between two.
            The sources of a text, joined with spaces, are the text's words in their order. Empty only for the rest of
            a word that is too long to be said in one go.
        spoken: What is said for them, with the punctuation that makes a pause; empty for what is not said (emoji,
            markup).
    """

    source: str
    spoken: str


@dataclass(frozen=True)
class Sentence:
    """What a model is given at once: a sentence, a part of a long one, or some short ones.

    Attributes:
        words: All that was written, in order, what is not said included.
        spoken: The text for the model: has at least one letter or digit, no line breaks, and ends in punctuation.
        ends_paragraph: Whether a blank line follows, as far as the text had come.
    """

    words: tuple[Spoken, ...]
    spoken: str
    ends_paragraph: bool = False

    @property
    def source(self) -> str:
        """The words as they were written."""
        return " ".join(word.source for word in self.words if word.source)

    @property
    def pause_secs(self) -> float:
        """How long a speaker rests after it, in seconds."""
        if self.ends_paragraph:
            return 0.4
        return 0.2 if self.spoken.rstrip(CLOSING).endswith(tuple(TERMINAL)) else 0.1
