"""Rules that fire: an occasion that may happen once happens once, whatever is repeated, replayed or merged."""

from dataclasses import dataclass
from functools import lru_cache

import xxhash

from cdp.clock import DAY, date_of
from cdp.profile import Profile
from rules.definitions.book import CompiledRules, CompiledTrigger
from rules.definitions.model import TriggerRule
from rules.language.evaluate import Context
from streams.measure import Touched
from streams.tag import touches

TIME = "time"


@dataclass(frozen=True, slots=True)
class Cause:
    """What may fire a trigger: an event by its name, or ``time``. Times in microseconds."""

    name: str
    time: int
    received_at: int
    message_id: str = ""
    order_id: str = ""


_TIME = Cause(TIME, 0, 0)


class Trigger:
    """Finds the triggers that fire. Built once for a rule book."""

    def __init__(self, rules: CompiledRules) -> None:
        self.watched = rules.watched()
        self._triggers_for = lru_cache(maxsize=4096)(rules.triggers_for)
        self._on_time = rules.triggers_for(TIME)
        self.asks_time = lru_cache(maxsize=4096)(self._asks_time)

    def _asks_time(self, event: str, touched: Touched) -> bool:
        """Whether an event can make a trigger on ``time`` hold."""
        names = touches(event, touched)
        return any(trigger.touched_by & names for trigger in self._on_time)

    def has_unfired(self, profile: Profile, context: Context) -> bool:
        """Whether a trigger on ``time`` holds that has not fired: its event was too old, or what it asks for came with a part."""
        return any(not is_spent(profile, t.rule, context.today) and t.condition(context) for t in self._on_time)

    def fire(self, profile: Profile, context: Context, cause: Cause) -> list[tuple[CompiledTrigger, str]]:
        """The triggers that fire now, with their occasions, which are entered into the profile.

        An event that was older than a trigger allows when it came does not fire it: history is not news.
        """
        fired = []
        for trigger in self._triggers_for(cause.name):
            rule = trigger.rule
            if cause.received_at - cause.time > rule.max_age_days * DAY:
                continue
            occasion = _occasion(rule.occasion, context.today, cause)
            key = f"{rule.name}|{occasion}"
            if key in profile.occasions or not trigger.condition(context):
                continue
            profile.occasions[key] = cause.time
            fired.append((trigger, occasion))
        return fired


def is_spent(profile: Profile, rule: TriggerRule, today: int) -> bool:
    """Whether a trigger on ``time`` has fired on the occasion that a day is."""
    return f"{rule.name}|{_occasion(rule.occasion, today, _TIME)}" in profile.occasions


def _occasion(kind: str, today: int, cause: Cause) -> str:
    match kind:
        case "ever":
            return "ever"
        case "year":
            return str(date_of(today).year)
        case "day":
            return date_of(today).isoformat()
        case "order":
            return f"order:{cause.order_id}"
        case _:
            return f"message:{cause.message_id}"


def action_id(rule: str, one_id: str, occasion: str, channel: str) -> str:
    """A hash of rule, person, occasion and channel: one occasion can never make two ids on a channel."""
    return xxhash.xxh3_128_hexdigest(f"{rule}\0{one_id}\0{occasion}\0{channel}".encode())
