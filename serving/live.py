"""What the collector and the API heed while they run: documents as they are edited, and the keyring."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from serving.collect.finish import Finish
from serving.collect.quick import Quick
from serving.parts import Parts
from serving.plan.police import Police
from serving.plan.violations import Violations
from serving.traffic.live import Enrichment

log = logging.getLogger(__name__)

SECONDS = 0.4


@asynccontextmanager
async def live_finish(parts: Parts) -> AsyncIterator[tuple[Finish, Quick]]:
    """The collector's last step, and its short cut, kept up to date in the background: no request waits for the definitions."""
    settings = parts.settings
    sealing = parts.sealing
    violations = Violations(parts.names, parts.redis, parts.clock, sealing.sealer)
    police = Police(settings, violations.record)
    enrichment = Enrichment(settings, settings.geoip, settings.ip_mode)
    finish = Finish(
        parts.names.events, parts.names.items, settings.max_event_bytes, sealing.sealer, enrichment, police.current,
        lambda: parts.identity.rules.matching is not None, lambda: parts.identity.rules,
    )  # fmt: skip
    quick = Quick(finish)

    async def refresh() -> None:
        if sealing.refresh():
            quick.forget()
            log.info("the keyring was rotated")
        await police.refresh()
        await parts.rules.refresh()
        await parts.identity.refresh()
        if sealing.follow(parts.identity.rules):
            quick.forget()
        if await enrichment.refresh():
            quick.forget()

    await refresh()
    violations.start()
    tasks = [
        asyncio.create_task(_again_and_again(refresh, "definitions or keyring could not be refreshed")),
        # Apart from the others: it waits for Kafka.
        asyncio.create_task(_again_and_again(parts.rules.keep_published, "the book of rules could not be published")),
    ]
    try:
        yield finish, quick
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await violations.stop()


async def _again_and_again(step: Callable[[], Awaitable[None]], trouble: str) -> None:
    while True:
        await asyncio.sleep(SECONDS)
        try:
            await step()
        except Exception:  # the last good ones stay in force
            log.exception(trouble)
