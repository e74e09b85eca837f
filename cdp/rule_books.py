"""Books of rules as they are handed to the stream: all tags and triggers that are in force together, under a number.

A book is in Redis under its number (`Names.rule_book_key`), for ever; so is the number of the newest (`rule_book_number_key`).
A record on every partition of `resolved` says from where on a book holds, so that a replay tells the same story. Records may
come twice, and a number may be left out: a book whose number is not above that of the book one has is passed over.
"""

from typing import Any, Literal

import msgspec


class PublishedRule(msgspec.Struct, frozen=True):
    """A version of a rule.

    Attributes:
        version: that the platform counts; it is the rule's, whatever `body` says.
        body: the entry as in tags.yaml or triggers.yaml, with `name` and `state`.
    """

    name: str
    version: int
    body: dict[str, Any]


class RuleBookDocument(msgspec.Struct, frozen=True):
    """A book. Its rules are in force together, those that are paused or retired included: `state` says so.

    Attributes:
        number: counts from 1; 0 is the empty book, which is never published.
        time: when it was made, in microseconds.
        tags, triggers: by name.
    """

    number: int
    time: int
    tags: list[PublishedRule] = []
    triggers: list[PublishedRule] = []


class RulesRecord(msgspec.Struct, frozen=True, kw_only=True):
    """From this record on a book holds: on each partition of `resolved`, under the key ``-``. `time` is the book's."""

    kind: Literal["rules"] = "rules"
    book: int
    time: int


encode_book = msgspec.json.Encoder().encode
decode_book = msgspec.json.Decoder(RuleBookDocument).decode
encode_rules_record = msgspec.json.Encoder().encode
decode_rules_record = msgspec.json.Decoder(RulesRecord).decode
