"""What the decoder is told before it writes, and how its tokens become text."""

from collections.abc import Sequence

import tokenizers
from faster_whisper.tokenizer import _LANGUAGE_CODES, Tokenizer
from faster_whisper.transcribe import get_suppressed_tokens

from engines.errors import EngineRefused

MAX_POSITIONS = 448
"""Tokens that the decoder can hold: the prompt and what it writes."""

MAX_PREVIOUS_TOKENS = MAX_POSITIONS // 2 - 1
MAX_PREVIOUS_CHARS = 2_000
"""More would not fit anyway, and its tokens are counted on the event loop."""

DETECT = "auto"


class Prompts:
    """The prompts of one model."""

    def __init__(self, tokenizer: tokenizers.Tokenizer, *, is_multilingual: bool, name: str):
        """
        Args:
            tokenizer: The model's own.
            is_multilingual: Whether it was trained on more than English.
            name: The model, in errors.
        """
        self._hf = tokenizer
        self._is_multilingual = is_multilingual
        self._name = name
        self._by_language: dict[str, Tokenizer] = {}
        english = self.tokenizer("en")
        self.suppressed: tuple[int, ...] = tuple(get_suppressed_tokens(english, (-1,)) or ())
        self.timestamp_begin: int = english.timestamp_begin
        self.eot: int = english.eot

    @property
    def languages(self) -> list[str]:
        """Language codes that the model writes."""
        if not self._is_multilingual:
            return ["en"]
        return [code for code in _LANGUAGE_CODES if self._hf.token_to_id(f"<|{code}|>") is not None]

    def check_language(self, language: str | None) -> str | None:
        """The language to write, or None where it has to be detected.

        Raises:
            EngineRefused: The model does not write it.
        """
        if language in (None, DETECT):
            return None if self._is_multilingual else "en"
        if language not in self.languages:
            known = "English (en) only" if not self._is_multilingual else ", ".join(self.languages)
            raise EngineRefused(f"language {language!r} is not one that {self._name} hears; it hears {known}")
        return language

    def tokenizer(self, language: str) -> Tokenizer:
        """The tokenizer with the special tokens of a language."""
        if language not in self._by_language:
            self._by_language[language] = Tokenizer(
                self._hf, self._is_multilingual, task="transcribe", language=language
            )
        return self._by_language[language]

    def previous(self, prompt: str | None, hotwords: str | None) -> tuple[int, ...]:
        """The tokens of what came before and of the words to expect: hotwords first, and the end of a long prompt."""
        english = self.tokenizer("en")
        tokens: list[int] = []
        if hotwords and hotwords.strip():
            tokens += english.encode(" " + hotwords.strip()[:MAX_PREVIOUS_CHARS])[: MAX_PREVIOUS_TOKENS // 2]
        if prompt and prompt.strip():
            room = MAX_PREVIOUS_TOKENS - len(tokens)
            tokens += english.encode(" " + prompt.strip()[-MAX_PREVIOUS_CHARS:])[-room:]
        return tuple(tokens)

    def start(self, language: str, *, timestamps: bool, previous: Sequence[int] = ()) -> list[int]:
        """The prompt: previous text, start of transcript, language, task, and whether times are wanted."""
        tokenizer = self.tokenizer(language)
        prompt = [tokenizer.sot_prev, *previous] if previous else []
        prompt += tokenizer.sot_sequence
        if not timestamps:
            prompt.append(tokenizer.no_timestamps)
        return prompt

    def text(self, tokens: Sequence[int]) -> str:
        """The words of the tokens, without special ones."""
        return self.tokenizer("en").decode([token for token in tokens if token < self.eot]).strip()
