"""The brain ends a call: its goodbye is heard to the end, and the call is over."""

from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np

from scripts.served import ServedAgent
from tests.e2e.conftest import channels, word_error_rate
from tests.e2e.echo_brain import FAREWELL, EchoBrain
from transports.caller import CallOptions, place_call


async def test_the_agent_hangs_up_after_its_goodbye(
    echo_agent: ServedAgent,
    brain: EchoBrain,
    questions: list[Path],
    tmp_path: Path,
    transcribe: Callable[[np.ndarray, int], str],
) -> None:
    brain.mode = "hang up"
    recording = tmp_path / "call.wav"
    try:
        report = await place_call(CallOptions(echo_agent.url, [questions[2]], hold_secs=20, record=recording))
    finally:
        brain.mode = "echo"
    assert report.ending == "agent_hung_up"
    _, heard, rate = channels(recording)
    assert word_error_rate(FAREWELL["farewell"], transcribe(heard, rate)) <= 0.2
    assert 'voice_agent_calls_ended_total{reason="agent_hung_up"} 1.0' in httpx.get(f"{echo_agent.url}/metrics").text
