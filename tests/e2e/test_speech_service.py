"""The agent with its ears in a process of their own: heard as before, and a service that dies costs one utterance."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import httpx
import pytest

from scripts.served import ServedAgent
from tests.conftest import SPOKEN
from tests.e2e.conftest import QUESTIONS, word_error_rate
from tests.e2e.echo_brain import EchoBrain
from tests.services.asr.process import free_port, service_process
from transports.caller import CallOptions, place_call

ServedWith = Callable[..., AbstractContextManager[ServedAgent]]


@pytest.mark.timeout(240)
async def test_a_call_through_the_speech_service_which_dies_and_returns(
    served_with: ServedWith, brain: EchoBrain, audio_folder: Path, questions: list[Path]
) -> None:
    port = free_port()
    recording = audio_folder / "librivox-0870.wav"
    with ExitStack() as stack:
        with service_process(port) as service:
            agent = stack.enter_context(served_with(stt__urls=f'["ws://127.0.0.1:{port}"]'))
            assert not any("whisper" in line for line in agent.lines), "the agent loads no model of its own"
            report = await place_call(CallOptions(agent.url, [recording, questions[0]]))
            for turn, text in zip(report.turns, (SPOKEN[recording.name], QUESTIONS[0]), strict=True):
                assert word_error_rate(text, turn.heard) <= 0.2, turn.heard
                assert turn.reply
            async with httpx.AsyncClient() as http:
                metrics = (await http.get(f"{service.url}/metrics")).text
                assert "asr_" in metrics
                assert (await http.get(f"{agent.url}/ready")).status_code == 200

        # The service has been killed.
        async with httpx.AsyncClient() as http:
            refused = await http.get(f"{agent.url}/ready")
            assert refused.status_code == 503 and "speech to text" in refused.text
        asked = len(brain.requests)
        report = await place_call(CallOptions(agent.url, [questions[0]]))
        assert report.turns[0].reply.lower().startswith("sorry, i could not hear that"), report.turns[0].reply
        assert len(brain.requests) == asked, "nobody said anything that the brain could answer"
        assert not any(str(port) in problem for problem in report.problems), report.problems

        with service_process(port):
            report = await place_call(CallOptions(agent.url, [questions[0]]))
            assert word_error_rate(QUESTIONS[0], report.turns[0].heard) <= 0.2
