"""What a mapping file may say, and reading one strictly: every mistake is one sentence with the file and the key.

A mapping turns a source's record (a JSON object, or a row of a table) into messages in Segment's form.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml

from cdp.errors import CdpError
from cdp.values.amounts import DecimalSign
from cdp.values.times import Unit

ROWS = "rows"
Scalar = str | int | float | bool | None
Kind = Literal["text", "number", "integer", "boolean", "cents", "date", "time", "epoch"]
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
TYPE = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
MAX_BYTES = 1_000_000
_WHERE = re.compile(r" - at `\$\.?([^`]*)`")


class InvalidMapping(CdpError):
    """A mapping file says something that cannot be done."""


class Test(msgspec.Struct, forbid_unknown_fields=True, frozen=True, rename={"not_": "not"}):
    """A condition on a field that is more than "is one of".

    `same_as`, `other_than`: a field whose text it is held against. `optional`: a table may lack the column.
    """

    present: bool | None = None
    not_: Scalar | list[Scalar] = None
    matching: str = ""
    above: float | None = None
    same_as: str = ""
    other_than: str = ""
    optional: bool = False


Condition = Scalar | list[Scalar] | Test
Conditions = dict[str, Condition]


class Value(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Where a value comes from and what is made of it. A bare text in a file is short for its `path`.

    Attributes:
        path: a field of the record, or several: the first that says something counts.
        value: a constant, instead of a path.
        template: a text with fields in braces, instead of a path; says nothing if one of them does not.
        sum: a path through lists (``lines[].amount``) whose numbers are added up, instead of a path.
        as_: what the value is made into; without it, it stays what it is.
        map: other values for some; what is not listed stays. With `strict`, it says nothing.
        where: with `sum`: conditions on the items whose numbers count.
        times, over: fields by whose numbers it is multiplied and divided: an amount in another currency, to the hundredth.
        matching: a regular expression that the whole text must match, or else the field says nothing.
        take: a group of it, by its number or name, that counts instead of the whole text.
        split: a regular expression between the items of a text: a list is made of it.
        default: what counts if the field says nothing.
        required: whether a record without it is refused.
        optional: whether a table may lack the column.
        format, unit, timezone: of times: strptime formats, what numbers count (``s``, ``ms``, ``us``, or ``serial``: days as
            spreadsheets count), and the zone of texts that name none.
        decimal: of numbers in texts: the decimal sign; "": that of the mapping.
    """

    path: str | list[str] = ""
    value: Any = None
    template: str = ""
    sum: str = ""
    where: Conditions | list[Conditions] = {}
    times: str | list[str] = ""
    over: str | list[str] = ""
    as_: Kind | None = msgspec.field(name="as", default=None)
    map: dict[str, Any] = {}
    strict: bool = False
    matching: str = ""
    take: int | str = 0
    split: str = ""
    default: Any = None
    required: bool = False
    optional: bool = False
    format: str | list[str] = ""
    unit: Unit = ""
    timezone: str = ""
    decimal: Literal["", "point", "comma"] = ""


Field = str | Value


class Id(Value, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An identifier: its type, and where its value comes from."""

    type: str


class Products(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The lines of an order: one for each item of a list, with fields of the item (``^.`` leads out of it)."""

    each: str
    fields: dict[str, Field]
    when: Conditions | list[Conditions] = {}


class EventRule(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One message that a record may become.

    Attributes:
        each: a path to a list: one message for each of its items, with fields of the item (``^.`` leads out of it).
        when: fields and what they must be; a list of such: any of them.
        event: the event's name, or the page's; a `Value` to take it from the record.
        message_id: a template; "": made from the mapping's name and the whole record.
        time: when it happened; None: when it is imported.
        ids: identifiers, at least one of which must say something.
        page: what is known of the page: ``url``, ``path``, ``referrer``, ``title``, ``search``.
    """

    ids: list[Id]
    type: Literal["track", "identify", "page", "screen"] = "track"
    each: str = ""
    when: Conditions | list[Conditions] = {}
    event: Field = ""
    message_id: str = ""
    time: Field | None = None
    properties: dict[str, Field] = {}
    traits: dict[str, Field] = {}
    products: Products | None = None
    page: dict[Literal["url", "path", "referrer", "title", "search"], Field] = {}
    channel: Field | None = None
    store: Field | None = None


class Example(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A record and the messages that must come of it."""

    input: Any
    events: list[dict[str, Any]]
    title: str = ""


class Mapping(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A mapping file.

    Attributes:
        each: a path to a list: each of its items is a record; ``^.`` leads to what is around it.
        group_by: columns of a file whose rows are one record while these stay the same; its rows are in the list ``rows``.
        header: the line or row in which a table's header begins; 0 to find out.
        timezone: of times that name none, and of days; "": UTC, and for days the workspace's.
        decimal: the decimal sign of numbers in texts.
        signature: an HTTP header that must hold the base64 HMAC-SHA256 of the body, if a secret is kept for the mapping.
    """

    name: str
    events: list[EventRule]
    description: str = ""
    each: str = ""
    group_by: str | list[str] = ""
    header: Annotated[int, msgspec.Meta(ge=0)] = 0
    timezone: str = ""
    decimal: DecimalSign = "point"
    signature: str = ""
    examples: list[Example] = []


class _Loader(yaml.SafeLoader):
    """YAML whose times stay texts: an example's ``2026-01-31 08:00:00`` is what the source would send."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load_mapping(path: Path) -> Mapping:
    """Read a mapping file. Raises InvalidMapping."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InvalidMapping(f"{path.name} is larger than {MAX_BYTES:,} bytes.", "A mapping is a small text.")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidMapping(f"The mapping {path} cannot be read: {error.strerror or error}.", "Check the path.") from error
    except UnicodeError as error:
        raise InvalidMapping(f"{path.name} is not UTF-8.", "Save it as UTF-8.") from error
    return parse_mapping(text, path.name)


def parse_mapping(text: str, file: str) -> Mapping:
    """Read a mapping from its text. Raises InvalidMapping with the file and the key."""
    try:
        content = yaml.load(text, _Loader)  # noqa: S506 - it is the safe loader, without times
        mapping = msgspec.convert(content, Mapping)
    except yaml.YAMLError as error:
        raise InvalidMapping(f"{file} is not YAML: {' '.join(str(error).split())[:300]}.") from error
    except msgspec.ValidationError as error:
        where = _WHERE.search(str(error))
        raise _wrong(file, where[1] if where else "", _WHERE.sub("", str(error))) from error
    except (ValueError, RecursionError, TypeError) as error:  # e.g. impossible dates, keys that are lists
        raise InvalidMapping(f"{file} is not a mapping: {error}.") from error
    _check(mapping, file)
    return mapping


def _wrong(file: str, key: str, problem: str) -> InvalidMapping:
    return InvalidMapping(f"{file}, key {key or 'at the top'}: {problem}.", "See docs/import.md for what a mapping may say.")


def _check(mapping: Mapping, file: str) -> None:
    """What the types do not say."""
    if not NAME.fullmatch(mapping.name):
        raise _wrong(file, "name", "must be lower-case letters, digits, - and _")
    if not mapping.events:
        raise _wrong(file, "events", "must have at least one entry")
    for index, rule in enumerate(mapping.events):
        at = f"events[{index}]"
        if rule.type == "track" and not rule.event:
            raise _wrong(file, f"{at}.event", "a track message needs the event's name")
        if not rule.ids:
            raise _wrong(file, f"{at}.ids", "must have at least one entry")
        for number, one in enumerate(rule.ids):
            if not TYPE.fullmatch(one.type):
                raise _wrong(file, f"{at}.ids[{number}].type", "may hold letters, digits, _ . and -")
