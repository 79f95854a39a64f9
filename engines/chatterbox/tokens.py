"""Text to the token model's text tokens, as upstream's `generate` makes them."""

from typing import Any

import torch

import engines.chatterbox.upstream  # noqa: F401
from engines.chatterbox.checkpoint import Variant
from engines.errors import EngineRefused


def tokenize(variant: Variant, tokenizer: Any, text: str) -> torch.Tensor:
    """Text tokens of one sentence.

    Args:
        variant: Whose tokens.
        tokenizer: Upstream's, of that variant. Not for two threads at once.
        text: What is spoken. Upstream's `punc_norm` capitalises it, and ends it with a full stop where it has no end.

    Returns:
        One-dimensional int64 on the CPU; base's between the start and the stop of a text.

    Raises:
        EngineRefused: There is nothing in the text.
    """
    if not text.strip():
        raise EngineRefused("there is no text to be spoken; expected at least a letter or a digit")
    return _turbo(tokenizer, text) if variant == "turbo" else _base(tokenizer, text)


def _turbo(tokenizer: Any, text: str) -> torch.Tensor:
    from chatterbox.tts_turbo import punc_norm

    return tokenizer(punc_norm(text), return_tensors="pt", padding=True, truncation=True).input_ids[0]


def _base(tokenizer: Any, text: str) -> torch.Tensor:
    from chatterbox.models.t3.modules.t3_config import T3Config
    from chatterbox.tts import punc_norm

    config = T3Config()
    tokens = tokenizer.text_to_tokens(punc_norm(text))[0].long()
    start, stop = torch.tensor([config.start_text_token]), torch.tensor([config.stop_text_token])
    return torch.cat([start, tokens, stop])
