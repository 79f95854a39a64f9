"""What is spoken where nothing else is named: what assistants on the telephone say, from two words to thirty."""

import re
from pathlib import Path

from agent.bench.speech import BenchError

SENTENCES = Path(__file__).with_name("sentences.txt")
TOKEN = re.compile(r"\s*\w{1,6}|\s*[^\w\s]|\s+")
"""About what a language model writes at once: a short word with the space before it, part of a longer one, a sign."""


def read_sentences(path: Path | None) -> tuple[str, ...]:
    """The sentences of a file, one on each line; the built-in ones where there is no file.

    Raises:
        BenchError: The file cannot be read, or nothing in it can be said.
    """
    try:
        lines = (path or SENTENCES).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"--texts {path} cannot be read: {error}") from error
    found = tuple(line.strip() for line in lines if any(sign.isalnum() for sign in line))
    if not found:
        raise BenchError(f"--texts {path}: nothing to say in it; expected one sentence on each line")
    return found


def tokens(text: str) -> list[str]:
    """The text in the pieces in which a language model writes it; together they are the text."""
    return TOKEN.findall(text)
