"""Reading weights: both kinds of folder, every number format, and what is said of files that are damaged."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engines.errors import WeightsError
from engines.weights import WHISPER_TINY_EN, verified
from engines.whisper.torch_backend import TorchBackend
from engines.whisper.torch_weights import WhisperWeights, read_weights
from scripts.random_whisper import make_random_whisper, tokenizer_for
from tests.engines.torch_pairs import base_folder

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_random_whisper(tmp_path_factory.mktemp("random"), "micro", seed=3)


@pytest.fixture
def tiny_en(tmp_path: Path) -> Path:
    return Path(shutil.copytree(verified(WHISPER_TINY_EN).parent, tmp_path / "model"))


def sample(weights: WhisperWeights) -> dict[str, torch.Tensor]:
    encoder, decoder = weights.encoder, weights.decoder
    return {
        "conv": encoder.conv1.weight,
        "qkv": encoder.layers[-1].attention.qkv.weight,
        "up": decoder.layers[0].feed_forward.up.weight,
        "kv": decoder.layers[-1].cross.kv.weight,
        "embeddings": decoder.embeddings,
    }


def test_both_kinds_of_folder_hold_the_same_model(folders: dict[str, Path]):
    one, other = (read_weights(folders[name], CPU, torch.float16) for name in ("ctranslate2", "safetensors"))
    for name, tensor in sample(one).items():
        assert torch.equal(tensor, sample(other)[name]), name
    for ours, theirs in zip(one.decoder.layers, other.decoder.layers, strict=True):
        assert torch.equal(ours.cross.kv.bias, theirs.cross.kv.bias)  # pyright: ignore[reportArgumentType]
    assert one.decoder.projection is one.decoder.embeddings
    assert (one.n_mels, one.width, one.vocabulary, one.max_frames, one.max_positions) == (80, 64, 51865, 3000, 448)


def test_shards_are_put_together(folders: dict[str, Path], tmp_path: Path):
    tensors = load_file(folders["safetensors"] / "model.safetensors")
    names = sorted(tensors)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for name, held in parts.items():
        save_file({key: tensors[key] for key in held}, tmp_path / name)
    weight_map = {key: name for name, held in parts.items() for key in held}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    shutil.copy(folders["safetensors"] / "config.json", tmp_path)
    whole = sample(read_weights(folders["safetensors"], CPU, torch.float16))
    assert all(
        torch.equal(one, whole[name]) for name, one in sample(read_weights(tmp_path, CPU, torch.float16)).items()
    )
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"b\.safetensors is missing"):
        read_weights(tmp_path, CPU, torch.float16)


@pytest.mark.parametrize(
    ("quantization", "error"), [("int8_float32", 0.02), ("int16", 0.01), ("bfloat16", 0.01), ("float32", 0)]
)
def test_every_number_format_is_read(folders: dict[str, Path], tmp_path: Path, quantization: str, error: float):
    made = make_random_whisper(tmp_path, "micro", 3, ("ctranslate2",), quantization=quantization)["ctranslate2"]
    whole = sample(read_weights(folders["ctranslate2"], CPU, torch.float32))
    for name, tensor in sample(read_weights(made, CPU, torch.float32)).items():
        assert float((tensor - whole[name]).abs().max()) <= error * float(whole[name].abs().max()), name


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda raw: b"", "cannot be read"),
        (lambda raw: b"\x05\0\0\0" + raw[4:], "binary version 5; expected 6"),
        (lambda raw: raw[:4] + b"\x05\0what\0" + raw[17:], "holds a what; expected WhisperSpec"),
        (lambda raw: raw[:30], "damaged at byte"),
        (lambda raw: raw[:60_000_000], "is cut off"),
        (lambda raw: raw.replace(b"decoder/layer_norm/beta", b"decoder/layer_norm/bete"), "lacks decoder/layer_norm"),
    ],
)
def test_a_damaged_model_is_named(tiny_en: Path, content, said: str):
    model = tiny_en / "model.bin"
    model.write_bytes(content(model.read_bytes()))
    with pytest.raises(WeightsError, match=rf"model\.bin.*{said}"):
        read_weights(tiny_en, CPU, torch.float16)


def test_missing_and_damaged_companions_are_named(tiny_en: Path):
    def load() -> None:
        TorchBackend(tiny_en, device="cpu", dtype="float32", max_batch=1, windows={1000: 1})

    for name in ("config.json", "tokenizer.json"):
        kept = (tiny_en / name).read_bytes()
        for damaged in (b"{", None):
            (tiny_en / name).unlink() if damaged is None else (tiny_en / name).write_bytes(damaged)
            with pytest.raises(WeightsError, match=rf"{name} is (damaged|missing).*expected"):
                load()
        (tiny_en / name).write_bytes(kept)
    (tiny_en / "model.bin").unlink()
    with pytest.raises(WeightsError, match="has no weights; expected"):
        load()
    with pytest.raises(WeightsError, match="is not a folder"):
        read_weights(tiny_en / "elsewhere", CPU, torch.float32)


def test_large_v3_has_cantonese():
    content = json.loads((base_folder() / "tokenizer.json").read_text())
    numbers = {token["content"]: token["id"] for token in tokenizer_for(51866, content)["added_tokens"]}
    known = {
        "<|endoftext|>": 50257,
        "<|su|>": 50357,
        "<|yue|>": 50358,
        "<|translate|>": 50359,
        "<|notimestamps|>": 50364,
    }
    assert known.items() <= numbers.items()
    assert len(set(numbers.values())) == len(numbers)
