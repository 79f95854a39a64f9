"""Rows with rules of their own are processed as transformers' processors do each, and drawn as their chances say."""

from dataclasses import replace
from typing import Any

import pytest
import torch

import engines.chatterbox.upstream  # noqa: F401
from engines.chatterbox.t3.request import Conditioning, T3Request
from engines.chatterbox.t3.sampling import Rules, choose, counted_noise, guided, warped
from engines.chatterbox.t3.settings import needs_sort
from engines.chatterbox.t3.states import States, state_of

VOCABULARY = 300
START = 7
PLAIN: dict[str, Any] = {
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "cfg_weight": 0.0,
}
SETTINGS: list[dict[str, Any]] = [
    PLAIN,
    PLAIN | {"temperature": 0.3},
    PLAIN | {"top_p": 0.5},
    PLAIN | {"top_p": 0.0},
    PLAIN | {"top_k": 1},
    PLAIN | {"top_k": 40},
    PLAIN | {"top_k": 5000},
    PLAIN | {"min_p": 0.2},
    PLAIN | {"min_p": 1.0},
    PLAIN | {"repetition_penalty": 1.7},
    PLAIN | {"repetition_penalty": 0.6, "temperature": 2.0},
    {"temperature": 0.8, "top_p": 0.95, "top_k": 60, "min_p": 0.05, "repetition_penalty": 1.2, "cfg_weight": 0.0},
    {"temperature": 1.4, "top_p": 0.3, "top_k": 90, "min_p": 0.01, "repetition_penalty": 3.0, "cfg_weight": 0.0},
]


def requests() -> list[T3Request]:
    nothing = Conditioning(torch.zeros(1, 2, 1, 1, 1))
    return [T3Request(torch.zeros(1, dtype=torch.int64), nothing, **settings) for settings in SETTINGS]


def rules_of(asked: list[T3Request], variant: str) -> Rules:
    """Through the states of the slots, as a decoder does it."""
    states = States(len(asked), VOCABULARY, START, variant == "base", torch.device("cpu"))
    made = [state_of(request, variant, 0, START, VOCABULARY) for request in asked]
    whole, real = (torch.tensor([one[part] for one in made]) for part in (0, 1))
    states.begin(torch.arange(len(asked)), whole, real)
    return states.rules(len(asked))


def upstream_scores(logits: torch.Tensor, ids: torch.Tensor, request: T3Request, variant: str) -> torch.Tensor:
    """Transformers' processors in upstream's order, for one row."""
    from transformers.generation import logits_process as process

    assert request.temperature and request.min_p is not None and request.top_p is not None
    penalty = process.RepetitionPenaltyLogitsProcessor(request.repetition_penalty)  # pyright: ignore[reportArgumentType]
    if variant == "base":
        scores = penalty(ids, logits) / request.temperature  # pyright: ignore[reportArgumentType]
        scores = process.MinPLogitsWarper(request.min_p)(ids, scores)  # pyright: ignore[reportArgumentType]
        return process.TopPLogitsWarper(request.top_p)(ids, scores)  # pyright: ignore[reportArgumentType]
    chain = process.LogitsProcessorList()
    if request.temperature != 1.0:
        chain.append(process.TemperatureLogitsWarper(request.temperature))  # pyright: ignore[reportArgumentType]
    if request.top_k:
        chain.append(process.TopKLogitsWarper(request.top_k))
    if request.top_p < 1.0:
        chain.append(process.TopPLogitsWarper(request.top_p))
    if request.repetition_penalty != 1.0:
        chain.append(penalty)
    return chain(ids, logits)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("variant", ["turbo", "base"])
@pytest.mark.parametrize("sort", [True, False])
def test_rows_are_processed_as_by_transformers(variant: Any, sort: bool):
    asked = [request for request in requests() if sort or not needs_sort(request, variant)]
    assert len(asked) > 4
    torch.manual_seed(0)
    logits = torch.randn(len(asked), VOCABULARY) * 3
    ids = torch.randint(0, VOCABULARY, (len(asked), 50))
    seen = torch.zeros(len(asked), VOCABULARY, dtype=torch.bool).scatter_(1, ids, True)
    found = warped(logits, seen, rules_of(asked, variant), variant=variant, sort=sort)
    for row, request in enumerate(asked):
        expected = upstream_scores(logits[row : row + 1], ids[row : row + 1], request, variant)
        assert torch.equal(found[row].softmax(-1), expected[0].softmax(-1)), SETTINGS[row]


@pytest.mark.parametrize("variant", ["turbo", "base"])
def test_of_equal_tokens_as_many_stay_as_with_transformers(variant: Any):
    """Which of them is up to the sort."""
    asked = [replace(request, repetition_penalty=1.0) for request in requests()]
    torch.manual_seed(1)
    logits = (torch.randn(len(asked), VOCABULARY) * 3).round()
    seen = torch.zeros(logits.shape, dtype=torch.bool)
    found = warped(logits, seen, rules_of(asked, variant), variant=variant, sort=True)
    for row, request in enumerate(asked):
        expected = upstream_scores(logits[row : row + 1], torch.zeros(1, 1, dtype=torch.int64), request, variant)
        assert torch.equal(found[row].sort().values, expected[0].sort().values), SETTINGS[row]


def test_a_token_without_a_chance_can_still_be_lifted_by_the_penalty():
    """In turbo the penalty comes last: without top_p nothing may have been dropped before."""
    logits = torch.full((1, VOCABULARY), -300.0)
    logits[0, :2] = torch.tensor([200.0, 90.0])
    seen = torch.zeros(1, VOCABULARY, dtype=torch.bool)
    seen[0, 0] = True
    asked = [replace(requests()[0], repetition_penalty=2.0)]
    scores = warped(logits, seen, rules_of(asked, "turbo"), variant="turbo", sort=True)
    assert scores[0, :2].tolist() == [100.0, 90.0]


def test_noise_of_a_generator_draws_what_multinomial_draws():
    scores = torch.randn(4, VOCABULARY) * 2
    expected = torch.cat(
        [torch.multinomial(row.softmax(-1), 1, generator=torch.Generator().manual_seed(3)) for row in scores]
    )
    noise = torch.ones(4, VOCABULARY)
    for row in noise:
        row.exponential_(generator=torch.Generator().manual_seed(3))
    assert torch.equal(choose(scores, noise, 0), expected)


def test_counted_noise_draws_by_chance():
    scores = torch.tensor([0.5, 0.25, 0.125, 0.1, 0.025, 0.0]).log()
    draws = 20_000
    counts = torch.arange(draws)
    noise = counted_noise(torch.full((draws,), 11), counts, len(scores))
    tokens = choose(scores.expand(draws, -1), noise, 0)
    shares = tokens.bincount(minlength=len(scores)) / draws
    assert shares[-1] == 0
    assert (shares - scores.exp()).abs().max() < 4 * (0.25 / draws) ** 0.5
    pairs = tokens[:-1] * len(scores) + tokens[1:]
    joint = pairs.bincount(minlength=len(scores) ** 2).view(len(scores), -1) / (draws - 1)
    assert (joint - scores.exp()[:, None] * scores.exp()).abs().max() < 4 * (0.25 / draws) ** 0.5


def test_counted_noise_is_of_seed_token_and_place():
    seeds, counts = torch.tensor([5, 5, 6]), torch.tensor([2, 3, 2])
    noise = counted_noise(seeds, counts, VOCABULARY)
    assert torch.equal(noise[:1], counted_noise(seeds[:1], counts[:1], VOCABULARY))
    assert len(noise.unique()) > 0.99 * noise.numel()
    assert noise.min() > 0 and noise.mean().item() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("value", [-torch.inf, torch.inf, torch.nan])
def test_where_nothing_can_be_drawn_the_text_stops(value: float):
    scores = torch.zeros(2, VOCABULARY)
    scores[0] = value
    assert choose(scores, torch.ones(2, VOCABULARY), 42).tolist() == [42, 0]


def test_guidance_moves_away_from_the_wordless_row():
    logits = torch.tensor([[1.0, 2.0], [0.0, 4.0], [3.0, 5.0], [7.0, 7.0]])
    assert guided(logits, torch.tensor([[0.5], [0.0]])).tolist() == [[1.5, 1.0], [3.0, 5.0]]


@pytest.mark.parametrize(("keeps_start", "after"), [(True, [START, 9]), (False, [9])])
def test_the_start_token_counts_as_upstream_counts_it(keeps_start: bool, after: list[int]):
    states = States(2, VOCABULARY, START, keeps_start, torch.device("cpu"))
    whole, real = state_of(requests()[0], "turbo", 30, START, VOCABULARY)
    states.begin(torch.arange(2), torch.tensor([whole, whole]), torch.tensor([real, real]))
    assert states.seen.nonzero().tolist() == [[0, START], [1, START]]
    states.active[0] = True
    states.advance(torch.tensor([9, 8]))
    assert states.seen.nonzero().tolist() == [*([0, token] for token in after), [1, START]]
    assert states.whole[:, :3].tolist() == [[31, 1, 9], [30, 0, START]]
