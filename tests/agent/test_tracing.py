"""When calls are traced, where to, and what of a span leaves the house."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

from agent.spans import Tracing, _Exporter, otlp_exporter
from agent.tracing import address, open_tracing
from configs.loading import SettingsError, load_settings
from configs.settings import TracingSettings
from processors.latency import Stages, Timeline, TurnLatency
from tests.agent.conftest import DEAD
from tests.collector import Collector, collecting

UNIX = 1_800_000_000.0


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.mark.parametrize(
    ("endpoint", "environ", "expected"),
    [
        (None, {}, None),
        ("http://here:4318", {}, "http://here:4318/v1/traces"),
        ("http://here:4318/", {}, "http://here:4318/v1/traces"),
        ("https://here/otlp/v1/traces", {}, "https://here/otlp/v1/traces"),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://there:4318"}, "http://there:4318/v1/traces"),
        (None, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://there/exactly"}, "http://there/exactly"),
        (
            None,
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a/exactly", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://b"},
            "http://a/exactly",
        ),
        ("http://here", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://there/exactly"}, "http://here/v1/traces"),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, None),
    ],
)
def test_spans_go_where_the_setting_or_else_opentelemetrys_own_variable_says(
    endpoint: str | None, environ: dict[str, str], expected: str | None
):
    assert address(TracingSettings(endpoint=endpoint), environ) == expected


def test_without_an_address_nothing_is_traced():
    assert open_tracing(TracingSettings(), {}) is None
    assert open_tracing(TracingSettings(endpoint=DEAD), {"OTEL_SDK_DISABLED": "true"}) is None


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("VOICE_AGENT_TRACING__ENDPOINT", "localhost:4318", "tracing.endpoint = 'localhost:4318' (environment)"),
        ("VOICE_AGENT_TRACING__HEADERS", "x-api-key: s3cret", "expected name=value pairs"),
        ("VOICE_AGENT_TRACING__CONTENT", "maybe", "tracing.content = 'maybe' (environment)"),
    ],
)
def test_a_bad_setting_is_named_and_no_secret_shown(variable: str, value: str, words: str):
    with pytest.raises(SettingsError) as caught:
        load_settings(env_file=None, environ={variable: value})
    assert words in str(caught.value)
    assert "s3cret" not in str(caught.value)


def a_span(provider: TracerProvider, **attributes: Any) -> None:
    with (
        pytest.raises(ValueError),
        provider.get_tracer("test").start_as_current_span("llm", attributes=attributes),
    ):
        raise ValueError("you said: my secret")


def sent_by(collector: Collector, *, content: bool, headers: str | None = None, **attributes: Any) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    where = f"{collector.url}/v1/traces"
    provider.add_span_processor(SimpleSpanProcessor(_Exporter(otlp_exporter(where, headers), where, content=content)))
    a_span(provider, **attributes)
    provider.shutdown()


SAID: dict[str, Any] = {
    "input": '[{"role": "user", "content": "my secret"}]',
    "output": "my secret",
    "transcript": "my secret",
    "text": "my secret",
    "gen_ai.system_instructions": "my secret",
    "settings.hotwords": "my secret",
    "something.newer": ["my secret"],
}
UNSAID: dict[str, Any] = {"gen_ai.request.model": "echo", "metrics.ttfb": 0.25, "is_final": True}


def test_what_was_said_stays_in_the_house(collector: Collector):
    sent_by(collector, content=False, **SAID, **UNSAID)
    (span,) = collector.spans
    assert span.attributes == UNSAID
    assert span.events == [{"exception.type": "ValueError"}]
    assert b"secret" not in collector.raw
    assert span.end > span.start > 0


def test_what_was_said_goes_along_where_the_owner_wants_it(collector: Collector):
    sent_by(collector, content=True, headers="x-api-key=a%20key,x-more=1", **SAID, **UNSAID)
    (span,) = collector.spans
    assert set(span.attributes) == {*SAID, *UNSAID}
    assert span.attributes["transcript"] == "my secret"
    assert collector.paths == {"/v1/traces"}
    assert (collector.headers[0]["x-api-key"], collector.headers[0]["x-more"]) == ("a key", "1")


async def test_a_turns_stages_are_spans_at_their_times(collector: Collector, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("opentelemetry.trace.set_tracer_provider", lambda _: None)
    where = f"{collector.url}/v1/traces"
    tracing = Tracing(otlp_exporter(where, None), where, TracingSettings(service_name="desk"))
    timeline = Timeline(vad_ms=(0, 200), stt_ms=(80, 350))
    tracing.answered(None, TurnLatency(3, 700, Stages(vad_ms=200, stt_ms=150), timeline, spoke_until=UNIX))
    await tracing.close()
    (whole,) = collector.named("voice to voice")
    assert whole.attributes == {"turn.answer": 3, "added.vad_ms": 200, "added.stt_ms": 150}
    assert whole.resource["service.name"] == "desk"
    assert [(whole.start - UNIX * 1e9) / 1e6, (whole.end - UNIX * 1e9) / 1e6] == pytest.approx([0, 700], abs=0.01)
    (stt,) = collector.named("wait: stt")
    assert stt.parent_id == whole.span_id
    assert [(stt.start - UNIX * 1e9) / 1e6, (stt.end - UNIX * 1e9) / 1e6] == pytest.approx([80, 350], abs=0.01)
    assert {span.name for span in collector.spans} == {"voice to voice", "wait: vad", "wait: stt"}


async def test_a_collector_that_is_gone_costs_spans_only(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("opentelemetry.trace.set_tracer_provider", lambda _: None)
    monkeypatch.setattr("agent.spans.CLOSE_SECS", 0.3)
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "64")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
    tracing = Tracing(otlp_exporter(f"{DEAD}/v1/traces", None), DEAD, TracingSettings())
    (processor,) = tracing.provider._active_span_processor._span_processors
    assert isinstance(processor, BatchSpanProcessor)
    latency = TurnLatency(1, 700, Stages(vad_ms=200), Timeline(vad_ms=(0, 200)), spoke_until=UNIX)
    for _ in range(200):
        tracing.answered(None, latency)
    assert len(processor._batch_processor._queue) <= 64
    turns = 0

    async def loop_runs() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.01)

    running = asyncio.create_task(loop_runs())
    began_at = time.monotonic()
    await tracing.close()
    running.cancel()
    # The loop was not held meanwhile, and the end was not put off.
    assert time.monotonic() - began_at < 5
    assert turns > 5
