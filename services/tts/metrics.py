"""What Prometheus sees at `/metrics` of the text-to-speech service."""

import re
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from services.common.metrics import ServiceMetrics
from services.tts.account import Account

FIRST_SECONDS = (0.02, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0)
FACTORS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0, 5.0)


class Metrics(ServiceMetrics):
    """The service's metrics."""

    def __init__(self) -> None:
        super().__init__("tts", queue="Streams and files that have text and no sound yet.")
        registry = self.registry
        self.speaking = Gauge("voice_tts_speaking", "Streams and files that are being spoken.", registry=registry)
        self.requests = Counter(
            "voice_tts_requests",
            "Streams and files, by way in (stream, file) and outcome.",
            ["way", "outcome"],
            registry=registry,
        )
        self.chars = Counter("voice_tts_characters", "Characters that were to be spoken.", ["way"], registry=registry)
        self.audio_secs = Counter("voice_tts_audio_seconds", "Sound that was made.", ["way"], registry=registry)
        self.first_audio = Histogram(
            "voice_tts_first_audio_seconds",
            "From the first piece of text to the first sound.",
            ["way"],
            buckets=FIRST_SECONDS,
            registry=registry,
        )
        self.real_time_factor = Histogram(
            "voice_tts_real_time_factor",
            "Time the engine took for a second of sound, of what was written before it was spoken.",
            ["way"],
            buckets=FACTORS,
            registry=registry,
        )
        self.underruns = Counter(
            "voice_tts_underruns", "Times that a listener would have run out of sound.", registry=registry
        )
        self.underrun_secs = Counter(
            "voice_tts_underrun_seconds", "For how long listeners would have waited.", registry=registry
        )

    def show_stats(self, stats: Callable[[], Mapping[str, object]]) -> None:
        """Show what the engine tells of itself, asked at each scrape."""
        self.registry.register(_Stats(stats))

    def spoken(self, way: str, outcome: str, account: Account, *, live: bool) -> None:
        """Record a stream or file that has ended, however it did."""
        self.requests.labels(way, outcome).inc()
        self.chars.labels(way).inc(account.script.chars)
        self.audio_secs.labels(way).inc(account.audio_secs)
        if account.first_audio_secs is not None:
            self.first_audio.labels(way).observe(account.first_audio_secs)
        if outcome == "ok" and account.real_time_factor is not None:
            self.real_time_factor.labels(way).observe(account.real_time_factor)
        if live:
            self.underruns.inc(account.underruns)
            self.underrun_secs.inc(account.underrun_secs)


class _Stats(Collector):
    def __init__(self, stats: Callable[[], Mapping[str, object]]):
        self._stats = stats

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """A gauge for each number."""
        for key, value in self._stats().items():
            if isinstance(value, int | float):
                name = "voice_tts_engine_" + re.sub(r"\W", "_", key, flags=re.ASCII)
                yield GaugeMetricFamily(name, f"The engine's own: {key}.", value=float(value))

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing: the engine need not be asked when this is registered."""
        return []
