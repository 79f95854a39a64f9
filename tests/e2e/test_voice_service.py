"""The agent with its voice in a process of its own: spoken as before, and a service that dies is told and returns."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import httpx
import numpy as np
import pytest

from scripts.served import ServedAgent
from tests.e2e.conftest import QUESTIONS, channels, word_error_rate
from tests.e2e.echo_brain import EchoBrain
from tests.services.serving import free_port
from tests.services.tts.process import service_process
from transports.caller import CallOptions, place_call

ServedWith = Callable[..., AbstractContextManager[ServedAgent]]


@pytest.mark.timeout(240)
async def test_a_call_through_the_service_of_the_voice_which_dies_and_returns(
    served_with: ServedWith,
    brain: EchoBrain,
    questions: list[Path],
    tmp_path: Path,
    transcribe: Callable[[np.ndarray, int], str],
) -> None:
    port, recording = free_port(), tmp_path / "call.wav"
    brain.mode = "echo"
    with ExitStack() as stack:
        with service_process(port) as service:
            agent = stack.enter_context(served_with(tts__urls=f'["ws://127.0.0.1:{port}"]'))
            assert not any("hibari" in line for line in agent.lines), "the agent loads no voice of its own"
            report = await place_call(CallOptions(agent.url, [questions[0]], record=recording))
            assert word_error_rate(QUESTIONS[0], report.turns[0].heard) <= 0.2
            _, heard, rate = channels(recording)
            assert word_error_rate(report.turns[0].reply, transcribe(heard, rate)) <= 0.35
            async with httpx.AsyncClient() as http:
                metrics = (await http.get(f"{service.url}/metrics")).text
                assert 'voice_tts_requests_total{outcome="ok",way="stream"}' in metrics
                assert (await http.get(f"{agent.url}/ready")).status_code == 200

        # The service has been killed.
        async with httpx.AsyncClient() as http:
            refused = await http.get(f"{agent.url}/ready")
            assert refused.status_code == 503 and "text to speech" in refused.text
        # A caller is told so aloud all the same, with sound that was made while it lived.
        await place_call(CallOptions(agent.url, [questions[0]], record=recording))
        _, heard, rate = channels(recording)
        assert "my voice failed" in transcribe(heard, rate).lower()

        with service_process(port):
            report = await place_call(CallOptions(agent.url, [questions[0]]))
            assert report.turns[0].reply and report.turns[0].voice_to_voice_ms
