"""Malformed requests of many named kinds, over every path of the collector; the same seed makes the same ones.

Each knows how many messages it carries, so that the ledger can be checked afterwards. A request that is refused as a whole
counts once. What is not counted, by design: what never became a request (the HTTP server answers 400 in plain text, or the
sender hung up), paths and methods that do not exist (404, 405), and requests to other parts of the API.
"""

import gzip
import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any
from urllib.parse import quote

Message = dict[str, Any]

HEAVY = 40  # a kind that moves megabytes comes so many times more seldom
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
LARGE = 5 * 1024 * 1024  # more than the collector takes, packed or not


@dataclass(frozen=True)
class Bad:
    """One request, as bytes for the wire.

    Attributes:
        kind: the name of what is wrong with it.
        wire: what is written to the connection.
        messages: how many messages it carries; counted if it is taken (2xx). Refused, it counts once.
        counts_as: what the ledger counts whatever the answer is; None: it depends on the answer.
        hangs_up: the sender closes the connection without waiting for an answer.
        keeps_alive: whether the connection can be used again afterwards.
    """

    kind: str
    wire: bytes
    messages: int = 1
    counts_as: int | None = None
    hangs_up: bool = False
    keeps_alive: bool = True

    def counts(self, status: int, content_type: str) -> int:
        """What the ledger must have counted after such an answer."""
        if self.counts_as is not None:
            return self.counts_as
        if self.hangs_up or status in (404, 405):
            return 0
        if status < 300:
            return self.messages
        return 0 if status == 400 and not content_type.startswith("application/json") else 1


@dataclass(frozen=True)
class Keys:
    """Write keys: one that works, and one that was disabled."""

    good: str
    disabled: str = "wk_disabled"
    wrong: str = "wk_wrong"


@dataclass(frozen=True)
class Request:
    """A request before it is written: `target` is path and query."""

    target: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"

    def wire(self) -> bytes:
        """The bytes."""
        head = {"Host": "127.0.0.1", "Content-Length": str(len(self.body)), **self.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        return f"{self.method} {self.target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1", "replace") + self.body


class Maker:
    """What the kinds are made with: randomness, keys, and ids that are used once."""

    def __init__(self, rng: Random, keys: Keys, run: str) -> None:
        self.rng, self.keys = rng, keys
        self._run, self._serial = run, 0

    def id(self) -> str:
        """A new id."""
        self._serial += 1
        return f"{self._run}-{self._serial}"

    def person(self) -> str:
        """One of a few hundred people: what is wrong with one message must not harm the next one of the same person."""
        return f"{self._run}-u{self.rng.randrange(300)}"

    def message(self, **fields: Any) -> Message:
        """A sound message in Segment's format, with other `fields`."""
        return {"type": "track", "event": "Product Viewed", "userId": self.person(), "messageId": self.id()} | fields

    def send(self, request: Request, messages: int = 1, **more: Any) -> Bad:
        """A request with the good key, by Basic authentication, unless it has one."""
        headers = basic(self.keys.good) | dict(request.headers)
        return Bad("", replace(request, headers=headers).wire(), messages, **more)

    def batch(self, *messages: Any) -> Bad:
        """A batch with some messages."""
        return self.send(Request("/v1/batch", text({"batch": list(messages)})), len(messages))

    def either(self, message: Message) -> Bad:
        """A message by itself, or as a batch of one."""
        if message.get("type") == "track" and self.rng.random() < 0.5:
            return self.send(Request("/v1/track", text(message)))
        return self.batch(message)


def text(value: Any) -> bytes:
    """JSON as Python's own encoder writes it: NaN, Infinity and lone surrogates included."""
    return json.dumps(value).encode()


def basic(key: str) -> dict[str, str]:
    """The header of Basic authentication with a write key."""
    return {"Authorization": f"Basic {b64encode(f'{key}:'.encode()).decode()}"}


def base64(value: Any) -> str:
    """JSON in base64, fit for a URL or a form."""
    return quote(b64encode(text(value)).decode(), safe="")


Make = Callable[[Maker], Bad]
Wire = Callable[[Maker, str], Request]
KINDS: dict[str, tuple[int, Make]] = {}


def kind(name: str, *, heavy: bool = False) -> Callable[[Make], Make]:
    """Register a kind under its name."""

    def add(make: Make) -> Make:
        assert name not in KINDS, name  # noqa: S101 - a slip in this file
        KINDS[name] = (1 if heavy else HEAVY, make)
        return make

    return add


def kinds() -> dict[str, tuple[int, Make]]:
    """Every kind by its name: how often it comes, and how it is made."""
    from loadtest import bad_bodies, bad_fields, bad_http

    assert bad_bodies and bad_fields and bad_http  # noqa: S101 - importing them registers their kinds
    return KINDS


def generate(seed: int, count: int, keys: Keys, run: str) -> Iterator[Bad]:
    """`count` requests: first one of each kind, then at random."""
    known = kinds()
    rng = Random(seed)
    maker = Maker(rng, keys, run)
    names, weights = list(known), [weight for weight, _ in known.values()]
    for number in range(count):
        (name,) = names[number : number + 1] or rng.choices(names, weights)
        yield replace(known[name][1](maker), kind=name)


def pack(body: bytes) -> bytes:
    """The body as gzip."""
    return gzip.compress(body, 1, mtime=0)
