"""What Prometheus sees at `/metrics`."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from processors.latency import ORDER, Interval, TurnLatency
from transports.jitter import WireCounts

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)


class Metrics:
    """The agent's metrics, in a registry of their own so that several servers may live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.calls_now = Gauge("voice_agent_calls", "Calls that are running.", registry=self.registry)
        self.calls = Counter("voice_agent_calls_started", "Calls ever begun.", registry=self.registry)
        self.calls_ended = Counter(
            "voice_agent_calls_ended", "Calls that ended, by reason.", ["reason"], registry=self.registry
        )
        self.refused = Counter(
            "voice_agent_requests_refused", "Requests refused, by kind.", ["kind"], registry=self.registry
        )
        self.errors = Counter("voice_agent_errors", "Errors inside calls, by kind.", ["kind"], registry=self.registry)
        self.turns = Counter("voice_agent_turns", "Turns answered.", registry=self.registry)
        self.interruptions = Counter(
            "voice_agent_interruptions", "Answers that the caller interrupted.", registry=self.registry
        )
        self.call_secs = Histogram(
            "voice_agent_call_duration_seconds",
            "Length of calls.",
            buckets=(5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600),
            registry=self.registry,
        )
        self.voice_to_voice = Histogram(
            "voice_agent_voice_to_voice_seconds",
            "From the caller's last word to the agent's first sound, at the agent.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.stage = Histogram(
            "voice_agent_stage_seconds",
            "What each stage added to voice-to-voice; work that others hid counts 0.",
            ["stage"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.stage_work = Histogram(
            "voice_agent_stage_work_seconds",
            "How long each stage worked, alone or beside others.",
            ["stage"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.wire_packets = Counter(
            "voice_agent_wire_packets",
            "Packets of the callers' sound, by what came of them; `recovered` and `late` ones are `lost` ones, too.",
            ["outcome"],
            registry=self.registry,
        )
        self.wire_filled = Counter(
            "voice_agent_wire_filled_seconds",
            "Sound of callers that was made up, for losses and pauses of the sender.",
            registry=self.registry,
        )
        self.wire_wait = Histogram(
            "voice_agent_wire_wait_seconds",
            "How long a missing packet was waited for, as of each turn.",
            buckets=(0.01, 0.02, 0.03, 0.05, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5),
            registry=self.registry,
        )

    def wire(self, counts: WireCounts, wait_secs: float) -> None:
        """Record what came of a caller's packets since the last time."""
        for outcome in ("received", "lost", "recovered", "late", "duplicates"):
            self.wire_packets.labels(outcome).inc(getattr(counts, outcome))
        self.wire_filled.inc(counts.filled_secs)
        self.wire_wait.observe(wait_secs)

    def turn(self, latency: TurnLatency) -> None:
        """Record an answered turn."""
        self.turns.inc()
        self.voice_to_voice.observe(latency.voice_to_voice_ms / 1000)
        for name in ORDER:
            stage = name.removesuffix("_ms")
            added_ms: float | None = getattr(latency.stages, name)
            worked: Interval | None = getattr(latency.timeline, name)
            if added_ms is not None:
                self.stage.labels(stage).observe(added_ms / 1000)
            if worked is not None:
                self.stage_work.labels(stage).observe((worked[1] - worked[0]) / 1000)

    def exposition(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self.registry)
