"""From text as it is written to words as they are spoken: normalisation, sentences, and where their words lie."""

from engines.text.length import spoken_length
from engines.text.marks import MarkPlanner, word_marks
from engines.text.normalize import normalize
from engines.text.sentences import SentenceAssembler
from engines.text.spoken import Sentence, Spoken

__all__ = ["MarkPlanner", "Sentence", "SentenceAssembler", "Spoken", "normalize", "spoken_length", "word_marks"]
