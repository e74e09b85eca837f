"""All rules of a kind as documents, in one look."""

import json
from collections import defaultdict
from typing import Any

from sqlalchemy import select

from cdp.settings import Settings
from serving.definitions.database import reading
from serving.definitions.models import DocumentRow
from serving.documents.store import as_version
from serving.rules.books import is_rule, rule_key, rules_in_force


def lines(settings: Settings, kind: str) -> list[dict[str, Any]]:
    """A line for each rule of a kind, by name, with the fields of `serving.rules.models.RuleLine`."""
    columns = (DocumentRow.name, DocumentRow.version, DocumentRow.shipped)
    with reading(settings) as session:
        in_force = {row.name: row for row in rules_in_force(session) if rule_key(row.name)[0] == kind}
        open_: dict[str, list[tuple[int, bool]]] = defaultdict(list)
        for name, version, shipped in session.execute(
            select(*columns).where(is_rule([kind]), DocumentRow.published.is_(None)).order_by(DocumentRow.version)
        ):
            if name not in in_force or version > in_force[name].version:
                open_[name].append((version, shipped))
        return [_line(name, in_force.get(name), open_[name]) for name in sorted({*in_force, *open_})]


def _line(name: str, row: DocumentRow | None, open_: list[tuple[int, bool]]) -> dict[str, Any]:
    body = json.loads(row.body) if row is not None else {}
    version = as_version(row) if row is not None else None
    return {
        "name": rule_key(name)[1], "title": str(body.get("title", "")), "state": str(body.get("state", "")),
        "version": version.version if version else None, "author": version.author if version else "",
        "published": version.published if version else None, "book": version.book if version else None,
        "drafts": [number for number, shipped in open_ if not shipped],
        "upgrade": max((number for number, shipped in open_ if shipped), default=None),
    }  # fmt: skip
