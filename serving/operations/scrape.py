"""The text that Prometheus reads, with the ledger in it."""

import asyncio
import logging
from dataclasses import asdict

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from cdp.clock import SECOND
from cdp.errors import Unavailable
from serving import metrics
from serving.operations.ledger import gather
from serving.parts import Parts

log = logging.getLogger(__name__)

LEDGER_EVERY = 15 * SECOND
DEADLINE = 5.0

__all__ = ["CONTENT_TYPE_LATEST", "Scraper"]


class Scraper:
    """Renders the metrics; counts the ledger at most every 15 seconds."""

    def __init__(self) -> None:
        self._counted = 0

    async def text(self, parts: Parts) -> bytes:
        """All metrics. Without Kafka, Redis or ClickHouse the ledger's are simply missing."""
        if parts.clock() - self._counted >= LEDGER_EVERY:
            self._counted = parts.clock()
            try:
                ledger = await asyncio.wait_for(parts.clickhouse(lambda client: gather(parts.settings, client)), DEADLINE)
                for entry, value in asdict(ledger).items():
                    metrics.ledger.labels(entry).set(int(value))
            except (Unavailable, TimeoutError) as error:
                metrics.ledger.clear()
                log.warning("the ledger could not be counted for the metrics: %s", error)
        return generate_latest(metrics.REGISTRY)
