"""Tokenizers of the right size and with the right special tokens, without trained vocabularies."""

import string
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

BASE_SIZE, TURBO_SIZE, GPT2_SIZE = 704, 50276, 50257
BASE_SPECIAL = {"[STOP]": 0, "[UNK]": 1, "[SPACE]": 2, "[START]": 255}
"""Ids that upstream's base model counts on."""
COMMON = "etaoinshrdlu"


def write_base_tokenizer(path: Path) -> None:
    """Write a `tokenizer.json` of 704 tokens: letters, digits, punctuation, pairs of common letters."""
    characters = string.ascii_letters + string.digits + string.punctuation
    pairs = [(a, b) for a in COMMON for b in COMMON]
    vocabulary = dict(BASE_SPECIAL)
    free = iter(place for place in range(BASE_SIZE) if place not in BASE_SPECIAL.values())
    for token in [*characters, *(a + b for a, b in pairs)]:
        vocabulary[token] = next(free)
    vocabulary.update({f"[PLACEHOLDER{place}]": place for place in free})
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in BASE_SPECIAL])
    tokenizer.save(str(path))


def write_turbo_tokenizer(folder: Path) -> None:
    """Write the files of a GPT-2-style tokenizer of 50,276 tokens, the last 19 of them tags such as `[tag0]`."""
    vocabulary = {byte: place for place, byte in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    pairs = [(a, b) for a in "Ġ" + COMMON for b in COMMON]
    for a, b in pairs:
        vocabulary[a + b] = len(vocabulary)
    for place in range(len(vocabulary), GPT2_SIZE - 1):
        vocabulary[f"<filler{place}>"] = place
    vocabulary["<|endoftext|>"] = GPT2_SIZE - 1
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    end = "<|endoftext|>"
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=end, bos_token=end, unk_token=end, model_max_length=1024
    )
    wrapped.add_tokens([f"[tag{place}]" for place in range(TURBO_SIZE - GPT2_SIZE)])
    wrapped.save_pretrained(str(folder))
