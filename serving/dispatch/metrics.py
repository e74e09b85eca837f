"""The Prometheus metrics of the dispatcher, on a port of their own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()

LATENCIES = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60)

deliveries = Counter("cdp_deliveries", "Attempts, by channel and outcome.", ["channel", "status"], registry=REGISTRY)
repeated = Counter("cdp_actions_repeated", "Actions that came again and were not sent again.", registry=REGISTRY)
seconds = Histogram(
    "cdp_delivery_seconds", "From receipt of the event to its delivery.", ["channel"], buckets=LATENCIES, registry=REGISTRY
)  # fmt: skip
in_flight = Gauge("cdp_actions_in_flight", "Actions being delivered or waiting for a retry.", registry=REGISTRY)
