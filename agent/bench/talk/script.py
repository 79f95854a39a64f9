"""The dialogues: data, read from YAML.

A file has a `part` (`tune` or `held-out`) and `dialogues`. A dialogue is one call:

    - id: table-for-two
      voice: low                      # one of `voices.VOICES`
      background: babble 12           # optional: a sound of `sounds.BACKGROUNDS`, so many dB below the speech
      turns:
        - kind: pause
          say: "I'd like to [700] book a table."   # [700]: 700 ms of silence. <cough>: one of `sounds`.
                                                   # {jfk.flac 300-2100}: that stretch of a recording, in ms
        - kind: barge_in
          say: "Wait."
          at: answer+1500             # so many ms after the answer to the turn before it was first heard
          expect: stops, answer       # unset: answer

A turn without `at` is said when the agent is quiet.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from agent.bench.speech import BenchError
from agent.bench.talk.sounds import BACKGROUNDS, SOUNDS, VOCAL
from agent.bench.talk.voices import VOICES

DIALOGUES = Path(__file__).parent / "dialogues"
PARTS = ("tune", "held-out")
KINDS = {
    "question": "plain questions",
    "pause": "a pause inside a sentence",
    "hesitation": "um, uh, a sentence begun anew",
    "short": "answers of a word or two",
    "spelled": "digits and addresses, spelled out",
    "background": "speech in noise or among other voices",
    "backchannel": "mhm, yeah, right while the agent speaks",
    "sound_over_answer": "coughs, clicks and noise while the agent speaks",
    "sound_in_silence": "coughs, clicks and noise while nobody speaks",
    "barge_in": "the caller interrupts",
    "early": "the caller speaks in the instant in which the answer begins",
    "double_talk": "the caller speaks at length over the answer",
}
EXPECTATIONS = {
    "answer": "the agent answers, after the last word and within the time of a stall",
    "silence": "the agent says nothing",
    "keeps_speaking": "the agent goes on with its answer",
    "stops": "the agent stops its answer",
}
LATEST_MS = 3000
"""Past this the end of the answer is too near for what follows to be told from it."""

TOKEN = re.compile(r"\[(?P<pause>\d+)\]|\{(?P<file>[^\s}]+)(?: (?P<begin>\d+)-(?P<end>\d+))?\}|<(?P<sound>[a-z_]+)>")
AT = re.compile(r"answer\+(\d+)")
BACKGROUND = re.compile(r"([a-z_]+) (-?\d+)")


@dataclass(frozen=True)
class Words:
    """Said by the dialogue's voice."""

    text: str


@dataclass(frozen=True)
class Pause:
    """Silence between the last sample of what came before and the first of what follows."""

    ms: int


@dataclass(frozen=True)
class Sound:
    """One of `sounds.SOUNDS` or `sounds.VOCAL`."""

    name: str


@dataclass(frozen=True)
class Recording:
    """Real speech: a file of the recordings, from `begin_ms` to `end_ms` (None: to its end)."""

    file: str
    begin_ms: int = 0
    end_ms: int | None = None


Piece = Words | Pause | Sound | Recording


@dataclass(frozen=True)
class Background:
    """A sound under the whole call, `snr_db` below the speech."""

    sound: str
    snr_db: int


@dataclass(frozen=True)
class Turn:
    """One thing that the caller does.

    Attributes:
        kind: One of `KINDS`.
        pieces: What is heard of it.
        text: The same as it is written in the file.
        over_ms: So long after the answer to the turn before was first heard; None says it when the agent is quiet.
        expect: Some of `EXPECTATIONS`.
    """

    kind: str
    pieces: tuple[Piece, ...]
    text: str
    over_ms: int | None
    expect: frozenset[str]


@dataclass(frozen=True)
class Dialogue:
    """One call."""

    id: str
    part: str
    voice: str
    background: Background | None
    turns: tuple[Turn, ...]

    def is_talked_over(self, index: int) -> bool:
        """Whether the next turn is said over the answer to this one."""
        return index + 1 < len(self.turns) and self.turns[index + 1].over_ms is not None


class BadDialogue(BenchError):
    """A dialogue cannot be read; the message names the place and what was expected."""


def read_dialogues(folder: Path = DIALOGUES) -> list[Dialogue]:
    """All dialogues of a folder's YAML files, in the order of their names.

    Raises:
        BadDialogue: A file cannot be read as dialogues, or two have the same id.
    """
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise BadDialogue(f"{folder}: expected YAML files with dialogues, found none")
    dialogues = [dialogue for file in files for dialogue in _read(file)]
    seen: set[str] = set()
    for dialogue in dialogues:
        if dialogue.id in seen:
            raise BadDialogue(f"{folder}: two dialogues have the id {dialogue.id!r}; expected each to have its own")
        seen.add(dialogue.id)
    return dialogues


def _read(file: Path) -> list[Dialogue]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise BadDialogue(f"{file}: cannot be read as YAML: {error}") from error
    found = _mapping(content, file.name, required=("part", "dialogues"))
    part = _one_of(found["part"], f"{file.name}: part", PARTS)
    if not isinstance(found["dialogues"], list) or not found["dialogues"]:
        raise BadDialogue(f"{file.name}: dialogues: expected a list of dialogues")
    return [parse_dialogue(item, part, f"{file.name}: dialogue {n}") for n, item in enumerate(found["dialogues"], 1)]


def parse_dialogue(item: object, part: str, place: str) -> Dialogue:
    """A dialogue of a file; `place` begins every error.

    Raises:
        BadDialogue: It is not one.
    """
    found = _mapping(item, place, required=("id", "voice", "turns"), optional=("background",))
    name = str(found["id"])
    place = f"{place} ({name})"
    voice = _one_of(found["voice"], f"{place}: voice", VOICES)
    turns = found["turns"]
    if not isinstance(turns, list) or not turns:
        raise BadDialogue(f"{place}: turns: expected a list of turns")
    parsed = tuple(_turn(turn, f"{place}: turn {number}") for number, turn in enumerate(turns, 1))
    for number, turn in enumerate(parsed, 1):
        if turn.over_ms is not None and (number == 1 or "answer" not in parsed[number - 2].expect):
            raise BadDialogue(f"{place}: turn {number}: at: expected a turn before it that expects an answer")
    return Dialogue(name, part, voice, _background(found.get("background"), f"{place}: background"), parsed)


def _turn(item: object, place: str) -> Turn:
    found = _mapping(item, place, required=("kind", "say"), optional=("at", "expect"))
    kind = _one_of(found["kind"], f"{place}: kind", KINDS)
    over_ms = _over(found.get("at"), f"{place}: at")
    names = [name.strip() for name in str(found.get("expect", "answer")).split(",")]
    expect = frozenset(_one_of(name, f"{place}: expect", EXPECTATIONS) for name in names)
    allowed = ({"answer"}, {"silence"}) if over_ms is None else ({"keeps_speaking"}, {"stops"}, {"stops", "answer"})
    if expect not in allowed:
        wanted = "; ".join(", ".join(sorted(names, reverse=True)) for names in allowed)
        raise BadDialogue(f"{place}: expect: {', '.join(names)}: expected one of: {wanted}")
    text = str(found["say"])
    return Turn(kind, tuple(_pieces(text, f"{place}: say")), text, over_ms, expect)


def _over(value: object, place: str) -> int | None:
    if value is None:
        return None
    matched = AT.fullmatch(str(value))
    if matched is None or int(matched[1]) > LATEST_MS:
        raise BadDialogue(f"{place}: {value!r}: expected answer+N with N from 0 to {LATEST_MS} ms, or no `at`")
    return int(matched[1])


def _pieces(text: str, place: str) -> Iterable[Piece]:
    pieces: list[Piece] = []
    at = 0
    for token in TOKEN.finditer(text):
        pieces += _words(text[at : token.start()], place)
        pieces.append(_token(token, place))
        at = token.end()
    pieces += _words(text[at:], place)
    if not pieces or isinstance(pieces[0], Pause) or isinstance(pieces[-1], Pause):
        raise BadDialogue(f"{place}: {text!r}: expected something to hear at both ends")
    return pieces


def _words(text: str, place: str) -> list[Words]:
    if any(sign in text for sign in "[]{}<>"):
        raise BadDialogue(f"{place}: {text.strip()!r}: expected [700], {{file.wav 0-900}} or <sound>")
    return [Words(text.strip())] if text.strip() else []


def _token(token: re.Match[str], place: str) -> Piece:
    if token["pause"]:
        return Pause(int(token["pause"]))
    if token["sound"]:
        return Sound(_one_of(token["sound"], place, (*SOUNDS, *VOCAL)))
    begin, end = int(token["begin"] or 0), int(token["end"]) if token["end"] else None
    if end is not None and end <= begin:
        raise BadDialogue(f"{place}: {token[0]}: expected the end after the beginning")
    return Recording(token["file"], begin, end)


def _background(value: object, place: str) -> Background | None:
    if value is None:
        return None
    matched = BACKGROUND.fullmatch(str(value))
    if matched is None:
        raise BadDialogue(f"{place}: {value!r}: expected a sound and decibels, e.g. babble 12")
    return Background(_one_of(matched[1], place, BACKGROUNDS), int(matched[2]))


def _one_of(value: object, place: str, known: Iterable[str]) -> str:
    if value not in (names := list(known)):
        raise BadDialogue(f"{place}: {value!r}: expected one of {', '.join(names)}")
    return str(value)


def _mapping(value: object, place: str, *, required: Sequence[str], optional: Sequence[str] = ()) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadDialogue(f"{place}: expected a mapping with {', '.join(required)}")
    missing, unknown = [name for name in required if name not in value], set(value) - {*required, *optional}
    if missing:
        raise BadDialogue(f"{place}: {', '.join(missing)} missing")
    if unknown:
        known = ", ".join((*required, *optional))
        raise BadDialogue(f"{place}: {', '.join(sorted(map(str, unknown)))}: unknown; expected {known}")
    return value
