"""Dialogues as sound: what the caller sends, to the sample. The same on every run."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np

from agent.bench.options import RECORDINGS
from agent.bench.speech import BenchError
from agent.bench.talk import sounds
from agent.bench.talk.cutting import cuts
from agent.bench.talk.script import Background, Dialogue, Pause, Piece, Recording, Sound, Turn, Words
from agent.bench.talk.sounds import RATE, SPEECH_DBFS
from agent.bench.talk.voices import Speaker
from transports.caller_audio import NoSpeech, SpeechFile, read_speech, speech_bounds

MARGIN_SECS = 0.03
"""Kept around what is heard of each piece: a soft consonant is quieter than the bounds of speech."""

BABBLE = (
    "The train to the coast leaves from the other platform today.",
    "I told her that we would meet them in front of the theatre.",
    "There were far too many people at the market this morning.",
    "He has been working in the garden since the early afternoon.",
)


@dataclass(frozen=True)
class Clip:
    """One turn as sound.

    Attributes:
        pcm: int16 at 48 kHz, shape (samples,).
        spans: First and last sample of what is heard of each piece; between two of them lies the pause.
    """

    pcm: np.ndarray
    spans: tuple[tuple[int, int], ...]

    def as_file(self, name: str) -> SpeechFile:
        """As the caller's microphone takes it."""
        return SpeechFile(Path(name), self.pcm, self.spans[0][0], self.spans[-1][1])


@dataclass
class Renderer:
    """Renders turns and backgrounds; loads the voices. Not for an event loop."""

    recordings: Path = RECORDINGS
    speaker: Speaker = field(default_factory=Speaker)

    def clip(self, turn: Turn, voice: str) -> Clip:
        """A turn in a voice.

        Raises:
            BenchError: A recording is not there, or nothing is heard of a piece.
        """
        parts: list[tuple[np.ndarray, int, int]] = []
        for said, group in groupby(
            (it for it in turn.pieces if not isinstance(it, Pause)), lambda it: type(it) is Words
        ):
            if said:
                parts += self._sentence([it.text for it in group if isinstance(it, Words)], voice)
            else:
                parts += [self._piece(it, voice) for it in group]
        return join(parts, gaps_ms(turn.pieces))

    def background(self, background: Background) -> np.ndarray:
        """A sound to repeat without end, int16 at 48 kHz, so many decibels below the speech."""
        make = sounds.BACKGROUNDS[background.sound]
        sound = make() if make else self._babble()
        level = 10 ** ((SPEECH_DBFS - background.snr_db) / 20)
        return to_pcm(sound * (level / np.sqrt((sound**2).mean())))

    def _piece(self, piece: Piece, voice: str) -> tuple[np.ndarray, int, int]:
        """Sound with its first and last sample that count."""
        if isinstance(piece, Recording):
            return trimmed(self._recorded(piece), piece.file)
        assert isinstance(piece, Sound)
        if (make := sounds.SOUNDS.get(piece.name)) is not None:
            sound = make()
            return sound, 0, len(sound) - 1
        text, air = sounds.VOCAL[piece.name]
        speech, first, last = trimmed(self.speaker.say(text, voice), piece.name)
        return sounds.with_air(speech, air), first, last

    def _sentence(self, texts: Sequence[str], voice: str) -> list[tuple[np.ndarray, int, int]]:
        """Words with pauses between them: said in one breath, and cut."""
        if len(texts) == 1:
            return [trimmed(self.speaker.say(texts[0], voice), texts[0])]
        whole = " ".join(text if text[-1] in ".,?!" else f"{text}," for text in texts[:-1]) + f" {texts[-1]}"
        speech, first, last = trimmed(self.speaker.say(whole, voice), whole)
        lengths = [_length(trimmed(self.speaker.say(text, voice), text)) for text in texts]
        edges = [0, *(first + cut for cut in cuts(speech[first : last + 1], lengths)), len(speech)]
        level = gain(speech[first : last + 1])
        return [
            bounded(speech[start:end] * level, text) for (start, end), text in zip(pairwise(edges), texts, strict=True)
        ]

    def _recorded(self, piece: Recording) -> np.ndarray:
        try:
            file = read_speech(self.recordings / piece.file)
        except (OSError, RuntimeError, NoSpeech) as error:
            raise BenchError(f"the recording {self.recordings / piece.file} cannot be read: {error}") from error
        end = len(file.pcm) if piece.end_ms is None else piece.end_ms * RATE // 1000
        return file.pcm[piece.begin_ms * RATE // 1000 : end] / 32768

    def _babble(self) -> np.ndarray:
        """Four people who talk at once."""
        samples = round(sounds.BACKGROUND_SECS * RATE)
        mix = np.zeros(samples)
        for number, (text, voice) in enumerate(zip(BABBLE, ("low", "high", "slow", "heart"), strict=True)):
            speech = self.speaker.say(text, voice)
            repeated = np.tile(speech, samples // len(speech) + 2)
            start = number * len(speech) // len(BABBLE)
            mix += repeated[start : start + samples]
        return mix


def gaps_ms(pieces: Sequence[Piece]) -> list[int]:
    """The pause after each piece but the last that is heard; two that follow each other at once have none."""
    gaps: list[int] = []
    since = 0
    begun = False
    for piece in pieces:
        if isinstance(piece, Pause):
            since += piece.ms
            continue
        if begun:
            gaps.append(since)
        begun, since = True, 0
    return gaps


def trimmed(sound: np.ndarray, what: str) -> tuple[np.ndarray, int, int]:
    """Speech at its level with a margin around what is heard, and the first and last sample of that.

    Raises:
        BenchError: Nothing is heard.
    """
    sound, first, last = bounded(sound, what)
    return sound * gain(sound[first : last + 1]), first, last


def bounded(sound: np.ndarray, what: str) -> tuple[np.ndarray, int, int]:
    """The same at its own level."""
    try:
        first, last = speech_bounds(to_pcm(sound * (0.5 / max(np.abs(sound).max(), 1e-9))), RATE)
    except NoSpeech as error:
        raise BenchError(f"{what!r}: {error}") from error
    margin = round(MARGIN_SECS * RATE)
    start, end = max(first - margin, 0), min(last + 1 + margin, len(sound))
    return sound[start:end], first - start, last - start


def _length(part: tuple[np.ndarray, int, int]) -> int:
    return part[2] - part[1] + 1


def gain(speech: np.ndarray) -> float:
    """What brings the RMS of speech, its silences left out, to `SPEECH_DBFS`."""
    frames = speech[: max(len(speech) // 480, 1) * 480]
    power = (frames.reshape(-1, 480) ** 2).mean(axis=1) if len(frames) >= 480 else (speech**2).mean(keepdims=True)
    active = power[power > power.max() / 1000]
    return float(10 ** (SPEECH_DBFS / 20) / np.sqrt(active.mean()))


def join(parts: Sequence[tuple[np.ndarray, int, int]], gaps: Sequence[int]) -> Clip:
    """Pieces in a row, so that each gap, in ms, lies between the last sample of one and the first of the next.

    A margin longer than half of a gap is cut.
    """
    placed: list[tuple[int, np.ndarray]] = []
    spans: list[tuple[int, int]] = []
    for number, (sound, first, last) in enumerate(parts):
        before = gaps[number - 1] * RATE // 1000 if number else first
        after = gaps[number] * RATE // 1000 if number < len(gaps) else len(sound)
        begin = spans[-1][1] + 1 + before if spans else first
        lead, tail = min(first, before // 2 if number else first), min(len(sound) - 1 - last, after // 2)
        placed.append((begin - lead, sound[first - lead : last + 1 + tail]))
        spans.append((begin, begin + last - first))
    mix = np.zeros(max(start + len(sound) for start, sound in placed))
    for start, sound in placed:
        mix[start : start + len(sound)] += sound
    return Clip(to_pcm(mix), tuple(spans))


def to_pcm(sound: np.ndarray) -> np.ndarray:
    """int16, clipped."""
    return np.clip(np.rint(sound * 32767), -32768, 32767).astype(np.int16)


@dataclass(frozen=True)
class Rendered:
    """A dialogue, ready to be played: a clip for each turn, and what is heard under all of them."""

    dialogue: Dialogue
    clips: tuple[Clip, ...]
    background: np.ndarray | None


def render(dialogues: Sequence[Dialogue], renderer: Renderer) -> list[Rendered]:
    """Make everything that will be played, before anything is measured.

    Raises:
        BenchError: Something cannot be made.
    """
    backgrounds = {
        found: renderer.background(found)
        for found in sorted({item.background for item in dialogues if item.background}, key=str)
    }
    return [
        Rendered(
            item,
            tuple(renderer.clip(turn, item.voice) for turn in item.turns),
            backgrounds[item.background] if item.background else None,
        )
        for item in dialogues
    ]
