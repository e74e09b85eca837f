"""The rules that come with the platform: the first version of each, and what an upgrade of the platform does to them.

A rule that is as it was shipped follows what is shipped now. One that somebody edited stays as it is: what is shipped now is
kept beside it as a draft, until somebody publishes it, or writes a version above it.
"""

import json
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cdp.settings import Settings
from rules.definitions.load import shipped_bodies
from rules.definitions.order import Key
from serving.definitions.database import reading
from serving.definitions.models import DocumentRow
from serving.documents.difference import Change, difference
from serving.documents.document import MAX_BYTES, PLATFORM, Edit
from serving.documents.store import add, as_text
from serving.rules.books import Bodies, as_book, changing_book, is_rule, rule_key, rules_in_force, trouble

log = logging.getLogger(__name__)

AS_SHIPPED, GONE = "as it comes with the platform", "does not come with the platform any more"


class Upgrade(NamedTuple):
    """What the platform would change in a rule that somebody edited.

    Attributes:
        kind, name: of the rule; kind is ``tags`` or ``triggers``.
        in_force, shipped: versions: of the edited rule, and of what is shipped now, a draft above it.
        base: the version that was shipped when it was edited; None: the rule is not derived from a shipped one.
        shipped_changes: from `base` to `shipped`.
        changes: from `in_force` to `shipped`: what publishing it would change.
    """

    kind: str
    name: str
    in_force: int
    base: int | None
    shipped: int
    shipped_changes: list[Change]
    changes: list[Change]


def follow_shipped(settings: Settings, shipped: Bodies | None = None) -> list[Key]:
    """Write down what is shipped now, where it differs from what was, and put it in force where nobody edited it.

    Returns the rules of which there is another version in force.
    """
    wanted = shipped_bodies() if shipped is None else shipped
    with changing_book(settings) as session:
        rows = {rule_key(row.name): row for row in rules_in_force(session)}
        in_force = {key: json.loads(row.body) for key, row in rows.items()}
        before = _last_shipped(session)
        offered = {key: body for key, body in _with_gone(wanted, before).items() if before.get(key) != body}
        edited = {key for key, row in rows.items() if not row.shipped and in_force[key] != before.get(key)}
        following = {key: body for key, body in offered.items() if key not in edited}
        taken = fitting(in_force, following)
        for key, body in offered.items():
            note = AS_SHIPPED if key in wanted else GONE
            add(session, "/".join(key), as_text(body, MAX_BYTES), Edit(PLATFORM, note), publish=key in taken, shipped=True)
    for key in following.keys() - taken.keys():
        log.warning("%s cannot follow what is shipped: it would contradict other rules; see `cdp rules upgrades`", "/".join(key))
    return [*taken]


def fitting(in_force: Bodies, offered: Bodies) -> dict[Key, dict[str, Any]]:
    """Those of the offered rules that can be put in force: all of them, or, if others contradict, as many as fit one by one."""
    if _holds({**in_force, **offered}):
        return dict(offered)
    taken: dict[Key, dict[str, Any]] = {}
    left = dict(offered)
    while fits := next((key for key in sorted(left) if _holds({**in_force, **taken, key: left[key]})), None):
        taken[fits] = left.pop(fits)
    return taken


def upgrades(settings: Settings) -> list[Upgrade]:
    """What is shipped now and was not taken into rules that somebody edited, by rule."""
    with reading(settings) as session:
        newest = _newest_shipped(session)
        behind = [row for row in rules_in_force(session) if newest.get(row.name, 0) > row.version]
        found = [_upgrade(row, _shipped_versions(session, row.name)) for row in behind]
    return [upgrade for upgrade in found if upgrade.changes]


def _upgrade(row: DocumentRow, shipped: Mapping[int, Any]) -> Upgrade:
    newest = max(shipped)
    base = max((version for version in shipped if version <= row.version), default=None)
    shipped_changes = difference(shipped[base] if base is not None else {}, shipped[newest])
    changes = difference(json.loads(row.body), shipped[newest])
    return Upgrade(*rule_key(row.name), row.version, base, newest, shipped_changes, changes)


def _newest_shipped(session: Session) -> dict[str, int]:
    """The version that was shipped last, of each rule's document."""
    newest = select(DocumentRow.name, func.max(DocumentRow.version).label("version")).where(
        is_rule(), DocumentRow.shipped.is_(True)
    )
    return {row.name: row.version for row in session.execute(newest.group_by(DocumentRow.name))}


def _shipped_versions(session: Session, name: str) -> dict[int, Any]:
    """The shipped bodies of a rule, by version."""
    wanted = select(DocumentRow.version, DocumentRow.body).where(DocumentRow.name == name, DocumentRow.shipped.is_(True))
    return {row.version: json.loads(row.body) for row in session.execute(wanted)}


def _last_shipped(session: Session) -> dict[Key, dict[str, Any]]:
    """What was shipped last, of each rule."""
    rows = session.execute(
        select(DocumentRow.name, DocumentRow.body).where(is_rule(), DocumentRow.shipped.is_(True)).order_by(DocumentRow.version)
    )  # fmt: skip
    return {rule_key(row.name): json.loads(row.body) for row in rows}


def _with_gone(shipped: Bodies, before: Bodies) -> dict[Key, dict[str, Any]]:
    """What is shipped, and what is not any more, as retired."""
    return {**{key: body | {"state": "retired"} for key, body in before.items() if key not in shipped}, **shipped}


def _holds(bodies: Bodies) -> bool:
    return trouble(as_book(bodies)) is None
