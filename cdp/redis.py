"""The one place where Redis clients are made: with timeouts, and without hidden retries."""

import redis
import redis.asyncio as aioredis
from redis.backoff import NoBackoff
from redis.retry import Retry


def connect(url: str) -> "redis.Redis[bytes]":
    """A client that returns bytes and never waits longer than two seconds for an answer."""
    return redis.Redis.from_url(
        url, socket_timeout=2, socket_connect_timeout=1, health_check_interval=15, retry=Retry(NoBackoff(), 0)
    )


def connect_async(url: str) -> "aioredis.Redis[bytes]":
    """The same, for asyncio."""
    return aioredis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=1, health_check_interval=15)
