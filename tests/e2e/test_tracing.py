"""A call's spans at a real collector, and a call without one."""

from pathlib import Path

import pytest

from scripts.served import served
from tests.collector import Collector, collecting
from tests.e2e.conftest import QUESTIONS, word_error_rate
from tests.e2e.echo_brain import EchoBrain
from tests.e2e.test_lifecycle import until
from transports.caller import CallOptions, CallReport, place_call


async def test_a_call_is_traced_without_its_words_and_goes_on_when_the_collector_does_not(
    brain: EchoBrain, questions: list[Path]
) -> None:
    brain.mode = "echo"
    environment = {"VOICE_AGENT_BRAIN__BASE_URL": brain.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    environment["OTEL_EXPORTER_OTLP_TIMEOUT"] = "1"
    with collecting() as collector, served({**environment, "VOICE_AGENT_TRACING__ENDPOINT": collector.url}) as agent:
        report = await place_call(CallOptions(agent.url, [questions[0]]))
        assert await until(lambda: bool(collector.named("conversation")), 10), collector.spans
        assert_traced(collector, report)

        collector.stop()
        report = await place_call(CallOptions(agent.url, [questions[0]]))
        assert word_error_rate(f"You said {QUESTIONS[0]}", report.turns[0].reply) <= 0.2
        assert await until(lambda: any("spans cannot be sent" in line for line in agent.lines), 15)
    # It stopped in time, though spans were waiting.
    assert sum("spans cannot be sent" in line or "opentelemetry" in line for line in agent.lines) == 1


def assert_traced(collector: Collector, report: CallReport) -> None:
    """Each stage is a span in its turn's, as long as the caller was told, and no span holds what was said."""
    (call,) = collector.named("conversation")
    assert call.attributes["conversation.id"] == report.call_id
    assert call.resource["service.name"] == "voice-agent"
    (whole,) = collector.named("voice to voice")
    (turn,) = [turn for turn in collector.named("turn") if turn.span_id == whole.parent_id]
    assert turn.parent_id == call.span_id
    for name in ("stt", "llm", "tts"):
        (span,) = collector.named(name)
        assert span.parent_id == turn.span_id
        assert span.attributes["gen_ai.request.model"]
    stages, timeline = report.turns[0].stages, report.turns[0].timeline
    assert {name: whole.attributes[f"added.{name}"] for name in stages} == stages
    for name, interval in timeline.items():
        assert interval is not None
        (wait,) = collector.named(f"wait: {name.removesuffix('_ms')}")
        assert wait.parent_id == whole.span_id
        assert (wait.end - wait.start) / 1e6 == pytest.approx(interval[1] - interval[0], abs=0.2)
    assert b"France" not in collector.raw and b"capital" not in collector.raw
    assert b"system_instructions" not in collector.raw
