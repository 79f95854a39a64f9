"""OpenTelemetry: Pipecat's spans of calls, turns and services, and those of a turn's latency, to a collector.

Spans are handed to a queue of bounded length and leave on a thread of its own. A collector that is slow or down costs
spans, never a call.
"""

import asyncio
import importlib.metadata
import logging
import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from loguru import logger
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, set_span_in_context
from opentelemetry.util.re import parse_env_headers

from configs.settings import TracingSettings
from processors.latency import ORDER, Interval, TurnLatency

if TYPE_CHECKING:
    from opentelemetry.util.types import Attributes

EXPORT_SECS = 5.0
"""Longest time for one batch, attempts after a failure included."""

CLOSE_SECS = 2.0
"""How long the end of the process waits for the last spans to leave."""

TEXTS = frozenset(
    {
        "conversation.id",
        "conversation.type",
        "turn.type",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.operation.name",
        "gen_ai.output.type",
        "settings.model",
        "settings.voice",
        "settings.language",
        "language",
        "voice_id",
        "exception.type",
    }
)
"""Attributes whose text nobody said. All other text stays in the house unless `tracing.content` is on, what a later
Pipecat may add included."""


def otlp_exporter(where: str, headers: str | None) -> SpanExporter:
    """OTLP over HTTP to an address, with headers written as `name=value,name=value`."""
    # It tells each failed attempt, with what the collector answered; `_Exporter` tells once, and less.
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
    timeout = None if os.environ.get("OTEL_EXPORTER_OTLP_TIMEOUT") else EXPORT_SECS
    return OTLPSpanExporter(
        endpoint=where, headers=dict(parse_env_headers(headers, liberal=True)) if headers else None, timeout=timeout
    )


class Tracing:
    """The tracing of the process. There is one: Pipecat finds it as OpenTelemetry's global provider."""

    def __init__(self, exporter: SpanExporter, where: str, settings: TracingSettings):
        """
        Args:
            exporter: What sends spans; it is closed with this.
            where: The collector's address, for the log.
            settings: The service's name, and whether what was said goes along.
        """
        self._exporter = exporter
        # `create` also takes what OpenTelemetry's own variables say of the service.
        named = {SERVICE_NAME: settings.service_name} if settings.service_name else {}
        resource = Resource.create({SERVICE_VERSION: importlib.metadata.version("voice-agent"), **named})
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "voice-agent"}))
        self.provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self.provider.add_span_processor(BatchSpanProcessor(_Exporter(exporter, where, content=settings.content)))
        trace.set_tracer_provider(self.provider)
        self._tracer = self.provider.get_tracer("voice-agent")
        logger.info(f"calls are traced to {where}" + (", with what is said" if settings.content else ""))

    def answered(self, turn: SpanContext | None, latency: TurnLatency) -> None:
        """A span of the turn's latency with one for each stage, as children of the turn's own."""
        parent = set_span_in_context(NonRecordingSpan(turn)) if turn is not None else None
        added = {f"added.{name}": value for name in ORDER if (value := getattr(latency.stages, name)) is not None}
        attributes: dict[str, Any] = {"turn.answer": latency.turn, **added}
        whole = self._tracer.start_span(
            "voice to voice", parent, start_time=_nanoseconds(latency, 0.0), attributes=attributes
        )
        inside = set_span_in_context(whole)
        for name in ORDER:
            interval: Interval | None = getattr(latency.timeline, name)
            if interval is not None:
                start, end = (_nanoseconds(latency, at_ms) for at_ms in interval)
                self._tracer.start_span(f"wait: {name.removesuffix('_ms')}", inside, start_time=start).end(end)
        whole.end(_nanoseconds(latency, latency.voice_to_voice_ms))

    async def close(self) -> None:
        """Send what is queued, for `CLOSE_SECS` at most."""
        # Not the loop's executor: that one would wait for a collector that hangs.
        done = asyncio.Event()
        loop = asyncio.get_running_loop()

        def shut_down() -> None:
            self.provider.shutdown()
            if not loop.is_closed():
                loop.call_soon_threadsafe(done.set)

        threading.Thread(target=shut_down, name="tracing-close", daemon=True).start()
        try:
            async with asyncio.timeout(CLOSE_SECS):
                await done.wait()
        except TimeoutError:
            logger.warning("the last spans could not be sent in time")
            self._exporter.shutdown()


def _nanoseconds(latency: TurnLatency, at_ms: float) -> int:
    return int((latency.spoke_until + at_ms / 1000) * 1e9)


class _Exporter(SpanExporter):
    """Takes out what was said, and tells once when the collector goes away and when it is back."""

    def __init__(self, exporter: SpanExporter, where: str, *, content: bool):
        self._exporter = exporter
        self._where = where
        self._content = content
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans if self._content else [without_content(span) for span in spans])
        failing = result is not SpanExportResult.SUCCESS
        if failing and not self._failing:
            logger.warning(f"spans cannot be sent to {self._where}; they are dropped until they can")
        elif self._failing and not failing:
            logger.info(f"spans reach {self._where} again")
        self._failing = failing
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def without_content(span: ReadableSpan) -> ReadableSpan:
    """The span without any text that a caller, the brain or a setting of the owner's may have put into it."""
    return ReadableSpan(
        name=span.name,
        context=span.get_span_context(),
        parent=span.parent,
        resource=span.resource,
        attributes=_named_only(span.attributes),
        events=[Event(event.name, _named_only(event.attributes), event.timestamp) for event in span.events],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _named_only(attributes: "Attributes") -> dict[str, Any]:
    return {
        name: value
        for name, value in (attributes or {}).items()
        if name in TEXTS or isinstance(value, (bool, int, float))
    }
