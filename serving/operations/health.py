"""Is everything there that the API needs? Each part is asked at once, with a deadline."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

from pydantic import BaseModel, Field

from serving.parts import Parts

DEADLINE = 2.0


class PartHealth(BaseModel):
    """One part's answer."""

    ok: bool
    ms: float = Field(description="How long the answer took.")
    error: str | None = None


class Readiness(BaseModel):
    """Ready only if every part is."""

    ready: bool
    parts: dict[str, PartHealth]


async def readiness(parts: Parts) -> Readiness:
    """Ask Kafka, Redis, ClickHouse and the definitions; never raises and takes little more than the deadline."""
    asked: dict[str, Awaitable[Any]] = {
        "kafka": parts.check(lambda: parts.publisher.kafka.reach(DEADLINE)),
        "redis": parts.redis.ping(),
        "clickhouse": parts.clickhouse(lambda client: client.command("SELECT 1")),
        "definitions": parts.check(parts.reach_definitions),
    }
    answers = await asyncio.gather(*(_ask(awaitable) for awaitable in asked.values()))
    named = dict(zip(asked, answers, strict=True))
    return Readiness(ready=all(answer.ok for answer in answers), parts=named)


async def _ask(awaitable: Awaitable[Any]) -> PartHealth:
    started = time.perf_counter()
    error: str | None = None
    try:
        await asyncio.wait_for(awaitable, DEADLINE)
    except TimeoutError:
        error = f"no answer in {DEADLINE:g} s"
    except Exception as problem:
        error = (str(problem).splitlines() or [type(problem).__name__])[0][:200] or type(problem).__name__
    return PartHealth(ok=error is None, ms=round((time.perf_counter() - started) * 1000, 1), error=error)
