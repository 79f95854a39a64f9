"""What Prometheus reads."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.metrics import Metrics
from processors.latency import Stages, Timeline, TurnLatency
from transports.jitter import WireCounts


def samples(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Values by name and the value of the first label, from the text format."""
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in families
        for sample in family.samples
        if "le" not in sample.labels
    }


def test_before_the_first_call_everything_is_there_at_zero():
    values = samples(Metrics())
    assert values["voice_agent_calls", ""] == 0
    assert values["voice_agent_calls_started_total", ""] == 0
    assert values["voice_agent_turns_total", ""] == 0
    assert values["voice_agent_voice_to_voice_seconds_count", ""] == 0
    assert values["process_resident_memory_bytes", ""] > 0


def test_a_turn_is_counted_with_its_stages_in_seconds():
    metrics = Metrics()
    overlapping = Timeline(vad_ms=(0, 200), stt_ms=(80, 350))
    metrics.turn(TurnLatency(1, 700.0, Stages(vad_ms=200, stt_ms=150, llm_ms=250), overlapping))
    metrics.turn(TurnLatency(2, 300.0, Stages(vad_ms=200)))
    values = samples(metrics)
    assert values["voice_agent_turns_total", ""] == 2
    assert values["voice_agent_voice_to_voice_seconds_sum", ""] == 1.0
    assert values["voice_agent_stage_seconds_sum", "vad"] == 0.4
    assert values["voice_agent_stage_seconds_count", "vad"] == 2
    assert values["voice_agent_stage_seconds_count", "llm"] == 1
    assert ("voice_agent_stage_seconds_count", "tts") not in values
    assert values["voice_agent_stage_work_seconds_sum", "stt"] == 0.27
    assert ("voice_agent_stage_work_seconds_count", "llm") not in values


def test_kinds_and_reasons_are_labels():
    metrics = Metrics()
    metrics.calls_ended.labels("hangup").inc()
    metrics.refused.labels("server_full").inc(2)
    metrics.errors.labels("brain").inc()
    values = samples(metrics)
    assert values["voice_agent_calls_ended_total", "hangup"] == 1
    assert values["voice_agent_requests_refused_total", "server_full"] == 2
    assert values["voice_agent_errors_total", "brain"] == 1


def test_what_came_of_the_wires_packets_adds_up():
    metrics = Metrics()
    for _ in range(2):
        metrics.wire(WireCounts(received=100, lost=5, recovered=3, late=1, filled_secs=0.1), wait_secs=0.04)
    values = samples(metrics)
    outcomes = ("received", "lost", "recovered", "late", "duplicates")
    assert [values["voice_agent_wire_packets_total", outcome] for outcome in outcomes] == [200, 10, 6, 2, 0]
    assert values["voice_agent_wire_filled_seconds_total", ""] == pytest.approx(0.2)
    assert values["voice_agent_wire_wait_seconds_sum", ""] == pytest.approx(0.08)


def test_two_servers_in_one_process_count_apart():
    first, second = Metrics(), Metrics()
    first.calls.inc()
    assert samples(second)["voice_agent_calls_started_total", ""] == 0
