"""Whether calls are traced. Unless they are, nothing of OpenTelemetry's SDK is loaded."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from configs.settings import TracingSettings

if TYPE_CHECKING:
    from agent.spans import Tracing

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""OpenTelemetry's own variables, each of which turns tracing on: the exact address, and the base of it."""

PATH = "/v1/traces"


def open_tracing(settings: TracingSettings, environ: Mapping[str, str] = os.environ) -> "Tracing | None":
    """Begin to trace, for the whole process; None where no collector is set.

    The other variables of OpenTelemetry's exporter, sampler and batches (`OTEL_…`) hold, too.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    where = address(settings, environ)
    if where is None:
        return None
    from agent.spans import Tracing, otlp_exporter

    headers = settings.headers.get_secret_value() if settings.headers else None
    return Tracing(otlp_exporter(where, headers), where, settings)


def address(settings: TracingSettings, environ: Mapping[str, str]) -> str | None:
    """Where spans are posted to. The setting is a base, as the second of the variables is."""
    base = settings.endpoint or (None if environ.get(ENDPOINTS[0]) else environ.get(ENDPOINTS[1]))
    if not base:
        return environ.get(ENDPOINTS[0]) or None
    base = base.rstrip("/")
    return base if base.endswith(PATH) else base + PATH
