"""What shares a batch, or came before it, does not change a result; what the backend does not take is refused."""

from dataclasses import replace

import numpy as np
import pytest

from engines.errors import EngineRefused
from engines.whisper.backend import Decoded
from engines.whisper.torch_backend import TorchBackend
from engines.whisper.torch_buffers import bucket_for, buckets_up_to, room_for
from tests.engines.torch_pairs import MAX_BATCH, features, greedy, pair, speech, token


@pytest.fixture(scope="module")
def backend() -> TorchBackend:
    return pair("tiny.en").torch


def hear(backend: TorchBackend, batch: np.ndarray, *, timestamps: bool = False, tokens: int = 40) -> list[Decoded]:
    prompt = pair("tiny.en").task(timestamps=timestamps)
    return backend.generate(backend.encode(batch), [prompt] * len(batch), greedy(backend, tokens))


def same(one: Decoded, other: Decoded) -> bool:
    """Larger batches add in another order, and no more."""
    return (
        one.tokens == other.tokens
        and abs(one.sum_logprob - other.sum_logprob) < 1e-3
        and abs(one.no_speech_prob - other.no_speech_prob) < 1e-5
    )


@pytest.mark.parametrize("timestamps", [False, True])
def test_a_neighbour_changes_nothing(backend: TorchBackend, timestamps: bool):
    batch = features(speech()[1:6], 1000)
    together = hear(backend, batch, timestamps=timestamps)
    for row in range(5):
        (alone,) = hear(backend, batch[row : row + 1], timestamps=timestamps)
        assert same(alone, together[row])


def test_what_lay_in_the_padding_changes_nothing(backend: TorchBackend):
    batch = features(speech()[2:5], 1000)
    first = hear(backend, batch)
    # Fills the fourth row of the bucket, and more of the token cache, with something loud.
    noise = np.random.default_rng(0).normal(0, 5, (4, 80, 1000)).astype(np.float32)
    hear(backend, noise, tokens=70)
    assert all(same(*both) for both in zip(first, hear(backend, batch), strict=True))


def test_an_earlier_batch_can_still_be_decoded(backend: TorchBackend):
    prompt = pair("tiny.en").task(timestamps=False)
    batch = features(speech()[2:4], 1000)
    encoded = backend.encode(batch)
    first = backend.generate(encoded, [prompt] * 2, greedy(backend))
    hear(backend, features(speech()[4:], 1000))
    assert backend.generate(encoded, [prompt] * 2, greedy(backend)) == first


def test_windows_of_any_length_are_taken(backend: TorchBackend):
    (found,) = hear(backend, features(speech()[4:5], 1500))
    assert "young man" in backend.tokenizer.decode(found.tokens)


def test_no_more_tokens_than_asked_for(backend: TorchBackend):
    batch = features(speech()[2:3], 1000)
    (whole,), (cut,) = hear(backend, batch), hear(backend, batch, tokens=5)
    assert cut.tokens == whole.tokens[:5]
    assert cut.sum_logprob > whole.sum_logprob


def test_the_end_counts_as_a_token(backend: TorchBackend):
    batch = features(speech()[4:5], 1000)
    (whole,) = hear(backend, batch)
    (cut,) = hear(backend, batch, tokens=len(whole.tokens))
    assert cut.tokens == whole.tokens
    assert cut.sum_logprob > whole.sum_logprob


def test_a_decoder_that_never_ends_stops_where_the_model_does(backend: TorchBackend):
    end = token(backend, "<|endoftext|>")
    prompt = pair("tiny.en").task(timestamps=False)
    options = replace(greedy(backend, 1000), suppress_tokens=(end,))
    (found,) = backend.generate(backend.encode(features(speech()[5:], 1000)), [prompt], options)
    assert len(found.tokens) == 448 - len(prompt)


def test_chance_follows_the_probabilities(backend: TorchBackend):
    prompt = pair("tiny.en").task(timestamps=False)
    encoded = backend.encode(features(speech()[4:5], 1000))
    greedily = backend.generate(encoded, [prompt], greedy(backend))
    assert same(backend.generate(encoded, [prompt], greedy(backend, temperature=1e-4))[0], greedily[0])
    drawn = {tuple(backend.generate(encoded, [prompt], greedy(backend, 8, 1.5))[0].tokens) for _ in range(3)}
    assert len(drawn) > 1


def test_every_usual_path_is_run_before_the_first_caller(backend: TorchBackend):
    backend.warm_up((1,))


def test_what_the_backend_does_not_take_is_refused(backend: TorchBackend):
    prompt = pair("tiny.en").task(timestamps=False)
    encoded = backend.encode(features(speech()[5:], 1000))
    options = greedy(backend)
    for refused in (
        lambda: backend.generate(encoded, [prompt], replace(options, beam_size=5)),
        lambda: backend.generate(encoded, [prompt], replace(options, max_new_tokens=0)),
        lambda: backend.generate(encoded, [prompt], replace(options, suppress_tokens=(99_999,))),
        lambda: backend.generate(encoded, [[*prompt, 99_999]], options),
        lambda: backend.generate(encoded, [prompt[1:]], options),
        lambda: backend.generate(encoded, [prompt * 300], options),
        lambda: backend.generate(encoded, [prompt, prompt], options),
        lambda: backend.generate(encoded, [prompt, prompt[:1]], options),
        lambda: backend.align(encoded, prompt[:1], [[1] * 500], [100]),
        lambda: backend.encode(np.zeros((1, 128, 1000), np.float32)),
        lambda: backend.encode(np.zeros((1, 80, 3002), np.float32)),
        lambda: backend.encode(np.zeros((MAX_BATCH + 1, 80, 1000), np.float32)),
    ):
        with pytest.raises(EngineRefused, match=r"^.{20,}$"):
            refused()


@pytest.mark.parametrize(("device", "dtype"), [("tpu", "float32"), ("cuda:99", "float16"), ("cpu", "int8")])
def test_unknown_devices_and_formats_are_refused(device: str, dtype: str, tmp_path):
    with pytest.raises(EngineRefused, match="expected|finds"):
        TorchBackend(tmp_path, device=device, dtype=dtype, max_batch=1, windows={1000: 1})


def test_buckets():
    assert buckets_up_to(1) == (1,)
    assert buckets_up_to(16) == (1, 2, 4, 8, 16)
    assert buckets_up_to(12) == (1, 2, 4, 8, 12)
    assert bucket_for(9, buckets_up_to(12)) == 12
    assert [room_for(used, 448) for used in (1, 64, 65, 257, 448)] == [64, 64, 128, 448, 448]
