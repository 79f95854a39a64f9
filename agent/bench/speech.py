"""Real speech from recordings, cut to the lengths of utterances before anything is measured."""

import json
import wave
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.bench.load import LONGEST_SECS, SHORTEST_SECS, Utterance

SAMPLE_RATE = 16_000
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")

FRAME_SECS = 0.02
PAUSE_SECS = 0.14
PAUSE_DB = 25.0
"""Sound so far below the loudest is a pause, if it lasts."""

NEAR = 0.25
"""A whole piece between pauses is taken if its length is within this share of the wanted one; else speech is cut."""

CHOICES = 4


class BenchError(Exception):
    """The measurement cannot be made. The message is a sentence for the person who asked for it."""


@dataclass(frozen=True)
class Recording:
    """Speech of one file: float32 samples at 16 kHz, -1 to 1, and what is said, where that is known."""

    name: str
    audio: np.ndarray
    text: str | None = None

    @property
    def secs(self) -> float:
        """Its length."""
        return len(self.audio) / SAMPLE_RATE

    def utterance(self, start: int = 0, end: int | None = None) -> Utterance:
        """The samples `start` to `end` as they are sent; the text belongs to the whole recording only."""
        audio = self.audio[start:end]
        whole = len(audio) == len(self.audio)
        name = self.name if whole else f"{self.name} {start / SAMPLE_RATE:.2f}+{len(audio) / SAMPLE_RATE:.2f}"
        pcm = (np.clip(audio, -1, 1) * 32767).astype("<i2").tobytes()
        return Utterance(name, pcm, len(audio) / SAMPLE_RATE, self.text if whole else None)


def read_recordings(paths: Sequence[Path], texts: Path | None = None) -> list[Recording]:
    """Read files, or the files of folders; their texts from a JSON object by file name, or a `.txt` beside the file.

    Raises:
        BenchError: There is no speech in them, or a file cannot be read.
    """
    known = _read_texts(texts)
    files = [file for path in paths for file in _files(path)]
    if not files:
        named, wanted = ", ".join(map(str, paths)) or "nothing", ", ".join(SUFFIXES)
        raise BenchError(f"no speech to send: give --wav a file or a folder with {wanted} files; found none in {named}")
    recordings = [Recording(file.name, read_audio(file), known.get(file.name) or _text_beside(file)) for file in files]
    long_enough = [recording for recording in recordings if recording.secs >= SHORTEST_SECS]
    if not long_enough:
        raise BenchError(f"no speech to send: every file is shorter than {SHORTEST_SECS} s")
    return long_enough


def read_audio(path: Path) -> np.ndarray:
    """A file as float32 samples at 16 kHz, channels mixed. Other formats than WAV need soundfile.

    Raises:
        BenchError: It cannot be read.
    """
    try:
        import soundfile

        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        return resampled(samples.mean(axis=1), rate)
    except ImportError:
        return _read_wave(path)
    except (OSError, RuntimeError) as error:
        raise BenchError(f"{path} cannot be read: {error}") from error


def resampled(audio: np.ndarray, rate: int) -> np.ndarray:
    """Samples at 16 kHz, by their spectrum: no library for it is at hand on every machine that measures."""
    if rate == SAMPLE_RATE:
        return audio.astype(np.float32)
    length = round(len(audio) * SAMPLE_RATE / rate)
    spectrum = np.fft.rfft(audio)[: length // 2 + 1]
    return (np.fft.irfft(spectrum, length) * (length / len(audio))).astype(np.float32)


def pauses(audio: np.ndarray) -> list[int]:
    """Where speech can be cut, in samples: the middle of each pause, and both ends."""
    frame = int(FRAME_SECS * SAMPLE_RATE)
    count = len(audio) // frame
    if not count:
        return [0, len(audio)]
    power = np.mean(np.square(audio[: count * frame].reshape(count, frame)), axis=1)
    silent = power < np.max(power) * 10 ** (-PAUSE_DB / 10)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], silent.astype(np.int8), [0]))))
    runs = [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True)]
    found = [int((start + end) // 2) * frame for start, end in runs if (end - start) * FRAME_SECS >= PAUSE_SECS]
    return sorted({0, *found, len(audio)})


class Pieces:
    """Speech of any wanted length, whole pieces between pauses where there are such."""

    def __init__(self, recordings: Sequence[Recording]):
        self._recordings = recordings
        self._spans = [
            (recording, start, end)
            for recording in recordings
            for cuts in [pauses(recording.audio)]
            for number, start in enumerate(cuts)
            for end in cuts[number + 1 :]
            if SHORTEST_SECS * SAMPLE_RATE <= end - start <= LONGEST_SECS * SAMPLE_RATE
        ]
        self._secs = np.array([(end - start) / SAMPLE_RATE for _, start, end in self._spans])
        self._made: dict[tuple[int, int, int], Utterance] = {}

    def choose(self, secs: float, random: np.random.Generator) -> Utterance:
        """A stretch of speech of about so many seconds."""
        if len(self._spans):
            nearest = np.argsort(np.abs(self._secs - secs), kind="stable")[:CHOICES]
            near = [index for index in nearest if abs(self._secs[index] - secs) <= NEAR * secs]
            if near:
                return self._utterance(*self._spans[int(random.choice(near))])
        long_enough = [recording for recording in self._recordings if recording.secs >= secs]
        recording = random.choice(len(long_enough)) if long_enough else 0
        chosen = long_enough[recording] if long_enough else max(self._recordings, key=lambda item: item.secs)
        length = min(int(secs * SAMPLE_RATE), len(chosen.audio))
        start = int(random.integers(0, len(chosen.audio) - length + 1))
        return self._utterance(chosen, start, start + length)

    def _utterance(self, recording: Recording, start: int, end: int) -> Utterance:
        """Many turns say the same piece; its samples are kept once."""
        key = (id(recording), start, end)
        if key not in self._made:
            self._made[key] = recording.utterance(start, end)
        return self._made[key]


class Wholes:
    """Whole recordings, whose words are known; the wanted length is not heeded."""

    def __init__(self, recordings: Sequence[Recording]):
        self._utterances = [recording.utterance() for recording in recordings]

    def choose(self, secs: float, random: np.random.Generator) -> Utterance:
        """One of the recordings."""
        return self._utterances[int(random.integers(len(self._utterances)))]


def _files(path: Path) -> Iterable[Path]:
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    if not path.is_file():
        raise BenchError(f"--wav {path}: no such file or folder")
    return [path]


def _read_texts(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        texts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BenchError(f"--texts {path} cannot be read: {error}") from error
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise BenchError(f'--texts {path}: expected one JSON object of texts by file name, {{"a.wav": "words"}}')
    return texts


def _text_beside(file: Path) -> str | None:
    beside = file.with_suffix(".txt")
    return beside.read_text(encoding="utf-8").strip() if beside.is_file() else None


def _read_wave(path: Path) -> np.ndarray:
    try:
        with wave.open(str(path)) as stream:
            if stream.getsampwidth() != 2:
                raise BenchError(f"{path}: expected 16-bit samples; other WAV files need the package soundfile")
            samples = np.frombuffer(stream.readframes(stream.getnframes()), dtype="<i2").astype(np.float32) / 32768
            return resampled(samples.reshape(-1, stream.getnchannels()).mean(axis=1), stream.getframerate())
    except (OSError, EOFError, wave.Error) as error:
        raise BenchError(f"{path} cannot be read without the package soundfile: {error}") from error
