"""Take one action to its channel: look at the fence, try, wait, try again, and say what became of it."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from cdp.clock import SECOND, Clock
from cdp.errors import Unavailable
from cdp.events import Action, Delivery, encode
from cdp.mask import mask_all
from cdp.seal import SealError
from serving.dispatch import metrics
from serving.dispatch.outcome import Channel, Sent
from serving.dispatch.retry import MAX_ATTEMPTS, pause

log = logging.getLogger(__name__)

T = TypeVar("T")
AWAY_SECONDS = 1.0


class Fencing(Protocol):
    """What delivering needs of `Fence`."""

    async def look(self, action_id: str) -> tuple[bytes | None, int]: ...  # noqa: D102 - see Fence
    async def failed(self, action_id: str, attempts: int) -> None: ...  # noqa: D102 - see Fence
    async def done(self, action_id: str, delivery: bytes) -> None: ...  # noqa: D102 - see Fence


@dataclass(frozen=True)
class Deliverer:
    """Delivers actions.

    Attributes:
        report: publishes a Delivery (key: OneID, value: JSON); returns when Kafka has it, raises Unavailable.
        slots: bounds how many attempts are under way; waiting for a retry takes no slot.
    """

    channels: Mapping[str, Channel]
    fence: Fencing
    report: Callable[[str, bytes], Awaitable[None]]
    clock: Clock
    slots: asyncio.Semaphore
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random

    async def deliver(self, action: Action, partition: int, offset: int) -> None:
        """Return when nothing is left to be done for the action at this position. Redis or Kafka away: wait for them."""
        while (failed := await self._step(action, partition, offset)) is not None:
            attempt, sent = failed
            await self.sleep(pause(attempt, sent.retry_after, self.random))

    async def _step(self, action: Action, partition: int, offset: int) -> tuple[int, Sent] | None:
        """Look at the fence, and try once if need be: the attempt and its outcome if it is to be tried again.

        The slot is held from the look to the fence, so that few sends can be unfenced when the process dies.
        """
        async with self.slots:
            final, tries = await self._patiently(partial(self.fence.look, action.action_id))
            if final is not None:
                metrics.repeated.inc()
                delivery, sent = final, None
            else:
                attempt = min(tries, MAX_ATTEMPTS - 1) + 1
                sent = await self._try(action, attempt)
                delivery = encode(self._delivery(action, sent, attempt, partition, offset))
                metrics.deliveries.labels(action.channel, sent.status).inc()
                if sent.status == "failed":
                    await self._patiently(partial(self.fence.failed, action.action_id, attempt))
                else:
                    await self._patiently(partial(self.fence.done, action.action_id, delivery))
        await self._patiently(partial(self.report, action.one_id, delivery))
        return (attempt, sent) if sent is not None and sent.status == "failed" else None

    async def _try(self, action: Action, attempt: int) -> Sent:
        channel = self.channels.get(action.channel)
        if channel is None:
            return Sent("gave_up", f"unknown channel {action.channel!r}")
        try:
            sent = await channel.send(action, attempt)
        except SealError as error:  # perhaps the keyring is being put in place just now
            log.error("action %s: %s", action.action_id, error)
            sent = Sent("failed", "its personal values cannot be opened with this keyring")
        except Exception as error:  # a channel's bug costs this action, not the dispatcher
            log.exception("channel %s failed on action %s", action.channel, action.action_id)
            sent = Sent("failed", type(error).__name__)
        if sent.status == "delivered":
            metrics.seconds.labels(action.channel).observe(max(0, self.clock() - action.received_at) / SECOND)
        if sent.status == "failed" and attempt == MAX_ATTEMPTS:
            return Sent("gave_up", f"{sent.detail} after {attempt} attempts")
        return sent

    def _delivery(self, action: Action, sent: Sent, attempt: int, partition: int, offset: int) -> Delivery:
        return Delivery(
            action_id=action.action_id, attempt=attempt, status=sent.status, channel=action.channel, rule=action.rule,
            one_id=action.one_id, person=action.person, time=self.clock(), p=partition, o=offset, detail=mask_all(sent.detail),
        )  # fmt: skip

    async def _patiently(self, do: Callable[[], Awaitable[T]]) -> T:
        """Infrastructure is waited for, for ever: the offset is not committed meanwhile, and nothing is lost."""
        while True:
            try:
                return await do()
            except Unavailable as error:
                log.warning("waiting: %s", error)
                await self.sleep(AWAY_SECONDS)
