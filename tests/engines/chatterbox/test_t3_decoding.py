"""Many texts decoded at once get the tokens that upstream gives each of them alone."""

from typing import Any

import pytest
import torch

from engines.chatterbox.t3.decoder import T3Decoder
from engines.chatterbox.t3.request import T3Request
from tests.engines.chatterbox.t3_cases import POSITIONS, Host, attentive, requests, text, upstream_tokens, voice


@pytest.fixture(scope="module")
def turbo(tiny_turbo: Any) -> Any:
    return attentive(tiny_turbo[0])


@pytest.fixture(scope="module")
def base(tiny_base: Any) -> Any:
    return attentive(tiny_base[0])


@pytest.fixture(params=["turbo", "base"])
def t3(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def decoder_of(t3: Any, slots: int = 3, **options: Any) -> T3Decoder:
    return T3Decoder(t3, slots=slots, max_positions=POSITIONS["turbo" if t3.is_gpt else "base"], **options)


def test_everyone_gets_upstreams_tokens_whoever_else_is_there(t3: Any):
    decoder = decoder_of(t3)
    asked = requests(decoder)
    found = Host(decoder).decode(asked)
    for number, request in enumerate(asked):
        cond = voice(decoder.variant, (1, 2)[number % 2])
        assert found[number] == upstream_tokens(t3, request, cond, request.max_tokens), f"request {number}"


def test_a_cancelled_text_leaves_its_slot_and_its_neighbours_alone(t3: Any):
    decoder = decoder_of(t3)
    asked = requests(decoder)
    undisturbed = Host(decoder).decode(asked)
    assert undisturbed[0] != undisturbed[1]
    cancelled = {0: 3, 2: 1, 3: 7}
    found = Host(decoder, seed=1, cancel=cancelled).decode(asked)
    assert found == [tokens[: cancelled.get(number, 20)] for number, tokens in enumerate(undisturbed)]


def test_counted_noise_depends_on_the_request_alone(t3: Any):
    decoder = decoder_of(t3, noise="counter")
    asked = requests(decoder, max_tokens=12)
    alone = []
    for request in asked:
        slots = decoder.admit([request])
        alone.append([int(decoder.launch(slots).tokens()[0]) for _ in range(12)])
        decoder.release(slots[0])
    assert Host(decoder, seed=2).decode(asked) == alone
    assert len({tuple(tokens) for tokens in alone}) == len(alone)


def test_the_seed_decides(t3: Any):
    decoder = decoder_of(t3, noise="counter")
    spoken = decoder.condition(voice(decoder.variant))
    words = text(decoder.variant, 10)
    asked = [T3Request(words, spoken, 8, seed) for seed in (7, 8, 7)]
    first, other, again = Host(decoder).decode(asked)
    assert first == again != other


def test_texts_of_different_lengths_are_read_together_as_alone(t3: Any):
    decoder = decoder_of(t3, slots=6)
    asked = requests(decoder)
    slots = decoder.admit(asked)
    assert slots == list(range(6))
    steps = [decoder.launch(slots) for _ in range(5)]
    found = torch.tensor([step.tokens().tolist() for step in steps]).T.tolist()
    for number, request in enumerate(asked):
        assert found[number] == upstream_tokens(t3, request, voice(decoder.variant, (1, 2)[number % 2]), 5)


def test_the_words_and_the_voice_decide(t3: Any):
    decoder = decoder_of(t3)
    voices = [decoder.condition(voice(decoder.variant, seed)) for seed in (1, 2)]
    said = [(1, voices[0]), (1, voices[1]), (2, voices[0])]
    found = Host(decoder).decode([T3Request(text(decoder.variant, 10, words), one, 12, 7) for words, one in said])
    assert len({tuple(tokens) for tokens in found}) == 3


def test_exaggeration_is_heard(base: Any):
    decoder = decoder_of(base)
    cond = voice("base")
    calm, lively = (decoder.condition(cond, exaggeration) for exaggeration in (None, 30.0))
    asked = [T3Request(text("base", 9), one, 15, 3) for one in (calm, lively)]
    found = Host(decoder).decode(asked)
    more = voice("base")
    more.emotion_adv = 30.0 * torch.ones(1, 1, 1)
    assert found[0] == upstream_tokens(base, asked[0], voice("base"), 15)
    assert found[1] == upstream_tokens(base, asked[1], more, 15) != found[0]
    assert cond.cond_prompt_speech_emb is None and float(cond.emotion_adv) == 0.5


def test_a_shorter_voice_takes_less_room(turbo: Any):
    decoder = decoder_of(turbo)
    short = voice("turbo")
    short.cond_prompt_speech_tokens = short.cond_prompt_speech_tokens[:, :101]
    both = [decoder.condition(one) for one in (voice("turbo"), short)]
    assert [one.positions for one in both] == [376, 102]
    assert [one.nbytes for one in both] == [one.positions * decoder.bytes_per_slot // 512 for one in both]
    asked = [T3Request(text("turbo", 9), one, 10, 5) for one in both]
    short.cond_prompt_speech_emb = None
    expected = [
        upstream_tokens(turbo, request, cond, 10) for request, cond in zip(asked, (voice("turbo"), short), strict=True)
    ]
    assert Host(decoder).decode(asked) == expected


def test_without_guidance_only_the_words_count(base: Any):
    """Upstream cannot do this; one row of its batch says what is meant."""
    t3 = base
    decoder = decoder_of(t3)
    request = T3Request(text("base", 12), decoder.condition(voice("base")), 12, 4, cfg_weight=0.0)
    generator = torch.Generator().manual_seed(4)
    tokens: list[int] = []
    slots = decoder.admit([request])
    for _ in range(12):
        scores = worded_scores(t3, request.text_tokens, tokens)
        expected = int(torch.multinomial(scores.softmax(-1), 1, generator=generator))
        tokens.append(int(decoder.launch(slots).tokens()[0]))
        assert tokens[-1] == expected


@torch.no_grad()
def worded_scores(t3: Any, words: torch.Tensor, tokens: list[int]) -> torch.Tensor:
    """Scores of the next token after all that came before, computed anew and processed by transformers."""
    from transformers.generation.logits_process import MinPLogitsWarper, RepetitionPenaltyLogitsProcessor

    start = torch.tensor([[t3.hp.start_speech_token]])
    read, _ = t3.prepare_input_embeds(t3_cond=voice("base"), text_tokens=words[None], speech_tokens=start)
    spoken = torch.tensor([[t3.hp.start_speech_token, *tokens]])
    x = torch.cat((read, t3.speech_emb(spoken) + t3.speech_pos_emb(spoken)), 1)
    scores = t3.speech_head(t3.tfmr(inputs_embeds=x).last_hidden_state[:, -1])
    scores = RepetitionPenaltyLogitsProcessor(1.2)(spoken, scores) / 0.8  # pyright: ignore[reportArgumentType]
    return MinPLogitsWarper(0.05)(spoken, scores)  # pyright: ignore[reportArgumentType]
