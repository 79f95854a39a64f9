"""The machine that a measurement was made on, in a report."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PACKAGES = ("ctranslate2", "faster-whisper", "torch", "numpy")


def describe(packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """Processor, cores, GPUs, Python and the libraries that did the work; null for what is not there."""
    return {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "gpu": _gpus(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def in_words(machine: dict[str, Any]) -> str:
    """One line for people."""
    gpu = f", {machine['gpu']}" if machine["gpu"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    return f"{machine['cores']} x {machine['cpu']}{gpu}; Python {machine['python']}, {versions}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _gpus() -> str | None:
    if (command := shutil.which("nvidia-smi")) is None:
        return None
    try:
        asked = [command, "--query-gpu=name", "--format=csv,noheader"]
        ran = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return ", ".join(line.strip() for line in ran.stdout.splitlines() if line.strip()) or None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
