"""The connections of the API process, made at its start and closed at its end."""

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar, cast

from clickhouse_connect.driver.client import Client
from fastapi import Request

from cdp import clickhouse, kafka, redis
from cdp.clock import Clock
from cdp.errors import CdpError, Unavailable
from cdp.keyring import path_of
from cdp.settings import Settings
from cdp.topics import Names
from cdp.wall_clock import wall_clock
from serving.collect.publish import KafkaPublisher
from serving.collect.spool import FOLDER, SafePublisher, Spool
from serving.definitions.cache import Credentials
from serving.definitions.credentials import find
from serving.identity.live import LiveRules
from serving.rules.announce import announce
from serving.rules.live import LiveBook
from serving.sealing import Sealing

log = logging.getLogger(__name__)

T = TypeVar("T")
COUNT_SECONDS = 0.5
MAX_QUERIES = 8  # threads of their own: slow queries must not keep collect from looking up its write keys
MAX_CHECKS = 4
PRODUCE_MS = 5_000  # SDKs wait 10 s and more for an answer: the spool must have it before they give up
LINGER_MS = 1  # the records of a group come within that time; waiting for more is done by grouping


@dataclass
class Parts:
    """What services need: settings, names, clock, credentials, keyring, clients, and the rules in force."""

    settings: Settings
    names: Names
    clock: Clock
    credentials: Credentials
    redis: Any
    publisher: SafePublisher
    sealing: Sealing
    identity: LiveRules
    rules: LiveBook
    _threads: threading.local = field(default_factory=threading.local)
    _queries: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(MAX_QUERIES, "clickhouse"))
    _checks: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(MAX_CHECKS, "check"))

    @classmethod
    def start(cls, settings: Settings, clock: Clock = wall_clock) -> "Parts":
        """Make the clients; call inside the running loop. Kafka, Redis and ClickHouse may still be away.

        Raises CdpError if the keyring is of no use.
        """
        sealing = Sealing(path_of(settings))
        loop = asyncio.get_running_loop()
        names, to_redis = Names(settings.topic_prefix), redis.connect_async(settings.redis_url)
        to_kafka = KafkaPublisher(
            lambda on_error: kafka.producer(
                settings.kafka_servers, client_id="cdp-collect", linger_ms=LINGER_MS, delivery_timeout_ms=PRODUCE_MS,
                report_errors_only=True, on_error=on_error,
            ),
            loop,
        )  # fmt: skip
        return cls(
            settings=settings,
            names=names,
            clock=clock,
            credentials=Credentials(settings),
            redis=to_redis,
            sealing=sealing,
            publisher=SafePublisher(to_kafka, Spool(settings.data_dir / FOLDER, settings.spool_max_bytes)),
            identity=LiveRules(settings, names, to_redis),
            rules=LiveBook(settings, names, to_redis, partial(announce, settings)),
        )

    async def stop(self) -> None:
        """Wait for what the broker has not acknowledged, then close."""
        await self.publisher.close()
        await self.redis.aclose()
        self._queries.shutdown(wait=False, cancel_futures=True)
        self._checks.shutdown(wait=False, cancel_futures=True)

    async def clickhouse(self, use: Callable[[Client], T]) -> T:
        """Run a function with this thread's ClickHouse client, in a thread. Raises Unavailable if nobody answers."""
        return await asyncio.get_running_loop().run_in_executor(self._queries, self._with_client, use)

    async def check(self, ask: Callable[[], T]) -> T:
        """Run a blocking question to a part in a thread kept for that."""
        return await asyncio.get_running_loop().run_in_executor(self._checks, ask)

    def reach_definitions(self) -> None:
        """Read something from the definitions. Raises if they do not answer."""
        find(self.settings, "")

    def _with_client(self, use: Callable[[Client], T]) -> T:
        client = getattr(self._threads, "client", None)
        if client is None:
            client = self._threads.client = clickhouse.connect(self.settings)
        try:
            return use(client)
        except CdpError:
            raise
        except Exception as error:
            self._threads.client = None
            first_line = (str(error).splitlines() or [""])[0][:300]
            log.warning("a ClickHouse query failed: %s", first_line)
            raise Unavailable(f"ClickHouse did not answer the query: {first_line}.", "Try again later; see /readyz.") from error

    async def count_rejected(self, reason: str, count: int = 1) -> None:
        """Add to the ledger's count of what was rejected. Never raises: the sender gets an answer in any case."""
        try:
            await asyncio.wait_for(self.redis.hincrby(self.names.rejected_key, reason, count), COUNT_SECONDS)
        except Exception as error:  # whatever is wrong with Redis, the refusal must reach the sender
            log.error("a rejected request (%s) could not be counted in Redis: %s", reason, error)


def parts_of(request: Request) -> Parts:
    """The process's parts, as a FastAPI dependency."""
    return cast(Parts, request.app.state.parts)
