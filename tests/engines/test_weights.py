"""Weights come from packages, and only the pinned content is used."""

import hashlib
import os
from pathlib import Path

import pytest

import engines.weights as weights
from engines.errors import WeightsError
from engines.weights import PACKAGED, PackagedFile, locate, verified

CONTENT = b"the weights"
PINNED = PackagedFile("made-model", "1.0", "made_model/model.bin", hashlib.sha256(CONTENT).hexdigest())


class Reads:
    """Counts how often a file's whole content was read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.count = 0
        digest = weights.sha256_of

        def counted(path: Path) -> str:
            self.count += 1
            return digest(path)

        monkeypatch.setattr(weights, "sha256_of", counted)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed distribution with one model file; returns the file."""
    site = tmp_path / "site"
    metadata = site / "made_model-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: made-model\nVersion: 1.0\n")
    model = site / PINNED.path
    model.parent.mkdir()
    model.write_bytes(CONTENT)
    monkeypatch.syspath_prepend(site)
    return model


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    return Reads(monkeypatch)


@pytest.mark.parametrize("file", PACKAGED, ids=lambda file: file.distribution)
def test_what_is_installed_here_is_what_is_pinned(file: PackagedFile):
    assert verified(file).is_file()


def test_the_pinned_file_is_found(installed: Path):
    assert verified(PINNED) == installed


def test_other_content_is_refused_with_both_digests(installed: Path):
    installed.write_bytes(b"other weights")
    with pytest.raises(WeightsError) as caught:
        verified(PINNED)
    text = str(caught.value)
    assert PINNED.sha256 in text and hashlib.sha256(b"other weights").hexdigest() in text
    assert str(installed) in text and "make install" in text


def test_other_content_is_refused_every_time(installed: Path):
    installed.write_bytes(b"other weights")
    for _ in range(2):
        with pytest.raises(WeightsError):
            verified(PINNED)


def test_a_checked_file_is_not_read_again(installed: Path, reads: Reads):
    assert verified(PINNED) == verified(PINNED) == installed
    assert reads.count == 1


def test_a_file_that_changed_is_read_again(installed: Path, reads: Reads):
    verified(PINNED)
    now = installed.stat()
    os.utime(installed, ns=(now.st_atime_ns, now.st_mtime_ns + 1_000_000_000))
    assert verified(PINNED) == installed
    assert reads.count == 2


def test_a_file_replaced_by_another_of_the_same_size_and_time_is_noticed(installed: Path):
    verified(PINNED)
    before = installed.stat()
    other = installed.with_suffix(".new")
    other.write_bytes(b"THE WEIGHTS")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(installed)
    with pytest.raises(WeightsError, match="not the pinned file"):
        verified(PINNED)


def test_a_new_pin_is_checked_anew(installed: Path):
    verified(PINNED)
    other = PackagedFile(PINNED.distribution, PINNED.version, PINNED.path, "0" * 64)
    with pytest.raises(WeightsError, match="0" * 64):
        verified(other)


def test_a_cache_that_cannot_be_written_costs_only_time(installed: Path, cache: Path, reads: Reads):
    cache.write_text("a file where the folder should be")
    assert verified(PINNED) == verified(PINNED) == installed
    assert reads.count == 2


@pytest.mark.parametrize("content", ["", "{", "[]", '"text"', "null"])
def test_a_broken_cache_costs_only_time(installed: Path, cache: Path, reads: Reads, content: str):
    memory = cache / "voice-agent" / "verified.json"
    memory.parent.mkdir(parents=True)
    memory.write_text(content)
    assert verified(PINNED) == verified(PINNED) == installed
    assert reads.count == 1


def test_a_cache_that_is_not_text_costs_only_time(installed: Path, cache: Path):
    memory = cache / "voice-agent" / "verified.json"
    memory.parent.mkdir(parents=True)
    memory.write_bytes(b"\xff\xfe\x00")
    assert verified(PINNED) == installed


def test_nothing_but_the_memory_stays_in_the_cache(installed: Path, cache: Path):
    verified(PINNED)
    assert [path.name for path in (cache / "voice-agent").iterdir()] == ["verified.json"]
    assert installed.is_file()


def test_a_package_that_is_not_installed_is_named_with_how_to_get_it():
    with pytest.raises(WeightsError, match=r"made-model==1\.0 is not installed; run `make install`"):
        locate(PINNED)


@pytest.mark.usefixtures("installed")
def test_another_version_is_named():
    wanted = PackagedFile("made-model", "2.0", PINNED.path, PINNED.sha256)
    with pytest.raises(WeightsError, match=r"expected the package made-model==2\.0, found version 1\.0"):
        locate(wanted)


def test_a_file_that_is_gone_from_its_package_is_named(installed: Path):
    installed.unlink()
    with pytest.raises(WeightsError, match=r"model\.bin is missing from the package made-model==1\.0"):
        locate(PINNED)
