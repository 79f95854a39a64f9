"""Where the words lie: from the decoder's timestamp tokens, or from its attention."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import merge_punctuations

from engines.protocol import Word
from engines.whisper.backend import Alignment

SECS_PER_STEP = 0.02
"""The encoder gives 50 frames a second, and timestamps count them."""

PREPENDED = "\"'“¿([{-"
APPENDED = "\"'.。,，!！?？:：”)]}、"


@dataclass(frozen=True)
class Stretch:
    """Tokens between two timestamps, in seconds from the beginning of the window."""

    tokens: tuple[int, ...]
    start: float
    end: float


def stretches(tokens: Sequence[int], timestamp_begin: int, audio_secs: float) -> list[Stretch]:
    """Split what was decoded with timestamps: `<|0.00|> words <|2.40|><|2.40|> more <|5.00|>`.

    What has no end lasts until the audio's, and a time beyond the audio is the audio's end.
    """
    found: list[Stretch] = []
    words: list[int] = []
    start = 0.0

    def finish(end: float) -> None:
        if words:
            found.append(Stretch(tuple(words), min(start, audio_secs), min(max(end, start), audio_secs)))
            words.clear()

    for token in tokens:
        if token < timestamp_begin:
            words.append(token)
            continue
        at = (token - timestamp_begin) * SECS_PER_STEP
        finish(at)
        start = at
    finish(audio_secs)
    return found


def words_of(tokenizer: Tokenizer, tokens: Sequence[int], alignment: Alignment, offset_secs: float) -> list[Word]:
    """The words of an aligned utterance.

    Args:
        tokenizer: Of the language.
        tokens: The text tokens that were aligned.
        alignment: What the backend gave for them.
        offset_secs: Added to each time.
    """
    texts, groups = tokenizer.split_to_word_tokens([*tokens, tokenizer.eot])
    if len(groups) <= 1 or not alignment.pairs:
        return []
    token_at, frame_at = np.array(alignment.pairs).T
    begins = np.pad(np.diff(token_at), (1, 0), constant_values=1).astype(bool)
    times = frame_at[begins] * SECS_PER_STEP
    edges = np.pad(np.cumsum([len(group) for group in groups[:-1]]), (1, 0))
    found = [
        {
            "word": text,
            "tokens": group,
            "start": float(times[first]),
            "end": float(times[last]),
            "probability": float(np.mean(alignment.token_probs[first:last])),
        }
        for text, group, first, last in zip(texts, groups, edges[:-1], edges[1:], strict=False)
    ]
    merge_punctuations(found, PREPENDED, APPENDED)
    return [
        Word(item["word"].strip(), item["start"] + offset_secs, item["end"] + offset_secs, item["probability"])
        for item in found
        if item["word"].strip()
    ]
