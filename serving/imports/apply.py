"""Apply a mapping to records. Pure; a record that cannot be mapped is InvalidEvent with its field, and nothing else is raised."""

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from cdp.errors import InvalidEvent
from cdp.events import ORDER_EVENTS
from cdp.seal import HASHED
from cdp.values.amounts import DecimalSign
from cdp.values.identifiers import read_part
from cdp.values.lists import read_list
from cdp.values.times import BIRTHDAY, check_format
from serving.imports import convert
from serving.imports.mapping import (
    ROWS,
    Condition,
    Conditions,
    EventRule,
    Field,
    Id,
    InvalidMapping,
    Mapping,
    Products,
    Test,
    Value,
)
from serving.imports.paths import NOTHING, Path, Scope, parse_path

Message = dict[str, Any]
Read = Callable[[Scope], Any]
Holds = Callable[[Scope], bool]

EVERYTHING = "*"
PAGES = ("page", "screen")
CENTS = 2  # places of an amount that was worked out from another currency
MAX_EACH = 10_000
MAX_MATCHED = 1_000
MAX_MESSAGE_ID = 256
MAX_IDENTIFIER = 512
LIBRARY = {"name": "cdp-import", "version": "1"}
WARNINGS = "warnings"  # of a message: what was left out of it, for whoever answers the sender
CONTACTS = frozenset({"phone", "email"})
_ID_NAME = re.compile(r"id|sku|.*_id", re.DOTALL)
_OF_IDS = frozenset({"id", "plain id", "contact"})
_OF_TEXTS = _OF_IDS | {"", "text"}
_BRACES = re.compile(r"\{([^{}]+)\}")

encode = msgspec.json.Encoder().encode


class Mapper:
    """A mapping, ready to be applied to any number of records."""

    def __init__(self, mapping: Mapping, file: str = "", home: str = "UTC") -> None:
        """`home`: the workspace's zone, of days if the mapping names none.

        Raises InvalidMapping for a path, a pattern or a time zone that cannot be read.
        """
        self.mapping = mapping
        compile_ = _Compiler(file or f"{mapping.name}.yaml", mapping, home)
        self._each = compile_.path("each", mapping.each) if mapping.each else None
        self._events = [_Event(mapping.name, index, rule, compile_) for index, rule in enumerate(mapping.events)]

    def map(self, record: Any, place: dict[str, Any] | None = None) -> list[Message]:
        """The messages of a record, none if no event's `when` holds. `place` is what ``@line`` and the like stand for.

        Raises InvalidEvent if any of its messages cannot be made: a record is mapped whole or not at all.
        """
        try:
            messages = [message for scope in self._records(record, place) for message in self._messages(scope)]
            for message in messages:
                encode(message)
        except RecursionError as error:
            raise InvalidEvent("too_deep", "", "The record is nested too deep.") from error
        except (UnicodeError, TypeError, ValueError, msgspec.MsgspecError) as error:
            raise InvalidEvent("invalid_value", "", f"The record cannot be sent as JSON: {error}.") from error
        return messages

    def _records(self, record: Any, place: dict[str, Any] | None) -> Iterator[Scope]:
        if not isinstance(record, dict):
            raise InvalidEvent("not_an_object", "", "A record must be an object with named fields.")
        if self.mapping.group_by and ROWS not in record:
            raise InvalidEvent("invalid_value", "group_by", "The mapping brings rows of files together, and this is no file.")
        whole = Scope(record, None, place)
        yield from _items(self._each, whole)

    def _messages(self, scope: Scope) -> Iterator[Message]:
        for event in self._events:
            for item in _items(event.each, scope):
                message = event.message(item)
                if message is not None:
                    yield message


class _Event:
    """One event rule, ready to be applied."""

    def __init__(self, mapping: str, index: int, rule: EventRule, compile_: "_Compiler") -> None:
        at = f"events[{index}]"
        self._mapping, self._index, self._rule = mapping, index, rule
        self.each = compile_.path(f"{at}.each", rule.each) if rule.each else None
        self._when = compile_.conditions(f"{at}.when", rule.when)
        self._name = compile_.value(f"{at}.event", Value(value=rule.event) if isinstance(rule.event, str) else rule.event)
        self._message_id = (
            compile_.template(f"{at}.message_id", rule.message_id, read_part, required=True) if rule.message_id else None
        )
        self._time = compile_.time(f"{at}.time", rule.time) if rule.time is not None else None
        self._ids = [(one.type, compile_.value(f"{at}.ids[{n}]", one, kind="text")) for n, one in enumerate(rule.ids)]
        self._properties = compile_.values(f"{at}.properties", rule.properties)
        self._traits = compile_.values(f"{at}.traits", rule.traits)
        self._products = compile_.products(f"{at}.products", rule.products) if rule.products else None
        self._page = {name: compile_.value(f"{at}.page.{name}", field, kind="text") for name, field in rule.page.items()}
        self._channel = compile_.value(f"{at}.channel", rule.channel) if rule.channel is not None else None
        self._store = compile_.value(f"{at}.store", rule.store, kind="text") if rule.store is not None else None

    def message(self, scope: Scope) -> Message | None:
        """The message of a record; None if `when` does not hold."""
        if not self._when(scope):
            return None
        message: Message = {"type": self._rule.type, "messageId": self._id(scope)}
        if self._rule.type == "track":
            message["event"] = self._event_name(scope)
        elif self._rule.type in PAGES and self._rule.event:
            message["name"] = self._event_name(scope)
        if self._time is not None:
            message["timestamp"] = message["originalTimestamp"] = self._time(scope)  # both: no clock is to be corrected
        properties = self._properties(scope)
        if self._products is not None:
            properties["products"] = self._products(scope)
        if properties:
            message["properties"] = properties
        if traits := without_masked(self._traits(scope)):
            message["traits"] = traits
        context: dict[str, Any] = {"library": LIBRARY}
        for key, read in (("channel", self._channel), ("store", self._store)):
            if read is not None and (value := read(scope)) not in NOTHING:
                context[key] = value if isinstance(value, str) else convert.text(value)
        if page := {name: value for name, read in self._page.items() if (value := read(scope)) not in NOTHING}:
            context["page"] = page
        self._identify(message, context, scope)
        return message | {"context": context}

    def _event_name(self, scope: Scope) -> str:
        name = self._name(scope)
        if not isinstance(name, str) or not name:
            raise InvalidEvent("missing_field", "event", "The record does not say the event's name.")
        return name

    def _id(self, scope: Scope) -> str:
        if self._message_id is None:
            return f"{self._mapping}:{self._index}:{digest(scope)}"
        made = self._message_id(scope)
        return made if len(made) <= MAX_MESSAGE_ID else f"{self._mapping}:{HASHED}{sha256(made.encode()).hexdigest()[:32]}"

    def _identify(self, message: Message, context: dict[str, Any], scope: Scope) -> None:
        """Put the identifiers where Segment's messages have them."""
        external: list[dict[str, str]] = []
        left_out: list[InvalidEvent] = []
        for rule, (type_, read) in zip(self._rule.ids, self._ids, strict=True):
            try:
                value = _contact(type_, read(scope))
            except InvalidEvent as error:
                if rule.required or not _is_numbered(message):
                    raise
                left_out.append(error)
                continue
            if value in NOTHING:
                continue
            own = {"user_id": "userId", "anonymous_id": "anonymousId"}.get(type_)
            if own is not None and own not in message:
                message[own] = value
            else:
                external.append({"type": type_, "id": value})
        if external:
            context["externalIds"] = external
        elif "userId" not in message and "anonymousId" not in message:
            self._guest(message, context)
        if left_out:
            message[WARNINGS] = [{"field": one.field, "message": f"It is left out: {one}"} for one in left_out]
            context["ids_left_out"] = [one.field for one in left_out]

    def _guest(self, message: Message, context: dict[str, Any]) -> None:
        """A guest's order is known by its number; nothing else can be somebody's who is not named."""
        if not _is_numbered(message):
            fields = ", ".join(dict.fromkeys(type_ for type_, _ in self._ids))
            raise InvalidEvent("missing_identifier", "ids", f"The record names nobody: it has no usable {fields}.")
        context["externalIds"] = [{"type": "order_id", "id": convert.text(message["properties"]["order_id"])}]


def _is_numbered(message: Message) -> bool:
    """Whether it is an order's, and says which: such a message is never lost for whom it names."""
    return message.get("event") in ORDER_EVENTS and bool(message.get("properties", {}).get("order_id"))


def _contact(type_: str, value: Any) -> Any:
    """An identifier; None if it is masked or the like, and so nobody's. Raises InvalidEvent if it is none at all."""
    if value in NOTHING or not convert.identifies(type_, value):
        return None
    if len(value) > MAX_IDENTIFIER or "\x00" in value:
        raise InvalidEvent("invalid_value", f"ids.{type_}", f"An identifier has at most {MAX_IDENTIFIER} characters, and no NUL.")
    return value


class _Compiler:
    """Turns the parts of a mapping into functions of a record; mistakes are InvalidMapping with file and key."""

    def __init__(self, file: str, mapping: Mapping, home: str) -> None:
        self._file = file
        self._zone = self.zone("timezone", mapping.timezone or "UTC")
        self._home = self.zone("timezone", mapping.timezone or home)
        self._sign = mapping.decimal

    def fail(self, key: str, problem: object) -> InvalidMapping:
        return InvalidMapping(f"{self._file}, key {key}: {problem}.", "See docs/import.md for what a mapping may say.")

    def _check_format(self, key: str, text: str) -> None:
        try:
            check_format(text)
        except ValueError as error:
            raise self.fail(key, error) from error

    def zone(self, key: str, name: str) -> ZoneInfo:
        try:
            return ZoneInfo(name)
        except Exception as error:  # what it raises depends on the name
            raise self.fail(key, f"unknown time zone {name!r}") from error

    def path(self, key: str, text: str) -> Path:
        try:
            return parse_path(text)
        except ValueError as error:
            raise self.fail(key, error) from error

    def pattern(self, key: str, text: str) -> re.Pattern[str]:
        try:
            return re.compile(text)
        except (re.error, RecursionError, OverflowError) as error:
            raise self.fail(key, f"{text!r} is not a regular expression: {error}") from error

    def template(self, key: str, text: str, part: Callable[[Any], str], *, required: bool) -> Callable[[Scope], str]:
        """A text with fields in it, read by `part`; "" if one of them says nothing, or InvalidEvent if all are `required`."""
        parts = _BRACES.split(text)
        paths = [self.path(key, one) for one in parts[1::2]]
        name = key.rpartition(".")[2]

        def read(scope: Scope) -> str:
            made = [parts[0]]
            for path, literal in zip(paths, parts[2::2], strict=True):
                found = path.find(scope)
                if convert.is_silent(found):
                    if required:
                        raise InvalidEvent("missing_field", path.text, f"The record has no {path.text}, which {name} needs.")
                    return ""
                made += [_checked(path.text, partial(part, found)), literal]
            return "".join(made)

        return read

    def values(self, key: str, fields: dict[str, Field]) -> Callable[[Scope], dict[str, Any]]:
        """An object of values, without those that say nothing. The field ``*`` brings all fields of an object."""
        named = [(name, self.value(f"{key}.{name}", field, name=name)) for name, field in fields.items() if name != EVERYTHING]
        every = self.value(f"{key}.*", fields[EVERYTHING]) if EVERYTHING in fields else None

        def read(scope: Scope) -> dict[str, Any]:
            found: dict[str, Any] = {}
            if every is not None:
                whole = every(scope)
                if whole not in (*NOTHING, []) and not isinstance(whole, dict):  # PHP writes an empty object as a list
                    raise InvalidEvent("invalid_value", EVERYTHING, "What * leads to must be an object.")
                found |= whole or {}
            for name, value in named:
                made = value(scope)
                if made not in NOTHING:
                    found[name] = made
            return found

        return read

    def products(self, key: str, rule: Products) -> Callable[[Scope], list[dict[str, Any]]]:
        each, fields = self.path(f"{key}.each", rule.each), self.values(f"{key}.fields", rule.fields)
        when = self.conditions(f"{key}.when", rule.when)

        def read(scope: Scope) -> list[dict[str, Any]]:
            return [fields(item) for item in _items(each, scope) if when(item)]

        return read

    def time(self, key: str, field: Field) -> Callable[[Scope], str]:
        """The event's time: a record without it is refused, unless the field has a default."""
        value = Value(path=field) if isinstance(field, str) else field
        read, source = self.value(key, value, kind="time"), _source_of(value)

        def required(scope: Scope) -> str:
            made = read(scope)
            if made in NOTHING:
                raise InvalidEvent("missing_field", source, f"The record has no time: {source} says nothing.")
            return str(made)

        return required

    def value(self, key: str, field: Field, *, kind: str = "", name: str = "") -> Read:
        """A value; None if it says nothing. `kind` is what it is made into if the field does not say."""
        rule = Value(path=field) if isinstance(field, str) else field
        if sum(bool(way) for way in (rule.path, rule.template, rule.sum, rule.value is not None)) != 1:
            raise self.fail(key, "takes one of path, value, template and sum")
        if rule.value is not None and not isinstance(rule, Id):
            constant = rule.value
            return lambda _: constant
        kind = kind_of(rule, kind, name)
        is_nothing = convert.is_silent if kind in _OF_TEXTS else convert.says_nothing
        made = self._source(key, rule, is_nothing, read_part if kind in _OF_IDS else convert.text)
        find = self._exchanged(key, rule, made)
        if name == BIRTHDAY and any("%y" in one for one in ([rule.format] if isinstance(rule.format, str) else rule.format)):
            raise self.fail(f"{key}.format", "%y does not say the century of a birthday: 05/01/60 would be in 2060")
        make = self._make(key, rule, kind)
        source, label = _source_of(rule), name or key.rpartition(".")[2]

        def read(scope: Scope) -> Any:
            found = find(scope)
            if rule.map and not is_nothing(found):
                found = rule.map.get(_text_of(found) or "", None if rule.strict else found)
            if is_nothing(found):
                if rule.required and rule.default is None:
                    raise InvalidEvent("missing_field", source, f"The record has no {source}, which {label} needs.")
                return rule.default
            return _checked(source, lambda: make(found))

        return read

    def conditions(self, key: str, when: Conditions | list[Conditions]) -> Holds:
        if isinstance(when, list):
            any_of = [self.conditions(f"{key}[{index}]", one) for index, one in enumerate(when)]
            return lambda scope: any(holds(scope) for holds in any_of)
        all_of = [self._condition(f"{key}.{path}", path, condition) for path, condition in when.items()]
        return lambda scope: all(holds(scope) for holds in all_of)

    def _source(self, key: str, rule: Value, is_nothing: Callable[[Any], bool], part: Callable[[Any], str]) -> Read:
        if rule.value is not None:
            constant = rule.value
            return lambda _: constant
        if rule.template:
            return self.template(f"{key}.template", rule.template, part, required=False)
        if rule.sum:
            return self._total(key, rule)
        paths = [self.path(key, one) for one in ([rule.path] if isinstance(rule.path, str) else rule.path)]

        pattern = self.pattern(f"{key}.matching", rule.matching) if rule.matching else None
        if pattern is None and rule.take:
            raise self.fail(f"{key}.take", "goes with matching")
        if pattern is not None and rule.take not in (*range(pattern.groups + 1), *pattern.groupindex):
            raise self.fail(f"{key}.take", f"{rule.matching!r} has no group {rule.take!r}")
        if len(paths) == 1 and pattern is None:
            return paths[0].find

        def first(scope: Scope) -> Any:
            for path in paths:
                found = path.find(scope)
                if is_nothing(found) or found == []:
                    continue
                taken = found if pattern is None else _taken(pattern, found, rule.take)
                if taken is not None:
                    return taken
            return None

        return first

    def _exchanged(self, key: str, rule: Value, find: Read) -> Read:
        """A number in another currency: times one field, over another."""
        if not rule.times and not rule.over:
            return find
        if not rule.times or not rule.over:
            raise self.fail(key, "takes times and over together")
        times, over = (
            self._source(f"{key}.{name}", Value(path=way), convert.says_nothing, convert.text)
            for name, way in (("times", rule.times), ("over", rule.over))
        )
        read_number = partial(convert.decimal, decimal=rule.decimal or self._sign)

        def exchanged(scope: Scope, found: Any) -> Any:
            divisor = read_number(over(scope))
            if not divisor:
                raise ValueError("what it is divided by is 0")
            return round(read_number(found) * read_number(times(scope)) / divisor, CENTS)

        def read(scope: Scope) -> Any:
            found = find(scope)
            return found if convert.says_nothing(found) else _checked(_source_of(rule), lambda: exchanged(scope, found))

        return read

    def _total(self, key: str, rule: Value) -> Read:
        each, many, inner = rule.sum.rpartition("[]")
        items = self.path(f"{key}.sum", each) if many and each else None
        path = self.path(f"{key}.sum", inner.removeprefix(".") or "." if many else rule.sum)
        where, sign = self.conditions(f"{key}.where", rule.where), rule.decimal or self._sign

        def total(scope: Scope) -> Any:
            found = [path.find(item) for item in _items(items, scope) if where(item)]
            given = [convert.decimal(value, decimal=sign) for value in found if not convert.says_nothing(value)]
            return sum(given) if given else None

        return lambda scope: _checked(rule.sum, lambda: total(scope))

    def _make(self, key: str, rule: Value, kind: str) -> Callable[[Any], Any]:
        formats = [rule.format] if isinstance(rule.format, str) and rule.format else list(rule.format)
        for one in formats:
            self._check_format(f"{key}.format", one)
        said = self.zone(f"{key}.timezone", rule.timezone) if rule.timezone else None
        zone, home = said or self._zone, said or self._home
        unit, sign = rule.unit, rule.decimal or self._sign
        makers: dict[str, Callable[[Any], Any]] = {
            "": convert.plain, "plain id": convert.plain_id, "text": convert.text, "id": convert.identifier,
            "contact": convert.contact,
            "number": lambda value: convert.number(value, sign), "integer": lambda value: convert.integer(value, sign),
            "boolean": convert.boolean, "cents": lambda value: convert.cents(value, sign),
            "date": lambda value: convert.day(value, formats, unit, home),
            "time": lambda value: convert.iso(convert.micros(value, formats, unit, zone)),
            "epoch": lambda value: convert.micros(value, formats, unit, zone) // 1_000_000,
        }  # fmt: skip
        make = makers[kind]
        if not rule.split:
            return make
        if isinstance(rule, Id):
            raise self.fail(f"{key}.split", "makes a list, which is no identifier")
        pattern = self.pattern(f"{key}.split", rule.split)
        return lambda value: [make(item) for item in _split(pattern, value)]

    def _condition(self, key: str, text: str, condition: Condition) -> Holds:
        path = self.path(key, text)
        if isinstance(condition, Test) and (condition.same_as or condition.other_than):
            return self._comparison(key, path, condition)
        holds = self._test(key, condition)
        if not path.many:
            return lambda scope: holds(path.find(scope))
        if isinstance(condition, Test) and condition.present is False:
            return lambda scope: all(convert.says_nothing(found) for found in path.find(scope))
        return lambda scope: any(holds(found) for found in path.find(scope))

    def _comparison(self, key: str, path: Path, condition: Test) -> Holds:
        """Whether a field has, or any item of a list has, the same text as another field, or (`other_than`) not."""
        if condition.same_as and condition.other_than:
            raise self.fail(key, "takes same_as or other_than, not both")
        other = self.path(key, condition.same_as or condition.other_than)
        rest = msgspec.structs.replace(condition, same_as="", other_than="", optional=False)
        also = self._test(key, rest) if rest != Test() else lambda _: True

        def holds(scope: Scope) -> bool:
            wanted = _text_of(other.find(scope))
            found = path.find(scope)
            items = found if path.many else [found]
            return any((_text_of(one) == wanted) is bool(condition.same_as) and also(one) for one in items)

        return holds

    def _test(self, key: str, condition: Condition) -> Callable[[Any], bool]:
        if not isinstance(condition, Test):
            wanted = _texts(condition)
            return lambda found: _text_of(found) in wanted
        tests: list[Callable[[Any], bool]] = []
        if condition.present is not None:
            present = condition.present
            tests.append(lambda found: (not convert.says_nothing(found) and found not in ([], {})) is present)
        if condition.not_ is not None:
            unwanted = _texts(condition.not_)
            tests.append(lambda found: _text_of(found) not in unwanted)
        if condition.matching:
            pattern = self.pattern(f"{key}.matching", condition.matching)
            tests.append(lambda found: not convert.says_nothing(found) and _matches(pattern, found))
        if condition.above is not None:
            limit, sign = condition.above, self._sign
            tests.append(lambda found: _above(found, limit, sign))
        if not tests:
            raise self.fail(
                key, "takes a value, a list of values, or one of present, not, matching, above, same_as and other_than"
            )
        return lambda found: all(test(found) for test in tests)


def without_masked(traits: dict[str, Any]) -> dict[str, Any]:
    """Traits without a phone or an address that is masked: those of identify messages identify people."""
    return {
        name: value for name, value in traits.items()
        if name not in ("phone", "email") or (isinstance(value, str | int) and convert.identifies(name, str(value)))
    }  # fmt: skip


def digest(scope: Scope) -> str:
    """A hash of a record, what is around it and its place in that: the same record twice is the same message."""
    content: Any = scope.record
    if scope.around is not None:
        content = [(scope.place or {}).get("@index"), scope.around.record]
    return HASHED + sha256(json.dumps(content, sort_keys=True, default=str, ensure_ascii=True).encode()).hexdigest()[:32]


def _items(path: Path | None, scope: Scope) -> Iterator[Scope]:
    """The items of a list in a record, each a record with the other around it; without a path the record itself."""
    if path is None:
        yield scope
        return
    items = read_list(path.find(scope))
    if items is None:
        return
    if not isinstance(items, list) or len(items) > MAX_EACH:
        raise InvalidEvent("invalid_value", path.text, f"{path.text} must be a list of at most {MAX_EACH:,}.")
    for index, item in enumerate(items):
        yield Scope(item, scope, {"@index": index})


def _checked(field: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except ValueError as error:
        raise InvalidEvent("invalid_value", field, f"{field} cannot be used: {error}.") from error


def kind_of(rule: Value, kind: str, name: str) -> str:
    """What a value is made into. The properties that hold ids are known by their names."""
    kind = rule.as_ or kind
    if isinstance(rule, Id) and rule.as_ in (None, "text"):
        return "contact" if rule.type in CONTACTS else "id"
    if kind in ("", "text") and _ID_NAME.fullmatch(name):
        return "id" if kind else "plain id"
    return kind


def _source_of(rule: Value) -> str:
    if isinstance(rule.path, list):
        return ", ".join(rule.path)
    return rule.path or rule.sum or rule.template


def _texts(condition: Any) -> frozenset[str | None]:
    return frozenset(_text_of(one) for one in (condition if isinstance(condition, list) else [condition]))


def _text_of(value: Any) -> str | None:
    """A scalar's text for comparisons; None of nothing and of lists and objects."""
    if convert.says_nothing(value):
        return None
    try:
        return convert.text(value)
    except ValueError:
        return None


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    written = _text_of(value)
    return written is not None and len(written) <= MAX_MATCHED and pattern.fullmatch(written) is not None


def _taken(pattern: re.Pattern[str], value: Any, group: int | str) -> Any:
    """The value if it matches, or a group of the match; None if not."""
    written = _text_of(value)
    match = pattern.fullmatch(written) if written is not None and len(written) <= MAX_MATCHED else None
    return None if match is None else match[group] if group else value


def _split(pattern: re.Pattern[str], value: Any) -> list[str]:
    """The items of a text, without blank ones."""
    written = convert.text(value)
    if len(written) > MAX_MATCHED:
        raise ValueError(f"a text of more than {MAX_MATCHED:,} characters is not split")
    return [item for item in pattern.split(written) if item and not item.isspace()]


def _above(value: Any, limit: float, sign: DecimalSign) -> bool:
    try:
        return convert.decimal(value, decimal=sign) > convert.decimal(limit)
    except ValueError:
        return False
