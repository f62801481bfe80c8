"""What a server counts, in the format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counters of one server.

    Args:
        waiting: says how many images wait now.
    """

    def __init__(self, waiting: Callable[[], float]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "headstart_requests", "Requests by path and status.", ["path", "status"], registry=self.registry
        )
        self.images = Counter(
            "headstart_images", "Images by outcome: predicted, unreadable.", ["outcome"], registry=self.registry
        )
        self.classes = Counter("headstart_predictions", "Predictions by class.", ["label"], registry=self.registry)
        self.seconds = Histogram(
            "headstart_request_seconds",
            "Time from a request's arrival to its answer.",
            buckets=SECONDS,
            registry=self.registry,
        )
        Gauge("headstart_waiting_images", "Images that wait.", registry=self.registry).set_function(waiting)

    def text(self) -> bytes:
        """Return all figures as Prometheus reads them."""
        return generate_latest(self.registry)
