"""Real calls, real speech: what is heard is right, what is answered is spoken, and the caller may interrupt."""

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scripts.served import COMMAND, ServedAgent
from tests.conftest import SPOKEN
from tests.e2e.conftest import GREETING, QUESTIONS, channels, word_error_rate, words
from tests.e2e.echo_brain import STORY, EchoBrain
from transports.caller import CallOptions, CallReport, place_call

Transcribe = Callable[[np.ndarray, int], str]


def test_the_command_holds_a_conversation_with_real_speech(
    agent: ServedAgent, audio_folder: Path, questions: list[Path], tmp_path: Path, transcribe: Transcribe
) -> None:
    recording = tmp_path / "call.wav"
    spoken = [audio_folder / "librivox-0870.wav", questions[0]]
    command = [str(COMMAND), "call", agent.url, "--json", "--record", str(recording)]
    command += [argument for wav in spoken for argument in ("--wav", str(wav))]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)

    assert report["call_id"]
    assert report["connected_ms"] > 0
    expected = [SPOKEN["librivox-0870.wav"], QUESTIONS[0]]
    for turn, wav, text in zip(report["turns"], spoken, expected, strict=True):
        assert turn["wav"] == str(wav)
        assert word_error_rate(text, turn["heard"]) <= 0.2, turn["heard"]
        assert turn["reply"]
        assert 200 < turn["voice_to_voice_ms"] < 20_000
        assert set(turn["stages"]) == {"vad_ms", "turn_ms", "stt_ms", "llm_ms", "tts_ms"}
        assert all(value is not None for value in turn["stages"].values())
        assert not turn["interrupted"]

    said, heard, rate = channels(recording)
    assert word_error_rate(" ".join(expected), transcribe(said, rate)) <= 0.2
    replies = " ".join([GREETING, *(turn["reply"] for turn in report["turns"])])
    assert word_error_rate(replies, transcribe(heard, rate)) <= 0.35, (replies, transcribe(heard, rate))


async def test_a_famous_speech_with_pauses_is_heard_whole(echo_agent: ServedAgent, audio_folder: Path) -> None:
    report = await place_call(CallOptions(echo_agent.url, [audio_folder / "jfk.flac"], hold_secs=2))
    said = " ".join(turn.heard for turn in report.turns)
    assert word_error_rate(SPOKEN["jfk.flac"], said) <= 0.25, said


async def test_the_reply_is_spoken_word_for_word(
    echo_agent: ServedAgent, brain: EchoBrain, questions: list[Path], tmp_path: Path, transcribe: Transcribe
) -> None:
    brain.mode = "echo"
    recording = tmp_path / "call.wav"
    report = await place_call(CallOptions(echo_agent.url, [questions[1]], record=recording))
    assert word_error_rate(QUESTIONS[1], report.turns[0].heard) <= 0.2
    assert words(report.turns[0].reply) == words(f"You said {report.turns[0].heard}")
    _, heard, rate = channels(recording)
    assert word_error_rate(report.turns[0].reply, transcribe(heard, rate)) <= 0.2
    # Neither clipped nor faint, and no sound before the answer.
    assert 0.05 < np.abs(heard).max() < 0.99


async def test_speaking_over_the_agent_silences_it(
    echo_agent: ServedAgent, brain: EchoBrain, questions: list[Path], tmp_path: Path
) -> None:
    brain.mode = "story"
    try:
        wavs = [questions[0], questions[2]]
        report = await place_call(
            CallOptions(echo_agent.url, wavs, barge_in_secs=1.5, record=tmp_path / "call.wav", max_answer_secs=8)
        )
    finally:
        brain.mode = "echo"
    first, second = report.turns
    assert first.interrupted
    assert words(first.reply) != words(STORY)
    assert second.silence_after_barge_in_ms is not None
    assert second.silence_after_barge_in_ms < 1500
    assert word_error_rate(QUESTIONS[2], second.heard) <= 0.3
    # What was cut off is not remembered as said in full.
    remembered = [message["content"] for message in brain.requests[-1] if message["role"] == "assistant"]
    assert all(words(STORY) not in words(text) for text in remembered)
    # It is remembered up to where it was cut off, and the caller is told just that.
    (cut_off,) = [words(text) for text in remembered if words(text).startswith("once")]
    assert words(STORY).startswith(cut_off) and len(cut_off.split()) >= 2
    assert words(first.reply) == cut_off
    # Where the time went is told to the caller, too, and what each stage added is the whole.
    timeline = {name: interval for name, interval in first.timeline.items() if interval is not None}
    assert set(timeline) == set(first.stages)
    assert timeline["vad_ms"][0] == 0
    assert timeline["stt_ms"][1] <= timeline["turn_ms"][1] <= timeline["tts_ms"][0] < timeline["tts_ms"][1]
    assert timeline["tts_ms"][1] <= sum(added or 0 for added in first.stages.values()) + 0.1


async def test_two_calls_at_once_do_not_mix(echo_agent: ServedAgent, brain: EchoBrain, questions: list[Path]) -> None:
    brain.mode = "echo"
    brain.requests.clear()
    reports: list[CallReport] = await asyncio.gather(
        *(place_call(CallOptions(echo_agent.url, [wav, wav])) for wav in questions[:2])
    )
    assert reports[0].call_id != reports[1].call_id
    for report, question in zip(reports, QUESTIONS[:2], strict=True):
        for turn in report.turns:
            assert word_error_rate(question, turn.heard) <= 0.2
            assert word_error_rate(f"You said {question}", turn.reply) <= 0.2
    for conversation in brain.requests:
        text = " ".join(str(message["content"]) for message in conversation).lower()
        assert not ("france" in text and "week" in text)


@pytest.mark.parametrize("count", [3])
async def test_several_calls_run_side_by_side(agent: ServedAgent, questions: list[Path], count: int) -> None:
    calls = [place_call(CallOptions(agent.url, [questions[0]], answer_timeout_secs=40)) for _ in range(count)]
    reports = await asyncio.gather(*calls)
    for report in reports:
        assert word_error_rate(QUESTIONS[0], report.turns[0].heard) <= 0.2
        assert report.turns[0].reply
