"""Figures of the running service, as Prometheus reads them: no name, no key, no photo."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from visavis.serve.doorman import Served
from visavis.serve.service import Service

METHODS = frozenset({"GET", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS"})
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8)


class Figures:
    """What is counted of one service."""

    def __init__(self, service: Service) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "visavis_requests", "answered", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "visavis_request_seconds", "until answered", ["route"], buckets=SECONDS,
            registry=registry,
        )  # fmt: skip
        for name, (words, value) in _watched(service).items():
            Gauge(f"visavis_{name}", words, registry=registry).set_function(value)

    def count(self, served: Served) -> None:
        """Count an answered request."""
        method = served.method if served.method in METHODS else "other"
        self._requests.labels(method, served.route, served.status).inc()
        self._seconds.labels(served.route).observe(served.seconds)

    def text(self) -> bytes:
        """All figures, in Prometheus's text format."""
        return generate_latest(self._registry)


def _watched(service: Service) -> dict[str, tuple[str, Callable[[], float]]]:
    """What is looked up when it is asked for: in words, and how."""
    budget, desk = service.budget, service.desk
    return {
        "inference_slots": ("networks that may run at once", lambda: budget.slots),
        "inference_active": ("networks that run", lambda: budget.active),
        "inference_waiting": ("calls that wait for a core", lambda: budget.waiting),
        "inference_peak": ("most networks at once so far", lambda: budget.peak),
        "queue_places": ("forms that may arrive, wait or be worked on", lambda: desk.places),
        "queue_taken": ("forms that arrive, wait or are worked on", lambda: desk.taken),
        "queue_refused": ("requests refused as the queue was full", lambda: desk.refused),
        "decoders_replaced": (
            "decoding processes that died or took too long",
            lambda: service.decoders.replaced,
        ),
        "webhooks_waiting": ("events that webhooks are still to be told", service.outbox.waiting),
        "arriving_bytes": ("of requests that are being read", lambda: service.bodies.held),
    }
