"""Occasions: what a trigger fires once for, and for how long that must be remembered."""

import re
from datetime import date

import xxhash

from cdp.clock import DAY, date_of, day_number
from profiles.component import Cause
from rules.definitions.model import TriggerRule

ORDER_PREFIX, MESSAGE_PREFIX = "order:", "message:"
_YEAR, _DATE = re.compile(r"\d{4}"), re.compile(r"\d{4}-\d{2}-\d{2}")
KEPT_DAYS = {"year": 732, "day": 7, "order": 730, "message": 60}
"""Days after which an occasion is forgotten that cannot, or need not, come again; ``ever`` is kept for ever.

A year or a day is over for good, as a person's clock never goes back. Messages are known for 28 days by their fingerprints, and
what is older than a trigger's `max_age_days` does not fire.
"""


def occasion(rule: TriggerRule, today: int, cause: Cause) -> str:
    """The occasion of a rule that a cause is on a day."""
    match rule.occasion:
        case "ever":
            return "ever"
        case "year":
            return str(date_of(today).year)
        case "day":
            return date_of(today).isoformat()
        case "order":
            return ORDER_PREFIX + cause.order_id
        case _:
            return MESSAGE_PREFIX + cause.message_id


def next_occasion(rule: TriggerRule, today: int) -> int:
    """The day number of the next occasion of a rule that fires once a day or a year."""
    return today + 1 if rule.occasion == "day" else day_number(date(date_of(today).year + 1, 1, 1))


def is_over(key: str, fired: int, today: int, max_age_days: int) -> bool:
    """Whether an occasion can be forgotten.

    Args:
        key: ``rule|occasion``.
        fired: when it fired, by the person's clock, in microseconds.
        max_age_days: the largest of the rules.
    """
    written = key.partition("|")[2]
    if written.startswith(ORDER_PREFIX):
        return today - fired // DAY > KEPT_DAYS["order"]
    if written.startswith(MESSAGE_PREFIX):
        return today - fired // DAY > KEPT_DAYS["message"] + max_age_days
    if _YEAR.fullmatch(written):
        return today - day_number(date(int(written), 1, 1)) > KEPT_DAYS["year"]
    return bool(_DATE.fullmatch(written)) and today - day_number(date.fromisoformat(written)) > KEPT_DAYS["day"]


def action_id(rule: str, one_id: str, occasion: str, channel: str) -> str:
    """A hash of rule, person, occasion and channel: one occasion can never make two ids on a channel."""
    return xxhash.xxh3_128_hexdigest(f"{rule}\0{one_id}\0{occasion}\0{channel}".encode())
