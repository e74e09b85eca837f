"""Compare what came out of a run with what its seed says. Pure."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from loadtest.observe import Observed
from loadtest.shop import Expected

COUNTS = (
    "applied",
    "duplicates",
    "dead_lettered",
    "people",
    "devices",
    "recognised",
    "orders",
    "refunds",
    "cancellations",
    "revenue",
)
TAGS = ("order_count", "order_count_30d", "order_amount_30d", "favourite_category", "cart_abandoned", "birthday_month")


def compare(expected: Expected, observed: Observed, webhooks: Mapping[str, int]) -> list[str]:
    """Every difference, as a sentence; empty when all is as the seed says.

    Args:
        webhooks: rule to the number of different actions that the receiver got.
    """
    found = [_difference(name, getattr(expected, name), getattr(observed, name)) for name in COUNTS]
    for rule in sorted({*expected.actions, *observed.fired, *webhooks}):
        wanted = expected.actions.get(rule, 0)
        found.append(_difference(f"actions of {rule}", wanted, observed.fired.get(rule, 0)))
        found.append(_difference(f"webhooks of {rule}", wanted, webhooks.get(rule, 0)))
        found.append(_difference(f"deliveries of {rule}", wanted, observed.delivered.get(rule, 0)))
    for tag in TAGS:
        found.append(_difference(f"people with tag {tag}", expected.tagged.get(tag, 0), observed.tagged.get(tag, 0)))
    for user_id, tags in observed.tags.items():
        for tag in TAGS:
            found.append(_difference(f"{tag} of {user_id}", expected.tags.get(user_id, {}).get(tag), tags.get(tag)))
    return [sentence for sentence in found if sentence]


def _difference(what: str, wanted: Any, got: Any) -> str:
    return "" if wanted == got or _amount(wanted) == _amount(got) else f"{what}: {_said(got)} instead of {_said(wanted)}"


def _amount(value: Any) -> Any:
    """Numbers of any type as exact ones; nothing and 0 are the same: such a tag is not there."""
    if value is None or value is False or value == "":
        return Decimal(0)
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        try:
            return round(Decimal(str(value)), 4)
        except InvalidOperation:
            return value
    return value


def _said(value: Any) -> str:
    return "nothing" if value is None else f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
