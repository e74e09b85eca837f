"""Rules that fire: an occasion that may happen once happens once, whatever is repeated, replayed or merged."""

from dataclasses import dataclass
from functools import lru_cache

import xxhash

from cdp.clock import DAY, date_of
from cdp.profile import Profile
from rules.compile_python import CompiledRules, CompiledTrigger
from rules.evaluate import Context

TIME = "time"


@dataclass(frozen=True, slots=True)
class Cause:
    """What may fire a trigger: an event by its name, or ``time``. Times in microseconds."""

    name: str
    time: int
    received_at: int
    message_id: str = ""
    order_id: str = ""


class Trigger:
    """Finds the triggers that fire. Built once for a rule book."""

    def __init__(self, rules: CompiledRules) -> None:
        self.watched = rules.watched()
        self._triggers_for = lru_cache(maxsize=4096)(rules.triggers_for)

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
