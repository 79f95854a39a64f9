"""The rooms of the house: which may import which, what stays light, what the repository may not hold."""

import ast
import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("agent", "processors", "transports", "engines", "services", "configs")
WEB = {"fastapi", "starlette", "uvicorn", "aiohttp", "httpx", "websockets", "flask"}
HEAVY = {"torch", "faster_whisper", "ctranslate2", "xllamacpp", "hibari", "fastapi", "onnxruntime", "transformers"}

FORBIDDEN = {
    "agent": {"services"},
    "processors": {"agent", "transports", "services", "aiortc"} | WEB,
    "transports": {"agent", "processors", "engines", "services"},
    "engines": {"agent", "processors", "transports", "services", "configs", "pipecat", "aiortc"} | WEB,
    "services": {"agent", "processors", "transports", "pipecat", "aiortc"},
    "configs": {"agent", "processors", "transports", "engines", "services", "pipecat", "aiortc"} | WEB,
}
CLIENTS_OF_SERVICES = {"engines/remote_socket.py": {"websockets"}}
"""Engines behind a socket need one."""

OF_ENGINES_FOR_PROCESSORS = {"engines.protocol", "engines.errors", "engines.agreement"}


def modules() -> list[Path]:
    found = (path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    return sorted(path.relative_to(ROOT) for path in found if "node_modules" not in path.parts)


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in the file, `from a import b` as `a.b`."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import; the house imports absolutely"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def dotted(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def in_a_fresh_process(code: str, *options: str) -> str:
    command = [sys.executable, *options, "-c", code]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return ran.stdout


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [path for name in listed.decode().split("\0") if name and (path := ROOT / name).is_file()]


def test_the_rooms_are_found():
    assert {path.parts[0] for path in modules()} == set(ROOMS) and len(modules()) > 30


@pytest.mark.parametrize("path", modules(), ids=str)
def test_no_arrow_runs_backwards(path: Path):
    room = path.parts[0]
    forbidden = FORBIDDEN.get(room, set()) - CLIENTS_OF_SERVICES.get(path.as_posix(), set())
    backwards = [name for name in imports(path) if name.split(".")[0] in forbidden]
    assert not backwards, f"{path} may not import {', '.join(backwards)}"


@pytest.mark.parametrize("path", [path for path in modules() if path.parts[0] == "processors"], ids=str)
def test_processors_know_of_engines_only_what_an_engine_is(path: Path):
    for name in imports(path):
        if name.split(".")[0] == "engines":
            assert ".".join(name.split(".")[:2]) in OF_ENGINES_FOR_PROCESSORS, f"{path} may not import {name}"


@pytest.mark.parametrize(
    "module",
    [
        "transports.caller",
        "configs.loading",
        "agent.cli",
        "engines.protocol",
        "engines.remote",
        "engines.remote_tts",
        "engines.opening",
        "engines.vad",
    ],
)
def test_what_should_be_light_loads_no_model_library(module: str):
    loaded = json.loads(in_a_fresh_process(f"import json, sys, {module}; print(json.dumps(list(sys.modules)))"))
    assert HEAVY.isdisjoint(loaded), f"{module} loads {', '.join(sorted(HEAVY & set(loaded)))}"


def test_no_module_uses_what_pipecat_or_python_deprecates():
    """Pipecat's own imports of `audioop`, and of its own deprecated names, are its own affair. Kernels need Triton,
    which comes with torch's CUDA build only.
    """
    has_triton = importlib.util.find_spec("triton") is not None
    code = (
        "import warnings\n"
        "warnings.filterwarnings('ignore', message=\"'audioop' is deprecated\")\n"
        "warnings.filterwarnings('ignore', message='`AudioContextTTSService` is deprecated')\n"
        "import importlib\n"
        f"for name in {[dotted(path) for path in modules() if has_triton or not path.stem.endswith('_triton')]!r}:\n"
        "    importlib.import_module(name)\n"
    )
    in_a_fresh_process(code, "-W", "error::DeprecationWarning", "-W", "error::FutureWarning")


def test_no_other_distribution_owns_our_names():
    owners = importlib.metadata.packages_distributions()
    for name in ROOMS:
        assert set(owners.get(name, ["voice-agent"])) == {"voice-agent"}


MACHINE_PATHS = re.compile(rb"(?<![\w.$}~-])/(?:work|root|home)/[\w.]")
REGISTRIES = re.compile(rb"://pypi|files\.pythonhosted|registry\.npmjs")


@pytest.mark.parametrize("pattern", [MACHINE_PATHS, REGISTRIES], ids=["machine paths", "registries"])
def test_nothing_committed_names_a_machine_or_a_registry(pattern: re.Pattern[bytes]):
    this = Path(__file__).resolve()
    found = [
        f"{path.relative_to(ROOT)}: {match.group().decode()}"
        for path in tracked()
        if path != this and path.suffix not in (".wav", ".flac", ".png", ".woff2", ".ico")
        for match in [pattern.search(path.read_bytes())]
        if match
    ]
    assert found == []


def test_the_patterns_find_what_they_are_for():
    for line in (b'open("/work/main/x")', b"cd /root/x", b"PATH=/home/someone/bin"):
        assert MACHINE_PATHS.search(line), line
    for line in (b"/homework/x", b"https://a.example/work/x", b"networking/home/x"):
        assert not MACHINE_PATHS.search(line), line
    assert REGISTRIES.search(b"https://" + b"pypi.org/simple")
