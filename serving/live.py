"""What the collector and the API heed while they run: plan, traffic table and identity rules as they are edited, the keyring."""

import asyncio
import logging
from collections.abc import AsyncIterator
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
        await parts.identity.refresh()
        if sealing.follow(parts.identity.rules):
            quick.forget()
        if await enrichment.refresh():
            quick.forget()

    async def keep_fresh() -> None:
        while True:
            await asyncio.sleep(SECONDS)
            try:
                await refresh()
            except Exception:  # the last good ones stay in force
                log.exception("tracking plan, traffic table, identity rules or keyring could not be refreshed")

    await refresh()
    violations.start()
    task = asyncio.create_task(keep_fresh(), name="keep-definitions-fresh")
    try:
        yield finish, quick
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await violations.stop()
