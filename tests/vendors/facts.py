"""What a sender says it sent, as one JSON object on standard output; the test compares it with what arrived.

Runs with the Python of the packages alone: nothing of ours is imported here.
"""

import argparse
import json
import sys
import uuid
from datetime import UTC, datetime
from typing import Any

Object = dict[str, Any]


def arguments() -> argparse.Namespace:
    """--url of the collector, --key, --run: a word that makes names and identifiers unique, --one: only one event; --app."""
    parser = argparse.ArgumentParser()
    for name in ("--url", "--key", "--run"):
        parser.add_argument(name, required=True)
    parser.add_argument("--app", default="")
    parser.add_argument("--one", action="store_true")
    return parser.parse_args()


def millis(moment: datetime) -> int:
    """Milliseconds of the epoch."""
    return round(moment.timestamp() * 1000)


def uuid_of(run: str, name: str) -> str:
    """The same UUID for the same names."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{run}/{name}"))


def visitor_uuid(run: str, name: str) -> str:
    """A UUID as a browser would give to a visitor: of version 7."""
    made = uuid_of(run, name)
    return f"{made[:14]}7{made[15:]}"


class Facts:
    """Collects facts. Times are milliseconds of the epoch."""

    def __init__(self) -> None:
        self.sent: list[Object] = []
        self.people: dict[str, Object] = {}
        self.items: list[Object] = []
        self.errors: list[str] = []
        self.began = millis(datetime.now(UTC))

    def event(self, kind: str, event: str, person: str = "", **more: Any) -> None:
        """One event that must be there once.

        Args:
            person: who did it, a name among `people`; "" if nobody.
            more: message_id, time, within (ms), properties, traits, context, channel: each compared as far as given.
        """
        self.sent.append({"kind": kind, "event": event, "person": person} | more)

    def person(self, name: str, ids: list[str], attributes: Object | None = None, absent: list[str] | None = None) -> None:
        """One person: identifiers that all must lead to the same OneID, and attributes of the profile in the end."""
        self.people[name] = {"ids": ids, "attributes": attributes or {}, "absent": absent or []}

    def item(self, item_type: str, item_id: str, operation: str, properties: Object) -> None:
        """What was said once of something that is not a person."""
        self.items.append({"item_type": item_type, "item_id": item_id, "operation": operation, "properties": properties})

    def error(self, error: object, *_: object) -> None:
        """What the package gave up on, as it reports it."""
        self.errors.append(str(error))

    def say(self) -> None:
        """Print everything. To be called once, when all is flushed."""
        said = vars(self) | {"ended": millis(datetime.now(UTC))}
        sys.stdout.write(json.dumps(said) + "\n")
