"""The Prometheus metrics of the API process."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

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


@dataclass(frozen=True)
class WaitingNow:
    """Who waits, at one moment.

    Attributes:
        people: how many people have waited for too long, by what they wait for.
        seconds: how long the first of them has waited; 0 if there are none.
        healed: how many people had waited for a minute, ever, so that PROFILE asked again by itself.
    """

    people: Mapping[str, int]
    seconds: float
    healed: int


class Waiting(Collector):
    """Metrics of people who wait. They are Redis's, not this process's: `now` is what Redis answered last."""

    def __init__(self) -> None:
        self.now: WaitingNow | None = None

    def collect(self) -> Iterator[Metric]:
        """Nothing while Redis does not answer: 0 would say that all is well."""
        now = self.now
        if now is None:
            return
        people = GaugeMetricFamily(
            "cdp_people_waiting", "People who have waited for more than five seconds, by what they wait for.", labels=["for"]
        )
        for kind in ("part", "range", "facts", "unknown"):
            people.add_metric([kind], now.people.get(kind, 0))
        yield people
        yield GaugeMetricFamily("cdp_people_waiting_seconds", "How long the first of these people has waited.", now.seconds)
        yield CounterMetricFamily("cdp_people_healed", "People for whom PROFILE asked again after a minute.", now.healed)


waiting = Waiting()
REGISTRY.register(waiting)


@lru_cache(maxsize=1024)
def _count(route: str, status: int) -> Counter:
    return requests.labels(route, str(status))


def count_request(route: str, status: int) -> None:
    """Count an answered request; cheap enough for the hot path."""
    _count(route, status).inc()
