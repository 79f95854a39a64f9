"""T3 under CUDA graphs and with its own attention kernel says what upstream says.

On a CPU nothing is captured: there the same sequences run through graphs that only pretend, which shows that a capture
in the middle of speech disturbs nobody.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from engines.chatterbox.t3 import attention
from engines.chatterbox.t3.cache import KeyValueCache
from engines.chatterbox.t3.decoder import T3Decoder
from engines.graphs import WARM_UPS, Graphs, Key
from scripts.random_chatterbox import build, tiny_architecture
from tests.engines.chatterbox.t3_cases import POSITIONS, Host, attentive, requests, upstream_tokens, voice

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
ON_GPU = pytest.param("cuda", marks=needs_gpu)


class Pretending(Graphs):
    """On a CPU, runs what it is given as often as a capture does."""

    def has(self, key: Key) -> bool:
        return key in self._graphs

    def prepare(self, key: Key, work: Callable[[], None]) -> None:
        if not self.has(key):
            for _ in range(WARM_UPS):
                work()
            self._graphs[key] = None  # pyright: ignore[reportArgumentType]

    def run(self, key: Key, work: Callable[[], None]) -> None:
        self.prepare(key, work)
        work()


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tiny models are slower on several threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module", params=["turbo", "base"])
def t3(request: pytest.FixtureRequest) -> Any:
    with tiny_architecture():
        return attentive(build(request.param)[0])


def decoder_of(t3: Any, device: str, **options: Any) -> T3Decoder:
    positions = POSITIONS["turbo" if t3.is_gpt else "base"]
    decoder = T3Decoder(t3, slots=3, max_positions=positions, device=device, dtype=torch.float32, **options)
    if device == "cpu":
        graphs = Pretending(torch.device("cpu"), 100)
        decoder._prefill._graphs = decoder._stepping._graphs = graphs
    return decoder


@pytest.mark.parametrize("device", ["cpu", ON_GPU])
@pytest.mark.parametrize("prepared", [False, True])
def test_captured_steps_give_upstreams_tokens(t3: Any, device: str, prepared: bool):
    decoder = decoder_of(t3, device, noise="generator", attention="sdpa")
    if prepared:
        decoder.prepare(text_tokens=[16, 64])
    asked = requests(decoder)
    found = Host(decoder).decode(asked)
    t3 = t3.to(device)
    for number, request in enumerate(asked):
        cond = voice(decoder.variant, (1, 2)[number % 2]).to(device=device)
        expected = upstream_tokens(t3, request, cond, request.max_tokens)
        assert found[number] == expected, f"request {number}"


@pytest.mark.parametrize("device", ["cpu", ON_GPU])
def test_other_sampling_than_usual_captures_no_step_at_its_first_use(t3: Any, device: str):
    decoder = decoder_of(t3, device, noise="counter", attention="sdpa")
    decoder.prepare(text_tokens=[16, 64])
    before = steps_of(decoder)
    assert len(Host(decoder).decode(requests(decoder))) == 6
    assert steps_of(decoder) == before
    # Where the usual sampling sorts, no step without is captured: it would never be run.
    assert {sort for *_, sort in before} == ({True} if decoder.variant == "turbo" else {True, False})


def steps_of(decoder: T3Decoder) -> set[Key]:
    return {key for key in decoder._stepping._graphs._graphs if key[0] == "step"}


@needs_gpu
def test_the_kernel_decodes_as_plain_attention_on_a_cpu(t3: Any):
    plain, kernel = (
        decoder_of(t3, device, noise="counter", attention=kind)
        for device, kind in (("cpu", "sdpa"), ("cuda", "triton"))
    )
    for seed in range(3):
        assert Host(kernel, seed).decode(requests(kernel)) == Host(plain, seed).decode(requests(plain))


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rotates", [False, True])
@pytest.mark.parametrize(("rows", "heads", "width"), [(1, 4, 16), (2, 16, 64), (13, 16, 64), (100, 16, 64)])
def test_the_kernel_hears_what_plain_attention_hears(
    dtype: torch.dtype, rotates: bool, rows: int, heads: int, width: int
):
    from engines.chatterbox.t3 import attention_triton

    room = 640
    torch.manual_seed(rows)
    like = torch.empty(0, dtype=dtype, device="cuda")
    plain, kernel = (KeyValueCache(2, rows, heads, room, width, like) for _ in range(2))
    plain.data.normal_()
    kernel.data.copy_(plain.data)
    before = plain.data.clone()
    rope = None
    if rotates:
        angles = torch.outer(torch.arange(room), torch.rand(width // 2).repeat(2)).cuda()
        rope = angles.cos().to(dtype), angles.sin().to(dtype)
    positions = torch.randint(0, room, (rows,), device="cuda")
    positions[0] = room - 1
    positions[-1] = room - 1 if rows == 1 else 0
    active = torch.rand(rows, device="cuda") < 0.7
    active[0] = active[-1] = True
    qkv = torch.randn(rows, 3 * heads * width, device="cuda").to(dtype)
    expected = attention.ReadSpeech(plain, rope, positions, room)(1, qkv)
    found = attention_triton.ReadSpeech(kernel, rope, positions, active)(1, qkv)
    close = 1e-4 if dtype == torch.float32 else 3e-2
    torch.testing.assert_close(found[active], expected[active], rtol=close, atol=close)
    torch.testing.assert_close(kernel.data[:, :, active], plain.data[:, :, active], rtol=close, atol=close)
    assert not found[~active].any()
    assert torch.equal(kernel.data[:, :, ~active], before[:, :, ~active])
