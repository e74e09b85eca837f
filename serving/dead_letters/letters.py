"""Dead letters as they stand in ClickHouse: each once, with its status (see the view `letters`).

What came is sealed there. It is opened here, in memory; what is asked about it can therefore not be asked of ClickHouse.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import msgspec
from clickhouse_connect.driver.client import Client

from cdp.clock import to_iso
from rules.seal import Sealer
from serving.analytics.query import Query, run
from serving.analytics.span import instant
from serving.collect.finish import MAX_DEPTH
from serving.dead_letters.models import Cursor, Filter, Group, Letter, Status, Summary
from serving.errors import ApiError

PREVIEW = 500
MAX_GROUPS = 1_000
CHUNK = 1_000
MAX_LOOKED_AT = 50_000
MAX_PARTITION, MAX_OFFSET = 2**16 - 1, 2**63 - 1

_COLUMNS = (
    "toUnixTimestamp64Micro(event_time), stage, reason, field, detail, message_id, source, dialect, request,"
    " source_partition, source_offset, replayed, payload"
)
_IDENTITY = (  # as in the view: what is written twice is one letter
    "multiIf(letter_id != '', letter_id, origin_offset >= 0, concat(toString(origin_partition), ':', toString(origin_offset)),"
    " concat(toString(source_partition), '-', toString(source_offset)))"
)
_CONDITIONS = {
    "stage": "stage = {stage:String}",
    "reason": "reason = {reason:String}",
    "source": "source = {source:String}",
    "message_id": "message_id = {message_id:String}",
    "since": "toUnixTimestamp64Micro(event_time) >= {since:Int64}",
    "until": "toUnixTimestamp64Micro(event_time) < {until:Int64}",
    "open": "NOT replayed",
    "replayed": "replayed",
    "before": "(toUnixTimestamp64Micro(event_time), source_partition, source_offset) <"
    " ({c_time:Int64}, {c_partition:UInt32}, {c_offset:UInt64})",
    "after": "(toUnixTimestamp64Micro(event_time), source_partition, source_offset) >"
    " ({c_time:Int64}, {c_partition:UInt32}, {c_offset:UInt64})",
}


class Position(NamedTuple):
    """Where a letter stands among all, by time."""

    time: int
    partition: int
    offset: int


class Stored(NamedTuple):
    """A letter, opened. `request`: what its request said for all of its messages, as JSON; `event`: its name in the payload."""

    time: int
    stage: str
    reason: str
    field: str
    detail: str
    message_id: str
    source: str
    dialect: str
    request: str
    partition: int
    offset: int
    replayed: int
    payload: str
    event: str = ""

    @property
    def id(self) -> str:
        """partition-offset."""
        return f"{self.partition}-{self.offset}"

    @property
    def position(self) -> Position:
        """For the next page."""
        return Position(self.time, self.partition, self.offset)

    def view(self, *, whole: bool = True) -> Letter:
        """As the API says it; `whole`: with the whole payload, not with its beginning alone."""
        status: Status = "replayed" if self.replayed else "open"
        return Letter(
            id=self.id, time=to_iso(self.time), status=status, stage=self.stage, reason=self.reason, field=self.field,
            detail=self.detail, source=self.source, dialect=self.dialect, event=self.event, message_id=self.message_id,
            payload=self.payload if whole else self.payload[:PREVIEW],
        )  # fmt: skip


Show = Callable[[Stored], Stored]


@dataclass(frozen=True)
class Part:
    """Which part of the letters that fit.

    Attributes:
        limit: how many at most.
        after: beyond this position.
    """

    limit: int
    status: Status | None = None
    after: Position | None = None
    oldest_first: bool = False


class Page(NamedTuple):
    """Letters that fit, and behind which position the next may be; None: there are no more."""

    letters: list[Stored]
    next: Position | None


def sealed(wanted: Filter, sealer: Sealer) -> Filter:
    """The filter with its message id as it is written down."""
    if wanted.message_id is None:
        return wanted
    return wanted.model_copy(update={"message_id": sealer.message_id(wanted.message_id)})


def page(client: Client, wanted: Filter, zone: str, part: Part, show: Show) -> Page:
    """A part of the letters that fit. `zone`: the workspace's, for dates; `show`: opens letters for whoever asks.

    Looks at MAX_LOOKED_AT letters at most, so that a page may hold fewer than the limit though more follow.
    Raises ApiError 422 for an unusable time.
    """
    found: list[Stored] = []
    looked_at, after = 0, part.after
    while True:
        wanting = part.limit - len(found)
        chunk = wanting + 1 if not _is_searched(wanted) else max(wanting + 1, CHUNK)
        rows = _rows(client, wanted, zone, replace(part, limit=chunk, after=after))
        for row in rows:
            if len(found) == part.limit:
                return Page(found, after)
            letter = show(row)
            after = letter.position
            if _fits(letter, wanted):
                found.append(letter)
        looked_at += len(rows)
        if len(rows) < chunk:
            return Page(found, None)
        if looked_at >= MAX_LOOKED_AT:
            return Page(found, after)


def _is_searched(wanted: Filter) -> bool:
    return wanted.event is not None or wanted.text is not None


def _fits(letter: Stored, wanted: Filter) -> bool:
    """Whether a letter, as it is shown, has the event's name and the text that are looked for."""
    if wanted.event is not None and letter.event != wanted.event:
        return False
    text = (wanted.text or "").lower()
    return not text or text in letter.payload.lower() or text in letter.detail.lower()


def _rows(client: Client, wanted: Filter, zone: str, part: Part) -> list[Stored]:
    """Letters as they are stored, without regard to what is asked of their content."""
    conditions, parameters = _where(wanted, zone)
    if part.status is not None:
        conditions.append(_CONDITIONS[part.status])
    if part.after is not None:
        conditions.append(_CONDITIONS["after" if part.oldest_first else "before"])
        parameters |= dict(zip(("c_time", "c_partition", "c_offset"), part.after, strict=True))
    direction = "ASC" if part.oldest_first else "DESC"
    sql = (
        f"SELECT {_COLUMNS} FROM letters WHERE {' AND '.join(conditions) or '1'}"  # noqa: S608 - all of it is ours
        f" ORDER BY event_time {direction}, source_partition {direction}, source_offset {direction} LIMIT {{limit:UInt32}}"
    )
    return [Stored(*row) for row in run(client, Query(sql, parameters | {"limit": part.limit}))]


def summary(client: Client, wanted: Filter, zone: str, show: Show) -> Summary:
    """Counts by day, stage, reason and source. Raises ApiError 422 for an unusable time."""
    if _is_searched(wanted):
        return _counted(client, wanted, zone, show)
    conditions, parameters = _where(wanted, zone)
    where = " AND ".join(conditions) or "1"
    groups = run(
        client,
        Query(
            "SELECT toString(toDate(event_time)) AS day, stage, reason, source, countIf(NOT replayed), countIf(replayed)"  # noqa: S608
            f" FROM letters WHERE {where} GROUP BY day, stage, reason, source"
            f" ORDER BY day DESC, count() DESC, stage, reason, source LIMIT {MAX_GROUPS}",
            parameters,
        ),
    )
    (opened, replayed), *_ = run(
        client, Query(f"SELECT countIf(NOT replayed), countIf(replayed) FROM letters WHERE {where}", parameters)  # noqa: S608
    ) or [(0, 0)]  # fmt: skip
    names = ("day", "stage", "reason", "source", "open", "replayed")
    return Summary(open=opened, replayed=replayed, groups=[Group(**dict(zip(names, row, strict=True))) for row in groups])


def _counted(client: Client, wanted: Filter, zone: str, show: Show) -> Summary:
    """The same where letters have to be opened to be counted."""
    counts: Counter[tuple[str, str, str, str]] = Counter()
    replayed: Counter[tuple[str, str, str, str]] = Counter()
    after: Position | None = None
    while True:
        found = page(client, wanted, zone, Part(CHUNK, after=after), show)
        for one in found.letters:
            group = (to_iso(one.time)[:10], one.stage, one.reason, one.source)
            counts[group] += 1
            replayed[group] += bool(one.replayed)
        after = found.next
        if after is None:
            break
    ordered = sorted(sorted(counts, key=lambda group: (-counts[group], group[1:])), key=lambda group: group[0], reverse=True)
    groups = [
        Group(day=day, stage=stage, reason=reason, source=source, open=counts[group] - replayed[group], replayed=replayed[group])
        for group in ordered[:MAX_GROUPS] for day, stage, reason, source in (group,)
    ]  # fmt: skip
    return Summary(open=counts.total() - replayed.total(), replayed=replayed.total(), groups=groups)


def find(client: Client, id_: str, show: Show) -> Stored:
    """A letter by its id, or by that of its repetition. Raises ApiError 404."""
    partition, offset = (int(part) for part in id_.split("-"))
    rows = []
    if partition <= MAX_PARTITION and offset <= MAX_OFFSET:
        at = "(source_partition, source_offset) = ({p:UInt16}, {o:UInt64})"
        same = f"SELECT {_IDENTITY} FROM dead_letters WHERE {at} LIMIT 1"  # noqa: S608 - all of it is ours
        sql = f"SELECT {_COLUMNS} FROM letters WHERE {_IDENTITY} = ({same}) LIMIT 1"  # noqa: S608 - all of it is ours
        rows = run(client, Query(sql, {"p": partition, "o": offset}))
    if not rows:
        raise ApiError(404, f"There is no dead letter {id_}.", "A new one takes about a second to arrive here.", field="id")
    return show(Stored(*rows[0]))


def decoded(payload: str) -> Any:
    """The payload as JSON; as the text that it is if it is none, or nested deeper than any event may be."""
    try:
        found = msgspec.json.decode(payload)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return payload
    return payload if is_too_deep(found) else found


def is_too_deep(value: Any) -> bool:
    """Whether a JSON value is nested deeper than an event may be."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        containers = [node for node in level if isinstance(node, dict | list)]
        level = [child for node in containers for child in (node.values() if isinstance(node, dict) else node)]
        if not level:
            return False
    return True


def cursor(position: Position) -> str:
    """A position as text."""
    return f"{position.time}-{position.partition}-{position.offset}"


def position(text: Cursor) -> Position:
    """The inverse of `cursor`."""
    return Position(*map(int, text.split("-")))


def _where(wanted: Filter, zone: str) -> tuple[list[str], dict[str, Any]]:
    parameters: dict[str, Any] = {}
    for name, value in wanted.model_dump(exclude_none=True, exclude={"event", "text"}).items():
        parameters[name] = instant(value, name, zone) if name in ("since", "until") else value
    return [_CONDITIONS[name] for name in parameters], parameters
