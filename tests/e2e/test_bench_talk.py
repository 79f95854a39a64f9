"""The measurement of manners, as a person runs it: real processes, real calls."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from transports.caller_report import STAGES

COMMAND = Path(sys.executable).with_name("voice-agent")


def test_a_dialogue_is_played_to_the_agent_and_to_plain_pipecat(tmp_path: Path):
    picture = tmp_path / "talk.png"
    asked = [COMMAND, "bench", "talk", "--dialogue", "t-quick", "--turns", "2", "--json", "--plot", picture]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VOICE_AGENT_")}
    ran = subprocess.run(asked, capture_output=True, text=True, timeout=110, check=False, cwd=tmp_path, env=kept)
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    assert (report["what"], report["turns"], report["load"]["brain"][:8]) == ("talk", 2, "scripted")
    assert set(report["differences"]) >= {"cut_off_rate", "voice_to_voice_ms", "silence_after_barge_in_ms"}
    assert list(report["parts"]) == list(report["baseline"]["parts"]) == ["tune"]
    for side in (report, report["baseline"]):
        assert side["turns"] == 2, side["failures"]
        if any(failure["void"] == "this caller was late in sending" for failure in side["failures"]):
            continue  # On a machine so busy nothing is told, and the report says so.
        assert side["void"] == 0, side["failures"]
        # A question, and words over its answer: both were told, whatever came of them.
        assert side["counts"]["missed_interruption"]["of"] == 1
        assert side["counts"]["stall"]["of"] >= 1
        assert 200 < side["voice_to_voice_ms"]["p50"] < 10_000
        assert 0 <= side["silence_after_barge_in_ms"]["p50"] < 10_000
        assert set(side["stages"]) == set(STAGES) and side["stages"]["vad_ms"]["p50"] is not None
    assert picture.stat().st_size > 1000


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--parts", "half"), "--parts half: expected one of all, tune, held-out"),
        (("--dialogue", "nobody"), "--dialogue nobody: no such dialogue"),
        (("--dialogue", "t-quick", "--url", "http://127.0.0.1:9"), "There is no server to call"),
        (("--dialogue", "t-quick", "--plot", "gone/a.png"), "there is no folder gone"),
    ],
)
def test_what_cannot_be_measured_is_said(tmp_path: Path, flags: tuple[str, ...], words: str):
    asked = [COMMAND, "bench", "talk", *flags]
    ran = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert ran.returncode == 1 and ran.stdout == ""
    assert words in ran.stderr
