"""What Prometheus sees of every service."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest


class ServiceMetrics:
    """A service's metrics, in a registry of their own so that several services may live in one process."""

    def __init__(self, name: str, *, queue: str):
        """
        Args:
            name: In the metrics' names, e.g. `asr`.
            queue: What the size of the queue counts, for people.
        """
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.connections = Gauge(f"voice_{name}_connections", "WebSocket connections that are open.", registry=registry)
        self.queue = Gauge(f"voice_{name}_queue_size", queue, registry=registry)
        self.refused = Counter(f"voice_{name}_refused", "Refusals, by code.", ["code"], registry=registry)

    def follow(self, *, queue: Callable[[], float], connections: Callable[[], float]) -> None:
        """Have the gauges ask for what they show."""
        self.queue.set_function(queue)
        self.connections.set_function(connections)

    def exposition(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self.registry)
