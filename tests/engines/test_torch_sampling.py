"""The rules on the logits, against the same rules written plainly, one row and one token at a time."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from engines.whisper.backend import DecodeOptions
from engines.whisper.torch_sampling import Rules, SamplingState
from engines.whisper.torch_tokens import WhisperTokens

TOKENS = WhisperTokens(
    start=21,
    end=20,
    no_timestamps=24,
    no_speech=23,
    blank=(3, 20),
    languages={},
    alignment_heads=(),
    is_multilingual=False,
)
FIRST, VOCABULARY = TOKENS.first_timestamp, 40
OPTIONS = DecodeOptions(1, 0.0, 12, (1, 21, 22, 23), max_initial_timestamp=4)


def plain(logits: np.ndarray, written: list[int], *, timestamps: bool) -> tuple[int, float]:
    """The next token and its log-probability."""
    never = set(OPTIONS.suppress_tokens) | (set(TOKENS.blank) if not written else set())
    if timestamps:
        never.add(TOKENS.no_timestamps)
        never |= _not_now(written)
    allowed = np.array([-math.inf if token in never else value for token, value in enumerate(logits)])
    pair = len(written) == 1 or (len(written) > 1 and written[-2] >= FIRST)
    if timestamps and written and not (written[-1] >= FIRST and pair):
        together = math.log(sum(math.exp(value) for value in allowed[FIRST:]) or 1e-300)
        if together > allowed[:FIRST].max():
            allowed[:FIRST] = -math.inf
    token = int(allowed.argmax())
    return token, float(allowed[token] - math.log(np.exp(allowed).sum()))


def _not_now(written: list[int]) -> set[int]:
    if not written:
        return {token for token in range(VOCABULARY) if token < FIRST or token > FIRST + OPTIONS.max_initial_timestamp}
    never: set[int] = set()
    last_is_one = written[-1] >= FIRST
    before_is_one = len(written) < 2 or written[-2] >= FIRST
    if last_is_one:
        never |= set(range(FIRST, VOCABULARY)) if before_is_one else set(range(TOKENS.end))
    if earlier := [token for token in written if token >= FIRST]:
        closing = last_is_one and not before_is_one
        never |= set(range(FIRST, earlier[-1] + (not closing)))
    return never


@pytest.mark.parametrize("timestamps", [False, True], ids=["text", "timestamps"])
def test_the_rules_are_the_plain_ones(timestamps: bool):
    rows, generator = 64, np.random.default_rng(1)
    state = SamplingState(rows + 2, 16, VOCABULARY, TOKENS, torch.device("cpu"))
    state.begin(rows, 3, OPTIONS)
    written: list[list[int]] = [[] for _ in range(rows)]
    sums = [0.0] * rows
    for _ in range(12):
        logits = generator.normal(0, 3, (rows + 2, VOCABULARY)).astype(np.float32)
        state.logits.copy_(torch.from_numpy(logits))
        state.choose(rows + 2, Rules(timestamps, sampled=False))
        for row in range(rows):
            if written[row][-1:] != [TOKENS.end]:
                token, gained = plain(logits[row], written[row], timestamps=timestamps)
                written[row].append(token)
                sums[row] += gained
    for row in range(rows):
        assert state.chosen[: len(written[row]), row].tolist() == written[row]
    assert state.sum_logprob[:rows].tolist() == pytest.approx(sums, abs=1e-3)
    ended = [tokens[-1] == TOKENS.end for tokens in written]
    assert state.finished.tolist() == [*ended, True, True]
    assert bool(state.all_finished) is all(ended)


def test_chance_follows_the_logits_at_their_temperature():
    rows = 20_000
    state = SamplingState(rows, 4, VOCABULARY, TOKENS, torch.device("cpu"))
    state.begin(rows, 3, replace(OPTIONS, temperature=2.0, suppress_tokens=(), suppress_blank=False))
    state.logits.fill_(-math.inf)
    state.logits[:, 5], state.logits[:, 6] = 0.0, 2.0
    torch.manual_seed(0)
    state.choose(rows, Rules(timestamps=False, sampled=True))
    share = float((state.last == 6).float().mean())
    assert share == pytest.approx(1 / (1 + math.exp(-1)), abs=0.02)
    # What is summed is the probability, whatever the temperature.
    gained = state.sum_logprob[state.last == 6]
    assert gained.tolist() == pytest.approx([-math.log1p(math.exp(-2))] * len(gained), abs=1e-4)
