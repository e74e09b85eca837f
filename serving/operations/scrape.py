"""The text that Prometheus reads, with the ledger and the people who wait in it."""

import asyncio
import logging
from functools import partial

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.exceptions import RedisError

from cdp import redis
from cdp.clock import SECOND
from cdp.errors import Unavailable
from cdp.settings import Settings
from cdp.topics import Names
from serving import metrics
from serving.operations.ledger import gather
from serving.parts import Parts
from serving.waiters import read_waiters, seconds_until

log = logging.getLogger(__name__)

LEDGER_EVERY = 15 * SECOND
DEADLINE = 5.0
READ = 100  # people who wait whose profiles are read at a scrape; the others count under "unknown"

__all__ = ["CONTENT_TYPE_LATEST", "Scraper"]


class Scraper:
    """Renders the metrics; counts the ledger at most every 15 seconds."""

    def __init__(self) -> None:
        self._counted = 0

    async def text(self, parts: Parts) -> bytes:
        """All metrics. What Kafka, Redis or ClickHouse do not tell is simply missing."""
        await asyncio.gather(self._count(parts), _find_waiters(parts))
        return generate_latest(metrics.REGISTRY)

    async def _count(self, parts: Parts) -> None:
        if parts.clock() - self._counted < LEDGER_EVERY:
            return
        self._counted = parts.clock()
        try:
            ledger = await asyncio.wait_for(parts.clickhouse(lambda client: gather(parts.settings, client)), DEADLINE)
            for entry, value in ledger.entries.items():
                metrics.ledger.labels(entry).set(value)
        except (Unavailable, TimeoutError) as error:
            metrics.ledger.clear()
            log.warning("the ledger could not be counted for the metrics: %s", error)


async def _find_waiters(parts: Parts) -> None:
    try:
        read = parts.check(partial(waiting_now, parts.settings, parts.clock()))
        metrics.waiting.now = await asyncio.wait_for(read, DEADLINE)
    except (RedisError, OSError, TimeoutError) as error:
        metrics.waiting.now = None
        log.warning("who waits could not be read for the metrics: %s", error)


def waiting_now(settings: Settings, now: int) -> metrics.WaitingNow:
    """Who waits at a moment (in microseconds), as Redis has it. Blocks. Raises RedisError."""
    client, names = redis.connect(settings.redis_url), Names(settings.topic_prefix)
    try:
        waiters = read_waiters(client, names, settings.partitions, now, READ)
        healed = int(client.get(names.healed_key) or 0)
    finally:
        client.close()
    return metrics.WaitingNow(waiters.by_kind(), seconds_until(now, waiters.since) if waiters.count else 0.0, healed)
