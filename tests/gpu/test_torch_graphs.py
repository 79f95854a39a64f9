"""Replayed graphs give what the same steps give one by one, whatever came before.

On a CPU nothing is captured: there the same sequences run through graphs that only pretend, which shows that a key
says all about what it stands for and that no graph outlives the memory it was made for.
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from engines.graphs import WARM_UPS, Graphs, Key
from engines.whisper.backend import Decoded, DecodeOptions
from engines.whisper.torch_backend import TorchBackend
from scripts.random_whisper import make_random_whisper

NO_GPU = "there is no CUDA device"
ON_GPU = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU))
MAX_BATCH = 6
WINDOWS = {200: MAX_BATCH, 1000: MAX_BATCH, 3000: 4}
"""Frames, and the most utterances at once."""

END, LANGUAGES = 50257, ("en", "de", "fr")
SPECIAL = (
    *("<|endoftext|>", "<|startoftranscript|>", *(f"<|{code}|>" for code in LANGUAGES)),
    *(f"<|l{number}|>" for number in range(99 - len(LANGUAGES))),
    *("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"),
)
VOCABULARY = 51865
START, ENGLISH, TRANSCRIBE, PREVIOUS, NO_TIMESTAMPS = 50258, 50259, 50359, 50361, 50363
WORDS = tuple(range(1000, 1040))
"""Few enough that a text may end by chance."""

STAMPS = tuple(range(NO_TIMESTAMPS + 1, VOCABULARY, 25))
Run = list[Decoded]


@dataclass(frozen=True)
class Call:
    """One batch from its spectrograms to its tokens."""

    batch: int
    frames: int
    timestamps: bool = False
    previous: int = 0
    tokens: int = 20
    temperature: float = 0.0
    ends: bool = True
    seed: int = 0

    def prompts(self) -> list[list[int]]:
        """Of the same length, and different in what came before."""
        drawn = random.Random(self.seed)
        before = [[PREVIOUS, *drawn.choices(WORDS, k=self.previous - 1)] if self.previous else [] for _ in self.rows]
        task = [START, ENGLISH, TRANSCRIBE, *([] if self.timestamps else [NO_TIMESTAMPS])]
        return [[*one, *task] for one in before]

    @property
    def rows(self) -> range:
        return range(self.batch)

    @property
    def writable(self) -> set[int]:
        return {*WORDS, *(STAMPS if self.timestamps else ()), *((END,) if self.ends else ())}

    def features(self) -> np.ndarray:
        generator = np.random.default_rng(self.seed)
        return generator.normal(0, 1, (self.batch, 80, self.frames)).astype(np.float32)

    def options(self) -> DecodeOptions:
        never = sorted(set(range(VOCABULARY)) - self.writable)
        return DecodeOptions(1, self.temperature, self.tokens, tuple(never))

    def on(self, backend: TorchBackend) -> Run:
        return backend.generate(backend.encode(self.features()), self.prompts(), self.options())


class Eager(Graphs):
    """Captures nothing, on any device."""

    def run(self, key: Key, work: Callable[[], None]) -> None:
        work()

    def has(self, key: Key) -> bool:
        return True

    def prepare(self, key: Key, work: Callable[[], None]) -> None:
        """There is nothing to prepare."""


class Pretended:
    """Stands for a captured graph: does what was captured, where it was captured."""

    def __init__(self, work: Callable[[], None], place: Callable[[], object]):
        self._work, self._place, self._captured_at = work, place, place()

    def replay(self) -> None:
        assert self._place() == self._captured_at, "the memory has moved since the capture"
        self._work()


class Pretending(Graphs):
    """On a CPU, does with what it is given what a capture does with it, but for the kernels."""

    def __init__(self, backend: TorchBackend, limit: int):
        super().__init__(backend._device, limit)
        self._device = SimpleNamespace(type="cuda")  # pyright: ignore[reportAttributeAccessIssue]
        self._backend = backend

    def prepare(self, key: Key, work: Callable[[], None]) -> None:
        if self.has(key):
            return
        while len(self._graphs) >= self._limit:
            self._graphs.popitem(last=False)
        for _ in range(WARM_UPS):
            work()
        self._graphs[key] = Pretended(work, lambda: self._place(key))  # pyright: ignore[reportArgumentType]

    def forget(self, *kinds: str) -> None:
        for key in [key for key in self._graphs if key[0] in kinds]:
            del self._graphs[key]

    def _place(self, key: Key) -> object:
        buffers = self._backend._runner.buffers
        if key[0] not in ("audio", "prompt", "step"):
            return None
        tokens = [] if key[0] == "audio" else buffers._tokens
        return [one.data_ptr() for one in (buffers._audio, *buffers._cross, *tokens)]


@dataclass(frozen=True)
class Two:
    """The same weights with graphs and without."""

    graphed: TorchBackend
    eager: TorchBackend

    @property
    def graphs(self) -> Graphs:
        return self.graphed._runner.graphs

    def check(self, calls: Sequence[Call]) -> None:
        """Both do the same; what is drawn by chance only has to be what may be drawn."""
        for number, call in enumerate(calls):
            found, expected = call.on(self.graphed), call.on(self.eager)
            if call.temperature > 0:
                assert_possible(found, call)
            else:
                assert_same(found, expected, f"call {number}: {call}")


@dataclass(frozen=True)
class Maker:
    """Makes backends on one device."""

    folder: Path
    device: str

    def two(self, *, windows: dict[int, int], limit: int = 500, max_batch: int = MAX_BATCH) -> Two:
        graphed, eager = (self._backend(windows, max_batch) for _ in range(2))
        runner = graphed._runner
        runner.graphs = Graphs(runner.device, limit) if self.device == "cuda" else Pretending(graphed, limit)
        eager._runner.graphs = Eager(eager._device, limit)
        return Two(graphed, eager)

    def calls(self, seed: int) -> list[Call]:
        """Many where they take no time."""
        return drawn_calls(seed, 24, 260) if self.device == "cuda" else drawn_calls(seed, 4, 66)

    def _backend(self, windows: dict[int, int], max_batch: int) -> TorchBackend:
        dtype = "float16" if self.device == "cuda" else "float32"
        backend = TorchBackend(self.folder, device=self.device, dtype=dtype, max_batch=max_batch, windows=windows)
        for frames, rows in windows.items():
            # As on a GPU, also on a CPU.
            backend._runner.make_room(rows, frames // 2)
        return backend


@pytest.fixture(scope="module", params=["cpu", ON_GPU])
def maker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Maker:
    folder = tmp_path_factory.mktemp("whisper")
    content = folder / "tokens.json"
    content.write_text(json.dumps(tokenizer()), encoding="utf-8")
    size = "tiny" if request.param == "cuda" else "micro"
    made = make_random_whisper(folder, size, seed=1, formats=("safetensors",), tokenizer=content)
    return Maker(made["safetensors"], request.param)


@pytest.fixture(autouse=True)
def memory_given_back() -> Iterator[None]:
    yield
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def tokenizer() -> dict:
    """Whisper's special tokens behind as many others as its tokenizer has."""
    added = [
        {"id": END + at, "content": name, "special": True}
        | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        for at, name in enumerate(SPECIAL)
    ]
    model = {"type": "WordLevel", "unk_token": "w0", "vocab": {f"w{number}": number for number in range(END)}}
    return {"version": "1.0", "added_tokens": added, "model": model}


def assert_same(found: Run, expected: Run, where: str) -> None:
    for row, (one, other) in enumerate(zip(found, expected, strict=True)):
        pairs = zip(one.tokens, other.tokens, strict=False)
        common = next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one.tokens), len(other.tokens)))
        assert one.tokens == other.tokens, f"{where}: row {row} differs from token {common} of {len(other.tokens)} on"
        assert one.sum_logprob == pytest.approx(other.sum_logprob, abs=0.02), f"{where}: row {row}"
        assert one.no_speech_prob == pytest.approx(other.no_speech_prob, rel=0.01), f"{where}: row {row}"


def assert_possible(found: Run, call: Call) -> None:
    assert len(found) == call.batch
    for one in found:
        assert set(one.tokens) <= call.writable - {END} and len(one.tokens) <= call.tokens
        assert one.sum_logprob < 0 and np.isfinite(one.sum_logprob)
        assert call.ends or len(one.tokens) == call.tokens


def drawn_calls(seed: int, count: int, most_tokens: int) -> list[Call]:
    """Calls of every kind in any order. Prompts and texts cross the lengths of token caches that have graphs."""
    drawn = random.Random(seed)
    calls: list[Call] = []
    for number in range(count):
        frames = drawn.choice(list(WINDOWS))
        calls.append(
            Call(
                batch=drawn.randint(1, WINDOWS[frames]),
                frames=frames,
                timestamps=drawn.random() < 0.5,
                previous=drawn.choice((0, 0, 2, 3, 4, 5, 20, 61, 125)),
                tokens=min(most_tokens, drawn.choice((1, 2, 10, 59, 60, 61, 65, 90, 125, 140, 260))),
                temperature=drawn.choice((0.0, 0.0, 0.4, 1.0)),
                ends=drawn.random() < 0.5,
                seed=100 * seed + number,
            )
        )
    return calls


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_replay_gives_what_the_steps_give(maker: Maker, seed: int):
    if maker.device == "cpu" and seed > 1:
        pytest.skip("as with another seed, and slow")
    two = maker.two(windows=WINDOWS)
    calls = maker.calls(seed)
    # Everything twice: captured the first time, replayed the second.
    two.check(calls + calls[::-1])
    assert len(two.graphs) > 5


@pytest.mark.parametrize("tokens", [60, 61, 124, 125, 252, 253, 444, 1000])
def test_a_text_that_outgrows_its_cache_goes_on_in_a_longer_one(maker: Maker, tokens: int):
    if maker.device == "cpu" and tokens not in (61, 125):
        pytest.skip("as with other lengths, and slow")
    two = maker.two(windows={200: 2}, max_batch=2)
    call = Call(2, 200, tokens=tokens, ends=False)
    two.check([replaced(call, seed=1)])
    found = call.on(two.graphed)
    assert_same(found, call.on(two.eager), "once more")
    assert len(found[0].tokens) == min(tokens, 444)


@pytest.mark.parametrize("limit", [2, 4, 8, 16])
def test_graphs_that_were_forgotten_are_captured_again(maker: Maker, limit: int):
    if maker.device == "cpu" and limit not in (2, 8):
        pytest.skip("as with other limits, and slow")
    two = maker.two(windows=WINDOWS, limit=limit)
    for call in maker.calls(10 + limit):
        two.check([replaced(call, tokens=min(call.tokens, 10 if maker.device == "cpu" else 70))])
        assert len(two.graphs) <= limit


def test_the_graph_that_chooses_is_not_forgotten_between_the_prompt_and_the_first_token(maker: Maker):
    # Three graphs are new in the second call, and the oldest of those that stay is the one that it is about to need.
    two = maker.two(windows={200: 1, 400: 1}, limit=3, max_batch=1)
    two.check([Call(1, 200, tokens=5, ends=False), Call(1, 400, tokens=5, ends=False)])


@pytest.mark.parametrize("windows", [{}, {200: 1}], ids=["none", "small"])
def test_after_the_memory_had_to_grow_no_graph_uses_the_old_one(maker: Maker, windows: dict[int, int]):
    two = maker.two(windows=windows)
    first = Call(1, 200, tokens=8, ends=False)
    growing = [
        first,
        replaced(first, batch=2),
        Call(2, 1000, tokens=8, ends=False, timestamps=True),
        Call(6, 200, tokens=70, ends=False, previous=61),
        Call(4, 3000, tokens=8),
    ]
    buffers, sizes = two.graphed._runner.buffers, set()
    for number, call in enumerate(growing):
        # What was captured before the memory moved, and after it.
        two.check([call, *growing[: min(number, 3)]])
        sizes.add((len(buffers._audio), len(buffers._tokens[0])))
    assert len(sizes) >= 3, "the memory has grown more than once"


def test_chance_changes_nothing_for_those_who_come_after(maker: Maker):
    two = maker.two(windows={200: 4})
    greedy = Call(3, 200, tokens=12, ends=False)
    sampled = replaced(greedy, temperature=1.0)
    two.check([greedy, sampled, greedy, replaced(sampled, timestamps=True), replaced(greedy, timestamps=True), greedy])
    drawn = {tuple(sampled.on(two.graphed)[0].tokens) for _ in range(3)}
    assert len(drawn) == 3, "a replay draws anew"


def test_the_same_seed_draws_the_same(maker: Maker):
    two = maker.two(windows={200: 2})
    sampled = Call(2, 200, tokens=10, temperature=0.7, ends=False)
    sampled.on(two.graphed)  # Captures, which draws, too.

    def drawn() -> list[list[int]]:
        torch.manual_seed(5)
        return [one.tokens for one in sampled.on(two.graphed)]

    assert drawn() == drawn()


def test_rows_that_ended_wait_for_the_others(maker: Maker):
    two = maker.two(windows={200: MAX_BATCH})
    call = Call(MAX_BATCH, 200, tokens=60, temperature=1.0)
    torch.manual_seed(1)
    lengths = {len(one.tokens) for one in call.on(two.graphed)}
    assert len(lengths) > 3
    two.check([replaced(call, temperature=0.0)])


def test_languages_are_found_between_texts(maker: Maker):
    two = maker.two(windows={200: 4})
    for batch in (1, 3, 1, 4):
        call = Call(batch, 200, seed=batch)
        found, expected = (
            backend.detect_language(backend.encode(call.features())) for backend in (two.graphed, two.eager)
        )
        assert [{code for code, _ in row} for row in found] == [set(LANGUAGES)] * batch
        for one, other in zip(found, expected, strict=True):
            assert dict(one) == pytest.approx(dict(other), rel=0.01)
        two.check([call])


def test_a_warmed_up_backend_captures_nothing_more_for_short_texts(maker: Maker):
    two = maker.two(windows={200: 4}, max_batch=4)
    two.graphed.warm_up()
    before = set(two.graphs._graphs)
    two.check([Call(batch, 200, timestamps=stamps, tokens=4) for batch in (1, 2, 3, 4) for stamps in (False, True)])
    assert set(two.graphs._graphs) - before == set()


def replaced(call: Call, **changes) -> Call:
    return Call(**{**vars(call), **changes})
