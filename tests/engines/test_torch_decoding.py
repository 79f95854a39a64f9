"""Whisper in torch writes what CTranslate2 writes, on real speech, in batches of different lengths."""

import ctranslate2
import numpy as np
import pytest

from engines.whisper.backend import Decoded
from tests.engines.torch_pairs import ByCT2, Pair, by_ct2, features, greedy, margin, pair, speech, token

TIE = 1e-3
"""Logits closer than this may fall either way: the two libraries add in different orders."""

PER_TOKEN = 2e-4
"""CTranslate2 approximates the exponential function."""


@pytest.mark.parametrize(("model", "frames"), [("tiny.en", 1000), ("tiny.en", 3000), ("base", 1000), ("base", 3000)])
def test_a_batch_is_decoded_as_by_ctranslate2(model: str, frames: int):
    both = pair(model)
    # The large window is slow on a CPU: fewer utterances say the same.
    batch = features(speech()[1:] if frames == 1000 else speech()[3:5], frames)
    encoded, theirs = both.torch.encode(batch), both.ct2.encode(ctranslate2.StorageView.from_array(batch))
    options = greedy(both.torch, 40)
    for timestamps in (False, True):
        prompts = [both.task(timestamps=timestamps)] * len(batch)
        expected = by_ct2(both, theirs, prompts, options)
        for row, found in enumerate(both.torch.generate(encoded, prompts, options)):
            check(both, batch[row], prompts[row], found, expected[row])


def check(both: Pair, features: np.ndarray, prompt: list[int], found: Decoded, expected: ByCT2) -> None:
    tokens, sum_logprob, no_speech = expected
    assert found.no_speech_prob == pytest.approx(no_speech, abs=1e-4)
    if found.tokens == tokens:
        assert found.sum_logprob == pytest.approx(sum_logprob, abs=PER_TOKEN * (len(tokens) + 1))
        return
    end = token(both.torch, "<|endoftext|>")
    ours, theirs = [*found.tokens, end], [*tokens, end]
    same = next(at for at, (one, other) in enumerate(zip(ours, theirs, strict=False)) if one != other)
    assert margin(both.torch, features, prompt + ours[:same], ours[same], theirs[same]) < TIE


@pytest.mark.parametrize("model", ["tiny.en", "base"])
def test_text_that_came_before_is_read(model: str):
    both = pair(model)
    before = both.torch.tokenizer.encode(" Sense and Sensibility by Jane Austen." * 12, add_special_tokens=False).ids
    prompt = [token(both.torch, "<|startofprev|>"), *before, *both.task(timestamps=False)]
    assert len(prompt) > 64
    batch = features(speech()[2:4], 1000)
    options = greedy(both.torch, 30)
    found = both.torch.generate(both.torch.encode(batch), [prompt] * 2, options)
    theirs = both.ct2.encode(ctranslate2.StorageView.from_array(batch))
    for ours, (tokens, _, no_speech) in zip(found, by_ct2(both, theirs, [prompt] * 2, options), strict=True):
        assert ours.tokens == tokens
        assert ours.no_speech_prob == pytest.approx(no_speech, abs=1e-4)


def test_languages_are_found_as_by_ctranslate2():
    both = pair("base")
    batch = features(speech()[2:5], 1000)
    expected = both.ct2.detect_language(ctranslate2.StorageView.from_array(batch))
    for found, theirs in zip(both.torch.detect_language(both.torch.encode(batch)), expected, strict=True):
        assert found[0][0] == "en"
        assert len(found) == 99
        assert dict(found) == pytest.approx({name[2:-2]: likely for name, likely in theirs}, abs=1e-4)


def test_an_english_model_knows_one_language():
    backend = pair("tiny.en").torch
    assert backend.detect_language(backend.encode(features(speech()[4:], 1000))) == [[("en", 1.0)]] * 2


@pytest.mark.parametrize("model", ["tiny.en", "base"])
def test_words_lie_where_ctranslate2_finds_them(model: str):
    both = pair(model)
    audio = speech()[3:5]
    batch = features(audio, 1000)
    start, encoded = both.task(timestamps=True), both.torch.encode(batch)
    prompts = [both.task(timestamps=False)] * len(audio)
    texts = [item.tokens for item in both.torch.generate(encoded, prompts, greedy(both.torch))]
    frames = [len(one) // 160 for one in audio]
    found = both.torch.align(encoded, start, texts, frames)
    for row, ours in enumerate(found):
        storage = ctranslate2.StorageView.from_array(batch[row : row + 1])
        theirs = both.ct2.align(storage, start, [texts[row]], frames[row], median_filter_width=7)[0]
        assert ours.pairs == [tuple(pair) for pair in theirs.alignments]
        assert ours.token_probs == pytest.approx(theirs.text_token_probs, abs=1e-3)
