"""What every dialect makes of a message, before the common checks: plain values, nothing trusted yet."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from cdp.errors import CdpError, InvalidEvent
from cdp.events import Kind
from serving.collect.times import Stamp

Object = dict[str, Any]

decode_object = msgspec.json.Decoder(Object).decode


class Draft(msgspec.Struct):
    """One message in the platform's own terms, as a dialect understood it.

    Attributes:
        kind: what sort of message it is. ``profile``: `event` names the operation (``set_once``, ``increment``, ``append``,
            ``unset``, ``delete``) and `traits` holds what it is done with. ``group`` and ``unbind`` are kept as facts.
        event: the event's name; a page's or screen's own name.
        message_id: the source's id; "" if it has none: one is drawn, and a repetition is not noticed.
        ids: (type, value, field): identifiers and the name of the field that each came from, for errors. Values may be of any
            type; "" and None say nothing.
        timestamp: when the source says that it happened, by the device's clock. `corrected`: that clock's error is out of it.
        sent_at: when the source says that it sent the message; None: the request's own `sent_at` counts.
        properties, traits, context: JSON objects, decoded. `context` uses Segment's names: ``page`` {url, path, referrer,
            title}, ``campaign`` {name, source, medium, term, content}, ``userAgent``, ``ip``, ``locale``, ``timezone``,
            ``device``, ``os``, ``app``, ``screen``, ``network``, ``consent``. What has no such name goes under a key with the
            dialect's name.
        channel, store: the sales channel and the store; any type, "" says nothing.
        library, version: the SDK.
    """

    kind: Kind
    event: str = ""
    message_id: str = ""
    ids: list[tuple[str, Any, str]] = []
    timestamp: Stamp = None
    corrected: bool = False
    sent_at: Stamp = None
    properties: Object = {}
    traits: Object = {}
    context: Object = {}
    channel: Any = ""
    store: Any = ""
    library: str = ""
    version: str = ""


class ItemDraft(NamedTuple):
    """Something that is not a person (a product, a shop), described or deleted. `timestamp` as in Draft."""

    item_type: str
    item_id: str
    operation: Literal["set", "delete"] = "set"
    properties: Object = {}  # noqa: RUF012 - never changed
    message_id: str = ""
    timestamp: Stamp = None
    library: str = ""
    version: str = ""


def object_of(value: Any, field: str, name: str = "") -> Object:
    """A field that must be an object. Nothing is an empty one, and so is an empty list: PHP has no other way to write it.

    Raises InvalidEvent. `name`: what the message calls the field; "": as `field`.
    """
    if type(value) is dict:
        return value
    if value is None or value == []:
        return {}
    raise InvalidEvent("wrong_type", field, f"{name or field} must be an object.")


class Broken(NamedTuple):
    """A message that could not even be read out of its request: it becomes a dead letter."""

    text: bytes
    error: InvalidEvent


class Incoming(NamedTuple):
    """One HTTP request, its body without compression.

    Attributes:
        path: without the query.
        query: parameters, each with its last value.
        headers: by lower-case name.
        key: the write key that the Authorization header carries, "" if none.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    key: str
    body: bytes


class Opened(NamedTuple):
    """What a dialect found in a request.

    Attributes:
        key: the write key; "" if none was given.
        messages: what `read` understands, one for each event, or `Broken`.
        sent_at: when the source says that it sent the request.
        timestamp, context: of the request, for messages that lack them.
        app: an application's name that may stand for a write key (Snowplow's app id, Sensors' project).
        dry_run: check the messages and answer, but publish nothing.
        context_text: the JSON text of `context`, b"" if there is none.
        texts: gives the messages as they came, for dead letters; None: they are encoded again.
        note: what the dialect wants to remember for `read` and `answer`.
        corrected: how many messages have the time of their arrival, since theirs could not be used; known when answering.
    """

    key: str
    messages: list[Any]
    sent_at: Stamp = None
    timestamp: Stamp = None
    context: Object = {}  # noqa: RUF012 - never changed
    app: str = ""
    dry_run: bool = False
    context_text: bytes = b""
    texts: Callable[[], list[bytes]] | None = None
    note: str = ""
    corrected: int = 0


class RefusedError(CdpError):
    """The whole request is refused, with an HTTP status; SDKs do not send it again."""

    def __init__(self, status: int, code: str, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.status = status
        self.code = code


class Answer(NamedTuple):
    """What a dialect answers when everything in a request was taken, or kept as a dead letter. `headers`: further ones."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


def with_corrected(said: Object, opened: Opened, status: int = 200) -> Answer:
    """An answer as JSON, with how many messages have another time than they said, if any."""
    return Answer(msgspec.json.encode(said | ({"corrected": opened.corrected} if opened.corrected else {})), status=status)


class Dialect(Protocol):
    """One wire format. Pure: no clock, no network."""

    name: str

    def open(self, incoming: Incoming) -> Opened:
        """Find key and messages. Raises RefusedError if the request cannot be read as a whole."""

    def read(self, message: Any, opened: Opened) -> Draft | ItemDraft:
        """Understand one message. Raises InvalidEvent if its content cannot be used; nothing else."""

    def id_of(self, message: Any) -> str:
        """The id that `read` gives to a message, also to one that it cannot use; "" if it has none. Never raises."""

    def answer(self, opened: Opened, refused: Sequence[tuple[int, InvalidEvent]]) -> Answer:
        """The answer to a request whose messages are safe; `refused`: index and error of those that became dead letters."""
