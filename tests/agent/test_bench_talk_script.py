"""The dialogues: what is read, what is refused and how, and whether the set is what it has to be."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agent.bench.speech import BenchError
from agent.bench.talk.answers import LONG, SENTENCE, SHORT, is_same_answer
from agent.bench.talk.options import TalkOptions, spread, wanted
from agent.bench.talk.script import (
    KINDS,
    PARTS,
    BadDialogue,
    Dialogue,
    Pause,
    Recording,
    Sound,
    Turn,
    Words,
    parse_dialogue,
    read_dialogues,
)


def dialogue(*turns: dict[str, Any], **more: Any) -> Dialogue:
    return parse_dialogue({"id": "x", "voice": "heart", "turns": list(turns), **more}, "tune", "a.yaml: dialogue 1")


def said(text: str) -> tuple[Any, ...]:
    return dialogue({"kind": "pause", "say": text}).turns[0].pieces


def test_the_set_is_large_and_has_every_kind_in_both_parts():
    dialogues = read_dialogues()
    for part in PARTS:
        kinds = Counter(turn.kind for item in dialogues if item.part == part for turn in item.turns)
        assert set(kinds) == set(KINDS)
        assert sum(kinds.values()) >= 75
    assert len({item.voice for item in dialogues}) >= 5


def test_the_parts_share_no_sentence_and_no_recording():
    texts = {
        part: {
            piece.text if isinstance(piece, Words) else piece.file
            for item in read_dialogues()
            for turn in item.turns
            for piece in turn.pieces
            if item.part == part and turn.kind not in ("backchannel", "short") and isinstance(piece, Words | Recording)
        }
        for part in PARTS
    }
    assert texts["tune"].isdisjoint(texts["held-out"])


def test_a_turn_is_words_pauses_sounds_and_recordings():
    assert said("My number is [700] five. {a.wav 100-900} <cough>") == (
        Words("My number is"),
        Pause(700),
        Words("five."),
        Recording("a.wav", 100, 900),
        Sound("cough"),
    )
    assert said("{a.wav}") == (Recording("a.wav"),)


def test_a_turn_over_an_answer_makes_the_turn_before_it_a_long_one():
    found = dialogue(
        {"kind": "question", "say": "Why?"},
        {"kind": "barge_in", "say": "Stop.", "at": "answer+1200", "expect": "stops"},
        background="babble 12",
    )
    assert [turn.over_ms for turn in found.turns] == [None, 1200]
    assert [found.is_talked_over(index) for index in range(2)] == [True, False]
    assert found.background and (found.background.sound, found.background.snr_db) == ("babble", 12)


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        ({"kind": "chat", "say": "Hi."}, "turn 1: kind: 'chat': expected one of question"),
        ({"kind": "short"}, "turn 1: say missing"),
        ({"kind": "short", "say": "Hi.", "when": 1}, "turn 1: when: unknown; expected kind, say, at, expect"),
        ({"kind": "short", "say": "[700] Hi."}, "expected something to hear at both ends"),
        ({"kind": "short", "say": "Hi [soon]"}, "expected [700]"),
        ({"kind": "short", "say": "<bang>"}, "'bang': expected one of"),
        ({"kind": "short", "say": "{a.wav 9-8}"}, "expected the end after the beginning"),
        ({"kind": "short", "say": "Hi.", "at": "answer"}, "at: 'answer': expected answer+N"),
        ({"kind": "short", "say": "Hi.", "at": "answer+9000"}, "expected answer+N with N from 0 to 3000"),
        ({"kind": "short", "say": "Hi.", "expect": "stops"}, "expect: stops: expected one of: answer; silence"),
        ({"kind": "short", "say": "Hi.", "expect": "joy"}, "expect: 'joy': expected one of answer"),
        ({"kind": "short", "say": "Hi.", "at": "answer+5", "expect": "stops"}, "at: expected a turn before it"),
        ("Hi.", "turn 1: expected a mapping"),
    ],
)
def test_a_bad_turn_is_refused_with_its_place(turn: Any, message: str):
    with pytest.raises(BadDialogue) as refused:
        dialogue(turn)
    assert str(refused.value).startswith("a.yaml: dialogue 1 (x): turn 1")
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("part: spare\ndialogues: []", "a.yaml: part: 'spare': expected one of tune, held-out"),
        ("part: tune\ndialogues: []", "a.yaml: dialogues: expected a list"),
        ("part: tune\ndialogues: [{id: x, voice: heart, turns: []}]", "(x): turns: expected a list"),
        ("part: tune\ndialogues: [{id: x, voice: nobody, turns: []}]", "(x): voice: 'nobody': expected one of heart"),
        ("part: [", "cannot be read as YAML"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, text: str, message: str):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(BadDialogue) as refused:
        read_dialogues(tmp_path)
    assert message in str(refused.value)


def test_two_dialogues_may_not_have_one_id(tmp_path: Path):
    text = "part: tune\ndialogues: [{id: x, voice: heart, turns: [{kind: short, say: Hi.}]}]"
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(text)
    with pytest.raises(BadDialogue, match="two dialogues have the id 'x'"):
        read_dialogues(tmp_path)
    with pytest.raises(BadDialogue, match="found none"):
        read_dialogues(tmp_path / "empty")


def of(name: str, part: str, *kinds: str) -> Dialogue:
    turns = tuple(Turn(kind, (Words("Hi."),), "Hi.", None, frozenset({"answer"})) for kind in kinds)
    return Dialogue(name, part, "heart", None, turns)


def test_a_short_run_sees_something_of_each_kind_and_part():
    dialogues = [
        of("a", "tune", "question", "pause"),
        of("b", "tune", "question"),
        of("c", "held-out", "question"),
        of("d", "held-out", "short", "question"),
    ]
    assert [item.id for item in spread(dialogues, 4)] == ["a", "d"]
    assert [item.id for item in spread(dialogues, 5)] == ["a", "d", "b"]
    assert len(spread(dialogues, 12)) == 8  # Those that there are, twice.


def test_the_flags_choose_dialogues():
    dialogues = read_dialogues()
    for part in PARTS:
        assert {item.part for item in wanted(dialogues, TalkOptions(turns=30, parts=part))} == {part}
    early = wanted(dialogues, TalkOptions(turns=1, kinds=("early",)))
    assert [turn.kind for turn in early[0].turns].count("early") == 1
    assert [item.id for item in wanted(dialogues, TalkOptions(turns=2, dialogues=("t-train",)))] == ["t-train"]
    with pytest.raises(BenchError, match="no such dialogue"):
        wanted(dialogues, TalkOptions(dialogues=("nobody",)))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"turns": 0}, "--turns 0"),
        ({"parts": "half"}, "--parts half: expected one of all, tune, held-out"),
        ({"kinds": ("chat",)}, "--kinds chat"),
        ({"brain": "big"}, "--brain big: expected one of scripted, packaged"),
        ({"tokens_per_sec": 0}, "--tokens-per-sec"),
    ],
)
def test_a_bad_flag_is_refused(flags: dict[str, Any], message: str):
    with pytest.raises(BenchError) as refused:
        TalkOptions(**flags)
    assert message in str(refused.value)


def test_every_sentence_of_the_scripted_brain_tells_its_answer():
    sentences = [SENTENCE.split(answer) for answer in (*SHORT, *LONG)]
    assert len({sentence for answer in sentences for sentence in answer}) == sum(map(len, sentences))
    assert all(is_same_answer(answer[0], sentence.upper()) for answer in sentences for sentence in answer)
    assert not is_same_answer(sentences[-1][0], sentences[-2][0])
    assert is_same_answer(sentences[0][0], "what nobody wrote")
