"""The Prometheus metrics of the API process."""

from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]

REGISTRY = CollectorRegistry()

LATENCIES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)

requests = Counter("cdp_http_requests", "Requests, by route and status.", ["route", "status"], registry=REGISTRY)
accepted = Counter("cdp_collect_events_accepted", "Events that the broker took.", registry=REGISTRY)
dead_lettered = Counter(
    "cdp_collect_events_dead_lettered", "Events kept as dead letters, by reason.", ["reason"], registry=REGISTRY
)
rejected = Counter("cdp_collect_requests_rejected", "Requests refused as a whole, by reason.", ["reason"], registry=REGISTRY)
produce_seconds = Histogram(
    "cdp_collect_produce_seconds", "From the first record of a request to the broker's last acknowledgement.",
    buckets=LATENCIES, registry=REGISTRY,
)  # fmt: skip
ledger = Gauge("cdp_ledger_events", "The ledger, by entry; difference is what is still on its way.", ["entry"], registry=REGISTRY)


@lru_cache(maxsize=1024)
def _count(route: str, status: int) -> Counter:
    return requests.labels(route, str(status))


def count_request(route: str, status: int) -> None:
    """Count an answered request; cheap enough for the hot path."""
    _count(route, status).inc()
