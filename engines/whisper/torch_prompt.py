"""What the prompts of a batch ask for, checked before the device sees them."""

from dataclasses import dataclass

from engines.errors import EngineRefused
from engines.whisper.torch_tokens import WhisperTokens


@dataclass(frozen=True)
class PromptLayout:
    """Of all prompts of a batch.

    Attributes:
        length: Tokens.
        start: Where start of transcript stands.
        timestamps: Whether timestamps are wanted: the task does not end in the no-timestamps token.
    """

    length: int
    start: int
    timestamps: bool


def read_prompts(prompts: list[list[int]], tokens: WhisperTokens, vocabulary: int, max_positions: int) -> PromptLayout:
    """Check the prompts of a batch.

    Raises:
        EngineRefused: They differ in length or in what they ask for, leave no room, or hold an unknown token.
    """
    layouts = {_layout(prompt, tokens) for prompt in prompts}
    if len(layouts) != 1:
        raise EngineRefused("The prompts of a batch differ in length, in where they begin or in timestamps.")
    (layout,) = layouts
    if layout.length >= max_positions:
        raise EngineRefused(f"A prompt of {layout.length} tokens leaves no room; the model takes {max_positions}.")
    check_tokens(prompts, vocabulary)
    return layout


def check_tokens(sequences: list[list[int]], vocabulary: int) -> None:
    """An unknown token would end a GPU's whole context, not only this call.

    Raises:
        EngineRefused: A token is not one of the model's.
    """
    for token in (token for sequence in sequences for token in sequence):
        if not 0 <= token < vocabulary:
            raise EngineRefused(f"Token {token} is unknown; the model has {vocabulary}.")


def _layout(prompt: list[int], tokens: WhisperTokens) -> PromptLayout:
    if tokens.start not in prompt:
        raise EngineRefused("A prompt lacks the start of transcript.")
    start = end = prompt.index(tokens.start)
    # What follows the task is the beginning of the transcript, not part of what is asked for.
    while end + 1 < len(prompt) and tokens.start <= prompt[end + 1] <= tokens.no_timestamps:
        end += 1
    return PromptLayout(len(prompt), start, prompt[end] != tokens.no_timestamps)
