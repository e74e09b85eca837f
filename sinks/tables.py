"""The fact tables' columns, in the order in which rows are made. The migrations hold the same, as SQL."""

from dataclasses import dataclass
from typing import Literal

ColumnKind = Literal["text", "time", "u8", "u16", "u32", "u64", "i32", "i64", "money", "quantity"]


@dataclass(frozen=True)
class Table:
    """Columns with their kinds; the last three are the row's position in the log, which is never written twice."""

    name: str
    columns: tuple[tuple[str, ColumnKind], ...]


POSITION: tuple[tuple[str, ColumnKind], ...] = (("source_partition", "u16"), ("source_offset", "u64"), ("source_seq", "u64"))
_TIMES: tuple[tuple[str, ColumnKind], ...] = (("event_time", "time"), ("received_at", "time"))
_PERSON: tuple[tuple[str, ColumnKind], ...] = (("one_id", "text"), ("person", "u32"))
_PART: tuple[tuple[str, ColumnKind], ...] = (*_PERSON, ("part", "u32"))
_ORIGIN: tuple[tuple[str, ColumnKind], ...] = (("origin_partition", "u16"), ("origin_offset", "u64"))


def _texts(*names: str) -> tuple[tuple[str, ColumnKind], ...]:
    return tuple((name, "text") for name in names)


_ALL = (
    Table(
        "events",
        (
            *_TIMES, *_PART,
            *_texts("ids", "message_id", "kind", "event", "channel", "store", "source", "library", "campaign", "campaign_source",
                    "campaign_medium", "path", "device"),
            ("bot", "u8"), *_texts("traffic", "browser", "os", "device_type", "country", "referrer_domain", "click_id"),
            *_texts("properties", "traits", "context", "replay_of"),
            *_ORIGIN, *POSITION,
        ),
    ),
    Table(
        "orders",
        (
            *_TIMES, *_PART, *_texts("customer_id", "order_id", "status"), ("quantity", "quantity"), ("amount", "money"),
            *_texts("currency"), ("items", "u32"), ("version", "u64"), *_texts("refund_id"), ("full_refund", "u8"),
            *_texts("channel", "store", "message_id"), *POSITION,
        ),
    ),
    Table(
        "order_items",
        (
            *_TIMES, *_PART, *_texts("customer_id", "order_id"), ("line", "u32"), *_texts("status", "sku", "name", "category"),
            ("quantity", "quantity"), ("unit_price", "money"), ("amount", "money"),
            *_texts("currency", "channel", "store", "message_id"), *POSITION,
        ),
    ),
    Table("tag_changes", (("event_time", "time"), *_PERSON, *_texts("tag", "old", "new", "message_id"), *POSITION)),
    Table(
        "actions",
        (
            *_TIMES, *_texts("action_id", "rule"), ("rule_version", "u32"), *_PERSON,
            *_texts("occasion", "channel", "message_id", "content"), *POSITION,
        ),
    ),
    Table(
        "deliveries",
        (
            ("event_time", "time"), *_texts("action_id"), ("attempt", "u32"), *_texts("status", "channel", "rule"), *_PERSON,
            *_texts("detail"), *POSITION,
        ),
    ),
    Table(
        "merges",
        (
            ("event_time", "time"), *_PERSON, *_texts("loser"), ("loser_person", "u32"), ("version", "u64"),
            *_texts("message_id"), *POSITION,
        ),
    ),
    Table(
        "duplicates",
        (
            ("event_time", "time"), *_texts("message_id"), *_PERSON, *_ORIGIN, ("conflict", "u8"), *_texts("replay_of"),
            *POSITION,
        ),
    ),
    Table(
        "dead_letters",
        (
            ("event_time", "time"), *_texts("stage", "reason", "field", "detail", "message_id", "source", "payload"),
            ("origin_partition", "i32"), ("origin_offset", "i64"), *_texts("letter_id", "dialect", "request"), *POSITION,
        ),
    ),
    Table(
        "items",
        (*_TIMES, *_texts("item_type", "item_id", "operation", "properties", "message_id", "source", "replay_of"), *POSITION),
    ),
)  # fmt: skip

TABLES: dict[str, Table] = {table.name: table for table in _ALL}

# How far facts have been written, partition by partition: `e` of a fact, or its offset.
ARRIVED = Table("arrived", (("source_partition", "u16"), ("source_offset", "u64")))

# What leads facts to other people than they were written for; made of rows of `merges`, and no table of facts itself.
OVERRIDES = Table(
    "overrides",
    (
        ("loser_person", "u32"), ("person", "u32"), ("version", "u64"), ("event_time", "time"), ("source_partition", "u16"),
        ("source_offset", "u64"),
    ),
)  # fmt: skip
