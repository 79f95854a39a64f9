"""Loading a checkpoint through upstream's loaders, and what is said where that fails."""

import shutil
from pathlib import Path
from typing import Any

import chatterbox.tts
import chatterbox.tts_turbo
import perth
import pytest
import torch

from engines.chatterbox.checkpoint import FILES, REPOSITORIES, cached
from engines.chatterbox.loading import load_upstream
from engines.errors import EngineRefused, WeightsError
from scripts.random_chatterbox import tiny_architecture


def without(folder: Path, copy: Path, *names: str) -> Path:
    """The folder's files, some left out, as links."""
    copy.mkdir()
    for path in folder.iterdir():
        if path.name not in names:
            (copy / path.name).symlink_to(path)
    return copy


def test_turbo_is_loaded_from_a_folder(tiny_turbo_folder: Path, tiny_turbo: Any, capsys: pytest.CaptureFixture[str]):
    with tiny_architecture():
        loaded = load_upstream("turbo", tiny_turbo_folder)
    assert capsys.readouterr().out == ""
    assert loaded.sample_rate == 24_000 and loaded.variant == "turbo"
    for module, built in zip((loaded.t3, loaded.s3gen, loaded.voice_encoder), tiny_turbo, strict=True):
        assert not module.training
        assert all(torch.equal(value, built.state_dict()[name]) for name, value in module.state_dict().items())
    assert loaded.conditionals.t3.cond_prompt_speech_tokens.shape == (1, 375)


def test_turbo_text_is_tokenised_as_upstream_does(tiny_turbo_folder: Path):
    with tiny_architecture():
        loaded = load_upstream("turbo", tiny_turbo_folder)
    tokens = loaded.tokenize("hello there: “you”")
    expected = loaded.tokenizer('Hello there, "you".', return_tensors="pt").input_ids[0]
    assert tokens.dtype == torch.int64 and torch.equal(tokens, expected)


def test_base_text_lies_between_start_and_stop(tiny_base_folder: Path):
    with tiny_architecture():
        loaded = load_upstream("base", tiny_base_folder)
    tokens = loaded.tokenize("hello there")
    hp = loaded.t3.hp
    assert tokens[0] == hp.start_text_token and tokens[-1] == hp.stop_text_token
    assert tokens[1:-1].tolist() == loaded.tokenizer.encode("Hello there.")
    assert tokens.dtype == torch.int64
    with pytest.raises(EngineRefused, match="there is no text"):
        loaded.tokenize(" \n")


@pytest.mark.parametrize("name", ["ve.safetensors", "s3gen_meanflow.safetensors", "conds.pt"])
def test_a_missing_file_is_named(tiny_turbo_folder: Path, tmp_path: Path, name: str):
    folder = without(tiny_turbo_folder, tmp_path / "part", name)
    with pytest.raises(WeightsError, match=f"{folder} lacks {name}; expected the weights of Chatterbox turbo"):
        load_upstream("turbo", folder)


def test_the_other_variant_and_no_folder_are_told(tiny_turbo_folder: Path, tmp_path: Path):
    with pytest.raises(WeightsError, match=r"lacks t3_cfg.safetensors, s3gen.safetensors; expected .* Chatterbox base"):
        load_upstream("base", without(tiny_turbo_folder, tmp_path / "turbo"))
    with pytest.raises(WeightsError, match="gone is not a folder"):
        load_upstream("turbo", tmp_path / "gone")
    with pytest.raises(WeightsError, match="no variant 'nano'; expected turbo or base"):
        load_upstream("nano", tmp_path)  # type: ignore


def test_a_missing_tokenizer_is_told(tiny_turbo_folder: Path, tmp_path: Path):
    with pytest.raises(WeightsError, match=r"lacks tokenizer.json or vocab.json"):
        load_upstream("turbo", without(tiny_turbo_folder, tmp_path / "part", "tokenizer.json"))


def test_weights_of_another_shape_are_told(tiny_turbo_folder: Path, tmp_path: Path):
    folder = without(tiny_turbo_folder, tmp_path / "part", "ve.safetensors")
    shutil.copyfile(folder / "t3_turbo_v1.safetensors", folder / "ve.safetensors")
    with tiny_architecture(), pytest.raises(WeightsError, match=f"{folder} does not hold Chatterbox turbo: .*VoiceEnc"):
        load_upstream("turbo", folder)
    (folder / "ve.safetensors").write_bytes(b"not weights")
    with tiny_architecture(), pytest.raises(WeightsError, match=f"{folder} does not hold Chatterbox turbo: "):
        load_upstream("turbo", folder)


def test_a_missing_watermark_stops_the_start(tiny_turbo_folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(perth, "PerthImplicitWatermarker", None)
    with pytest.raises(WeightsError, match="watermark .* cannot be imported"):
        load_upstream("turbo", tiny_turbo_folder)


def test_the_hub_that_cannot_be_reached_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def unreachable(repository: str, **options: Any) -> str:
        raise OSError(f"no route to {repository}")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    with pytest.raises(WeightsError, match=r"ResembleAI/chatterbox-turbo\): no route .* or the folder .* tts.model"):
        load_upstream("turbo")
    assert cached("base") is None


def test_what_the_hub_gives_is_loaded(monkeypatch: pytest.MonkeyPatch, tiny_base_folder: Path):
    asked: dict[str, Any] = {}

    def download(repository: str, **options: Any) -> str:
        asked.update(options, repository=repository)
        return str(tiny_base_folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with tiny_architecture():
        assert load_upstream("base").variant == "base"
    assert asked["repository"] == chatterbox.tts.REPO_ID and set(asked["allow_patterns"]) == set(FILES["base"])
    assert REPOSITORIES["turbo"] == chatterbox.tts_turbo.REPO_ID
    assert cached("base") == tiny_base_folder and asked["local_files_only"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told_before_anything_is_read(tmp_path: Path):
    with pytest.raises(WeightsError, match="device cuda:1 is not there"):
        load_upstream("turbo", tmp_path / "gone", "cuda:1")
