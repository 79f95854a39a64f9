"""Recordings of a voice: which can be cloned, and why the others cannot. Knows no model."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from engines.errors import EngineRefused

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
SHORTEST_SECS, LONGEST_SECS, USED_SECS = 5, 30, 20
LOWEST_RATE = 16_000
"""The model listens at 16 kHz; what is not in the clip would be missing in the voice."""

FRAME_SECS = 0.03
QUIET_DB = -45.0
"""Of the loudest frames. Below it the noise of a 16-bit recording comes too near."""

CLIPPED_AT, CLIPPED_SHARE = 0.999, 0.01
SPEECH_RANGE_DB = 12.0
"""Speech has pauses and breaths: its quietest frames lie further below its loudest than those of noise or a tone."""

ACTIVE_DB, ACTIVE_SECS = 25.0, 3.0
"""So much must be no further than this below the loudest frames."""

SILENCE = 1e-6


@dataclass(frozen=True)
class Clip:
    """A recording that a voice can be made of.

    Attributes:
        samples: float32 mono, shape (samples,), within -1 and 1; at most the first 20 s of the file.
        sample_rate: In Hz, as in the file.
        sha256: Of the file.
    """

    samples: np.ndarray
    sample_rate: int
    sha256: str


def read_clip(path: Path) -> Clip:
    """Read a recording and judge it.

    Args:
        path: WAV, FLAC, OGG or MP3, 5 to 30 s long, of one speaker; channels are mixed down.

    Raises:
        EngineRefused: It cannot be used, and why: one sentence.
    """
    try:
        samples, rate = _read(path)
        _judge(samples, rate)
    except ValueError as error:
        raise EngineRefused(f"{path.name} cannot be used as a voice: {error}") from None
    return Clip(samples[: USED_SECS * rate], rate, digest(path))


def digest(path: Path) -> str:
    """SHA-256 of a clip's file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def length_secs(path: Path) -> float | None:
    """How long a recording is; None where it cannot be read."""
    try:
        return float(soundfile.info(path).duration)
    except (soundfile.SoundFileError, OSError):
        return None


def _read(path: Path) -> tuple[np.ndarray, int]:
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"its name ends in {path.suffix or 'nothing'}; expected {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise ValueError("there is no such file")
    try:
        with soundfile.SoundFile(path) as file:
            _check_length(file.frames / file.samplerate)
            return file.read(dtype="float32", always_2d=True).mean(axis=1), file.samplerate
    except (soundfile.SoundFileError, OSError):
        raise ValueError("it cannot be read as audio; expected a WAV, FLAC, OGG or MP3 file") from None


def _check_length(secs: float) -> None:
    if not SHORTEST_SECS <= secs <= LONGEST_SECS:
        raise ValueError(f"it is {secs:.1f} s long; expected {SHORTEST_SECS} to {USED_SECS} s of speech")


def _judge(samples: np.ndarray, rate: int) -> None:
    if rate < LOWEST_RATE:
        raise ValueError(f"its sample rate is {rate} Hz; expected {LOWEST_RATE} Hz or more")
    if not np.isfinite(samples).all():
        raise ValueError("it holds values that are not numbers; expected samples from -1 to 1")
    # What a decoder of MP3 or OGG gives may be shorter than what the file's head says.
    _check_length(len(samples) / rate)
    clipped = float(np.mean(np.abs(samples) >= CLIPPED_AT))
    if clipped > CLIPPED_SHARE:
        raise ValueError(f"{clipped:.0%} of it is clipped; expected a recording that was not too loud")
    _judge_levels(_levels(samples, int(FRAME_SECS * rate)))


def _judge_levels(levels: np.ndarray) -> None:
    quietest, loudest = np.percentile(levels, (10, 95))
    if loudest < QUIET_DB:
        raise ValueError(f"it is too quiet ({loudest:.0f} dBFS); expected speech above {QUIET_DB:.0f} dBFS")
    if loudest - quietest < SPEECH_RANGE_DB:
        raise ValueError(
            f"no speech stands out in it (its loudest parts are {loudest - quietest:.0f} dB above its quietest); "
            "expected one speaker in a quiet room"
        )
    active = float(np.sum(levels > loudest - ACTIVE_DB)) * FRAME_SECS
    if active < ACTIVE_SECS:
        raise ValueError(f"only {active:.1f} s of it are speech; expected {ACTIVE_SECS:.0f} s or more")


def _levels(samples: np.ndarray, frame: int) -> np.ndarray:
    """Loudness of each frame in dBFS."""
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    return 10 * np.log10(np.mean(frames.astype(np.float64) ** 2, axis=1) + SILENCE**2)
