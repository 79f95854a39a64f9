"""What Prometheus sees at `/metrics` of the speech-to-text service."""

from prometheus_client import Counter, Histogram

from engines.protocol import Transcript
from services.common.metrics import ServiceMetrics

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0)
BATCHES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)


class Metrics(ServiceMetrics):
    """The service's metrics."""

    def __init__(self) -> None:
        super().__init__("asr", queue="Requests that the engine has not answered.")
        registry = self.registry
        self.requests = Counter(
            "voice_asr_requests",
            "Utterances and files, by way in (stream, file) and outcome.",
            ["way", "outcome"],
            registry=registry,
        )
        self.partials = Counter("voice_asr_partials", "Partials, sent or dropped.", ["outcome"], registry=registry)
        self.gates = Counter("voice_asr_gates", "Transcripts emptied by a gate, by gate.", ["gate"], registry=registry)
        self.audio_secs = Counter("voice_asr_audio_seconds", "Audio transcribed.", ["kind"], registry=registry)
        self.batch_size = Histogram(
            "voice_asr_batch_size", "Utterances in the batch of each answer.", buckets=BATCHES, registry=registry
        )
        self.latency = Histogram(
            "voice_asr_latency_seconds",
            "Time of each answer that was not a partial, by part: queue, features, encode, decode, total.",
            ["part"],
            buckets=SECONDS,
            registry=registry,
        )

    def transcribed(self, transcript: Transcript, total_secs: float, *, partial: bool) -> None:
        """Record an answer of the engine."""
        self.audio_secs.labels("partial" if partial else "final").inc(transcript.audio_secs)
        self.batch_size.observe(transcript.batch_size)
        if partial:
            return
        if transcript.gate:
            self.gates.labels(transcript.gate).inc()
        for part in ("queue", "features", "encode", "decode"):
            self.latency.labels(part).observe(getattr(transcript, f"{part}_secs"))
        self.latency.labels("total").observe(total_secs)
