"""The token numbers of one Whisper model, from its `tokenizer.json` and its configuration."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers

from engines.errors import WeightsError
from engines.whisper.torch_weights import read_json

MULTILINGUAL_VOCABULARY = 51865
_LANGUAGE = re.compile(r"<\|([a-z]{2,3})\|>")


@dataclass(frozen=True)
class WhisperTokens:
    """Numbers of the special tokens.

    Attributes:
        start: Start of transcript.
        end: End of text.
        no_timestamps: The last one before the timestamps.
        no_speech: Its probability at the start of transcript tells silence.
        blank: Never first in a transcript: the space and the end of text.
        languages: Language codes by token number; empty for an English-only model.
        alignment_heads: Layer and head of the cross-attention that follows the words; empty if unknown.
        is_multilingual: Whether the model knows more than English.
    """

    start: int
    end: int
    no_timestamps: int
    no_speech: int
    blank: tuple[int, ...]
    languages: dict[int, str]
    alignment_heads: tuple[tuple[int, int], ...]
    is_multilingual: bool

    @property
    def first_timestamp(self) -> int:
        """The token of 0.00 s; all that follow it are timestamps in steps of 20 ms."""
        return self.no_timestamps + 1


def read_tokenizer(folder: Path) -> tokenizers.Tokenizer:
    """The model's tokenizer.

    Raises:
        WeightsError: It is missing or damaged.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise WeightsError(f"{path} is missing; expected the model's tokenizer")
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # The library raises bare exceptions.
        raise WeightsError(f"{path} is damaged ({error}); expected a tokenizer") from error


def read_tokens(folder: Path, tokenizer: tokenizers.Tokenizer, vocabulary: int) -> WhisperTokens:
    """The special tokens of the model in `folder`.

    Args:
        folder: Holds `config.json` and, for a Hugging Face model, `generation_config.json`.
        tokenizer: The model's own.
        vocabulary: Number of tokens the weights know.

    Raises:
        WeightsError: A file is missing or damaged, or a token is missing.
    """
    config = read_json(folder / "config.json")
    generation = folder / "generation_config.json"
    if generation.is_file():
        config |= read_json(generation)

    def token(*names: str) -> int:
        found = next((number for name in names if (number := tokenizer.token_to_id(name)) is not None), None)
        if found is None or found >= vocabulary:
            raise WeightsError(f"{folder / 'tokenizer.json'} lacks {names[0]} among {vocabulary} tokens")
        return found

    is_multilingual = vocabulary >= MULTILINGUAL_VOCABULARY
    end = token("<|endoftext|>")
    blank = config.get("suppress_ids_begin") or config.get("begin_suppress_tokens")
    return WhisperTokens(
        start=token("<|startoftranscript|>"),
        end=end,
        no_timestamps=token("<|notimestamps|>"),
        no_speech=token("<|nospeech|>", "<|nocaptions|>"),
        blank=tuple(blank) if blank else (*tokenizer.encode(" ", add_special_tokens=False).ids, end),
        languages=_languages(config, tokenizer) if is_multilingual else {},
        alignment_heads=tuple((layer, head) for layer, head in config.get("alignment_heads") or ()),
        is_multilingual=is_multilingual,
    )


def _languages(config: dict[str, Any], tokenizer: tokenizers.Tokenizer) -> dict[int, str]:
    numbers = config.get("lang_ids") or sorted((config.get("lang_to_id") or {}).values())
    # Older conversions list none: the tokenizer has them among its special tokens.
    numbers = numbers or sorted(tokenizer.get_added_tokens_decoder())
    named = {number: _LANGUAGE.fullmatch(tokenizer.id_to_token(number) or "") for number in numbers}
    return {number: match.group(1) for number, match in named.items() if match}
