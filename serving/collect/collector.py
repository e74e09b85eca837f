"""Collect one request: whose it is, what is in it, and that it is safe before it is answered.

Whatever server a request came through, it comes here.
"""

import asyncio
import base64
import binascii
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import parse_qsl
from uuid import uuid4

import msgspec

from cdp.clock import Clock
from cdp.errors import InvalidEvent, Unavailable
from cdp.events import EMPTY_OBJECT, DeadLetter, encode
from cdp.mask import mask_all
from cdp.seal import LETTER
from cdp.secrets import are_inside, hide, hide_in_text
from cdp.topics import Names
from rules.seal import Sealer
from serving import metrics
from serving.collect.body import unpack
from serving.collect.dialects.segment import SUCCESS, Message, Segment
from serving.collect.draft import Answer, Broken, Dialect, Incoming, Opened, RefusedError
from serving.collect.finish import MAX_MESSAGE_ID, Arrival, Finish
from serving.collect.publish import Publisher, Record
from serving.collect.quick import Quick
from serving.collect.quota import Quota
from serving.collect.times import skew_of
from serving.collect.wellformed import mend_text
from serving.definitions.cache import MISSING, Credentials
from serving.definitions.credentials import ANY_ORIGIN, Grant

log = logging.getLogger(__name__)

EVENTS_BETWEEN_BREATHS = 250  # other requests get their turn while a large batch is mapped
MAX_PAYLOAD = 1_000_000
MAX_PARAMETERS = 1_000
KEY_PARAMETERS = ("key", "token", "writeKey", "write_key", "api_key")
RETRY_SECONDS = 1
JSON = "application/json"

Header = tuple[bytes, bytes]


class Request(NamedTuple):
    """One HTTP request as a server has read it: header names in lower case, the query undecoded, the body as it came."""

    method: str
    path: str
    query: bytes
    headers: Sequence[Header]
    body: bytes
    ip: str


class Reply(NamedTuple):
    """The answer: its status, content type, body and further headers."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[Header, ...] = ()


class Unused(NamedTuple):
    """Something that another part of the API could make no message of: it is kept as a dead letter of that part.

    `name` says whose, as a dialect's name does; `text` is what came.
    """

    name: str
    text: bytes
    error: InvalidEvent
    message_id: str = ""


_encode_anything = msgspec.json.Encoder(enc_hook=str).encode
_SERVER = Segment("")


@dataclass(frozen=True)
class Collector:
    """What collecting needs; `count_rejected(reason, n)` adds to the ledger and never raises."""

    names: Names
    publisher: Publisher
    credentials: Credentials
    clock: Clock
    finish: Finish
    count_rejected: Callable[..., Awaitable[None]]
    max_batch_bytes: int
    trust_proxy: bool = False
    quick: Quick | None = None
    quota: Quota = field(default_factory=Quota)

    async def handle(self, dialect: Dialect, request: Request) -> Reply:
        """Answer a request. Never raises."""
        return await self._answer(dialect, request, self._collect(dialect, request))

    def plain(self, dialect: Dialect, request: Request) -> Record | None:
        """The record of a request that holds one plain message, of a known key; None, and nothing is done, if any other.

        For servers that can do without a task for it: the record is for `publisher.hand_over`, then comes `taken` or `save`.
        """
        if self.quick is None or type(dialect) is not Segment or not dialect.said or request.method != "POST" or request.query:
            return None
        try:
            return self._plain(self.quick, dialect, request, self.clock())
        except Exception:  # whatever it is: the general way finds it again, and answers in our shape
            return None

    def _plain(self, quick: Quick, dialect: Segment, request: Request, received_at: int) -> Record | None:
        headers = dict(request.headers)
        key = header_key(headers.get(b"authorization", b"").decode("latin-1"))
        encoding = headers.get(b"content-encoding", b"").decode("latin-1").lower()
        body = unpack(request.body, encoding, self.max_batch_bytes)
        opened = dialect.open(Incoming("POST", request.path, {}, {}, key, body))
        grant = self.credentials.known(key or opened.key)
        (message,) = opened.messages
        if not isinstance(grant, Grant) or not _is_free(grant) or not isinstance(message, Message):
            return None
        if _is_inside(body, self._used(grant, key, opened.key)):
            return None
        skew = skew_of(opened.sent_at, received_at)
        agent = headers.get(b"user-agent", b"").decode("latin-1")
        forwarded = headers.get(b"x-forwarded-for", b"").decode("latin-1") if self.trust_proxy else ""
        arrival = Arrival(grant.name, received_at, skew, opened.timestamp, client_of(request, forwarded), agent)
        return quick.of(dialect.said, opened, arrival)(message)

    def taken(self, dialect: Dialect, request: Request) -> Reply:
        """The answer to a request whose record Kafka has."""
        metrics.accepted.inc()
        metrics.count_request(dialect.name, SUCCESS.status)
        return replying(SUCCESS, request)

    async def save(self, dialect: Dialect, request: Request, record: Record, error: str) -> Reply:
        """Answer a request whose record Kafka did not take. Never raises."""
        log.warning("Kafka did not take a record: %s", error)
        return await self._answer(dialect, request, self._save(request, record))

    async def _save(self, request: Request, record: Record) -> Reply:
        await self.publisher.publish([record])
        metrics.accepted.inc()
        return replying(SUCCESS, request)

    async def _answer(self, dialect: Dialect, request: Request, work: Awaitable[Reply]) -> Reply:
        try:
            reply = await work
        except RefusedError as error:
            metrics.rejected.labels(error.code).inc()
            await self.count_rejected(error.code)
            reply = refusal(error, request)
        except Unavailable as error:
            log.warning("collect answers 503: %s", error.message)
            reply = _error(503, "unavailable", error.message, error.remedy, request, ((b"retry-after", b"%d" % RETRY_SECONDS),))
        except Exception:  # nothing stands between here and the server that would answer in our shape
            log.exception("an unexpected error")
            reply = _error(500, "internal", "Something went wrong on our side; the log tells more.", "", request)
        metrics.count_request(dialect.name, reply.status)
        return reply

    async def take(
        self, source: str, messages: Sequence[Any], *, unused: Sequence[Unused] = (), replay_of: Sequence[str] = (),
        received_at: int | None = None, on_corrected: Callable[[int], None] = lambda _: None,
    ) -> list[InvalidEvent | None]:  # fmt: skip
        """Take messages in Segment's form from another part of the API: what is wrong with each, or None.

        All are safe when this returns; those with a fault are dead letters. Raises Unavailable if nothing is safe.

        Args:
            unused: what no messages could be made of.
            replay_of: for each message, the position of the dead letter that it repairs.
            received_at: when the messages first came, in microseconds; None: now.
            on_corrected: hears the index of each message whose time could not be used, and is that of its arrival.
        """
        arrival = Arrival(source, self.clock() if received_at is None else received_at)
        errors: list[InvalidEvent | None] = []
        records: list[Record] = [self._letter(one, one.text, one.error, arrival, one.message_id) for one in unused]
        opened = Opened("", list(messages))
        for index, message in enumerate(messages):
            if index % EVENTS_BETWEEN_BREATHS == EVENTS_BETWEEN_BREATHS - 1:
                await asyncio.sleep(0)
            repairs = arrival._replace(replay_of=replay_of[index]) if replay_of else arrival
            record = self._record(_SERVER, message, opened, repairs)
            if isinstance(record, InvalidEvent):
                errors.append(record)
                records.append(self._letter(_SERVER, _encode_anything(message), record, arrival, message.get("messageId", "")))
            else:
                errors.append(None)
                records.append(record)
                if record.corrected:
                    on_corrected(index)
        await self.publisher.publish(records)
        for reason in [one.error.reason for one in unused] + [error.reason for error in errors if error is not None]:
            metrics.dead_lettered.labels(reason).inc()
        return errors

    def _letter(self, of: Dialect | Unused, text: bytes, error: InvalidEvent, arrival: Arrival, message_id: str) -> Record:
        letter = dead_letter(of, text, error, Opened("", []), arrival, self.finish.sealer(), message_id)
        return Record(self.names.dead_letters, arrival.source, encode(letter))

    async def grant_of(self, *secrets: str, app: str = "") -> Grant:
        """Whose write key the first known one of some secrets is, or an application's name stands for.

        Raises RefusedError if nobody's, Unavailable if nobody can say.
        """
        for secret in secrets:
            if secret and (grant := await self._grant(secret)) is not None:
                return grant
        if app:
            found = self.credentials.known_app(app)
            if found is MISSING:
                found = await self.credentials.app(app)
            if isinstance(found, Grant):
                return found
        raise RefusedError(401, "unauthorised", "The write key is missing or unknown.", "Make one with `cdp key create`.")

    async def _grant(self, secret: str) -> Grant | None:
        found = self.credentials.known(secret)
        if found is MISSING:
            found = await self.credentials.grant(secret)
        return found if isinstance(found, Grant) and found.role is None else None

    def _used(self, grant: Grant, *secrets: str) -> tuple[str, ...]:
        """Those of some secrets that are a write key's."""
        found = ((secret, self.credentials.known(secret)) for secret in dict.fromkeys(secrets) if secret)
        return tuple(secret for secret, its in found if isinstance(its, Grant) and its.name == grant.name)

    def charge(self, grant: Grant, events: int) -> None:
        """Count events against a key's quota. Raises RefusedError 429 if it is used up."""
        wait = self.quota.take(grant.name, grant.quota_rate, grant.quota_burst, events)
        if wait:
            raise QuotaError(wait)

    async def _collect(self, dialect: Dialect, request: Request) -> Reply:
        received_at = self.clock()
        incoming = _incoming(request, self.max_batch_bytes)
        if request.method == "OPTIONS":
            return Reply(204, JSON, b"", _cross_origin(request) + _preflight(request))
        opened = dialect.open(incoming)
        secrets = incoming.key, opened.key, _key_in(incoming.query)
        grant = await self.grant_of(*secrets, app=opened.app)
        if grant.origins is not ANY_ORIGIN:
            _check_origin(incoming.headers.get("origin", ""), grant)
        if grant.quota_rate is not None:
            self.charge(grant, len(opened.messages))
        arrival = Arrival(
            grant.name, received_at, skew_of(opened.sent_at, received_at), opened.timestamp,
            client_of(request, incoming.headers.get("x-forwarded-for", "") if self.trust_proxy else ""),
            incoming.headers.get("user-agent", ""), secrets=self._used(grant, *secrets),
        )  # fmt: skip
        records, refused = await self._map(dialect, opened, arrival, incoming.body)
        corrected = sum(record.corrected for record in records)
        if corrected:
            opened = opened._replace(corrected=corrected)
        if not opened.dry_run:
            await self.publisher.publish(records)
            metrics.accepted.inc(len(records) - len(refused))
            for _, error in refused:
                metrics.dead_lettered.labels(error.reason).inc()
        return replying(dialect.answer(opened, refused), request)

    async def _map(
        self, dialect: Dialect, opened: Opened, arrival: Arrival, body: bytes
    ) -> tuple[list[Record], list[tuple[int, InvalidEvent]]]:
        """Records for the broker, and what is wrong with the messages that became dead letters."""
        records: list[Record] = []
        refused: list[tuple[int, InvalidEvent]] = []
        quick: Callable[[Message], Record | None] = _never
        if self.quick is not None and type(dialect) is Segment and not _is_inside(body, arrival.secrets):
            quick = self.quick.of(dialect.said, opened, arrival)
        for start in range(0, len(opened.messages), EVENTS_BETWEEN_BREATHS):
            if start:
                await asyncio.sleep(0)
            for index, message in enumerate(opened.messages[start : start + EVENTS_BETWEEN_BREATHS], start):
                record = quick(message) if isinstance(message, Message) else None
                if record is None:
                    found = self._record(dialect, message, opened, arrival)
                    if isinstance(found, InvalidEvent):
                        refused.append((index, found))
                        text = _text_of(message, index, opened)
                        id_ = dialect.id_of(message)
                        letter = dead_letter(dialect, text, found, opened, arrival, self.finish.sealer(), id_)
                        found = Record(self.names.dead_letters, arrival.source, encode(letter))
                    record = found
                records.append(record)
        return records, refused

    def _record(self, dialect: Dialect, message: Any, opened: Opened, arrival: Arrival) -> Record | InvalidEvent:
        try:
            if type(message) is Broken:
                return message.error
            return self.finish(dialect.read(message, opened), arrival)
        except InvalidEvent as error:
            return error
        except Exception:  # a message that we did not foresee must not take the others of its batch with it
            log.exception("an unexpected error in a message of the dialect %s", dialect.name)
            return InvalidEvent("unreadable", "", "The message could not be understood; the collector's log tells more.")


def client_of(request: Request, forwarded: str) -> str:
    """The client's address; a proxy of ours adds it at the end of what others may have written, "" if none is trusted."""
    return forwarded.rpartition(",")[2].strip() if forwarded else request.ip


def _is_inside(body: bytes, secrets: tuple[str, ...]) -> bool:
    """Whether a secret of another form than ours stands in a body: whoever passes texts on would not notice it."""
    return are_inside(body, [secret for secret in secrets if not secret.startswith(("wk_", "tk_"))])


def _is_free(grant: Grant) -> bool:
    """Whether it is a write key's that nothing is to be checked of."""
    return grant.role is None and grant.quota_rate is None and grant.origins is ANY_ORIGIN


def _never(_: Message) -> None:
    """No message of the other dialects is plain."""


class QuotaError(RefusedError):
    """The key has sent more than its quota allows; `wait` is how long until it may again, in seconds."""

    def __init__(self, wait: float) -> None:
        super().__init__(429, "quota_exceeded", "The write key's quota is used up.", "Send it again after the time given.")
        self.wait = wait


def _text_of(message: Any, index: int, opened: Opened) -> bytes:
    """A message as it came, as far as that is known."""
    if isinstance(message, Broken):
        return message.text
    return opened.texts()[index] if opened.texts is not None else _encode_anything(message)


def dead_letter(
    dialect: Dialect | Unused,
    text: bytes,
    error: InvalidEvent,
    opened: Opened,
    arrival: Arrival,
    sealer: Sealer,
    message_id: str = "",
) -> DeadLetter:
    """What is kept of a message that could not be used; of a huge one, its beginning. What came is sealed whole.

    The message's id is written as it is in events, so that the letter is found by it.
    """
    return DeadLetter(
        stage="collect",
        reason=error.reason,
        time=arrival.received_at,
        payload=sealer.whole(LETTER, hide(text[:MAX_PAYLOAD], arrival.secrets, arrival.source).decode("utf-8", "replace")),
        field=mask_all(error.field),
        detail=sealer.explanation(_without_secrets(str(error)[:1000], arrival), error.field),
        message_id=sealer.message_id(_without_secrets(mend_text(message_id[:MAX_MESSAGE_ID]), arrival)),
        source=arrival.source,
        letter_id=uuid4().hex,
        dialect=dialect.name,
        request=_request_of(opened, arrival, sealer),
    )


def _without_secrets(text: str, arrival: Arrival) -> str:
    return hide_in_text(hide(text.encode("utf-8", "replace"), arrival.secrets, arrival.source).decode())


def _request_of(opened: Opened, arrival: Arrival, sealer: Sealer) -> msgspec.Raw:
    """What the request said for all of its messages: a JSON text that holds the sealed object; {} if it said nothing."""
    said = {"sent_at": opened.sent_at, "timestamp": opened.timestamp, "context": opened.context or None}
    given = {name: value for name, value in said.items() if value is not None}
    if not given:
        return EMPTY_OBJECT
    written = hide(_encode_anything(given), arrival.secrets, arrival.source)
    return msgspec.Raw(encode(sealer.whole(LETTER, written.decode())))


def _incoming(request: Request, limit: int) -> Incoming:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers}
    body = unpack(request.body, headers.get("content-encoding", "").lower(), limit) if request.body else b""
    return Incoming(
        request.method,
        request.path,
        _query(request.query) if request.query else {},
        headers,
        header_key(headers.get("authorization", "")),
        body,
    )


def _query(query: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_PARAMETERS))
    except ValueError as error:
        raise RefusedError(400, "invalid_request", "The query cannot be read.", "Send fewer parameters.") from error


def _key_in(query: dict[str, str]) -> str:
    return next((query[name] for name in KEY_PARAMETERS if query.get(name)), "") if query else ""


@lru_cache(maxsize=4096)
def header_key(authorization: str) -> str:
    """The write key of an Authorization header: the user of Basic, or the token of Bearer; "" if there is none."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value).decode().partition(":")[0]
    except (binascii.Error, ValueError):
        return ""


# -- answers ---------------------------------------------------------------------------------------------------------------


def _check_origin(origin: str, grant: Grant) -> None:
    if origin and origin not in grant.origins and "*" not in grant.origins:
        raise RefusedError(
            403, "origin_not_allowed", f"The write key may not be used from {origin[:200]}.", "Add the origin to the key."
        )


def _cross_origin(request: Request) -> tuple[Header, ...]:
    """Browsers may read the answer. The origin itself is named, since beacons are sent with credentials."""
    for name, value in request.headers:
        if name == b"origin":
            origin = value if _is_safe(value) else b"null"
            return (
                (b"access-control-allow-origin", origin), (b"access-control-allow-credentials", b"true"),
                (b"access-control-expose-headers", b"retry-after"), (b"vary", b"origin"),
            )  # fmt: skip
    return ()


def _is_safe(value: bytes) -> bool:
    return value.isascii() and b"\r" not in value and b"\n" not in value


def _preflight(request: Request) -> tuple[Header, ...]:
    """Which key it will be is not known yet, so that every origin may ask; the request itself is checked."""
    asked = next((value for name, value in request.headers if name == b"access-control-request-headers"), b"*")
    return (
        (b"access-control-allow-methods", b"GET, POST"),
        (b"access-control-allow-headers", asked if _is_safe(asked) else b"*"),
        (b"access-control-max-age", b"86400"),
    )


def refusal(error: RefusedError, request: Request) -> Reply:
    """The answer to a request that is refused as a whole."""
    more: tuple[Header, ...] = ()
    if isinstance(error, QuotaError):
        more = ((b"retry-after", b"%d" % max(1, math.ceil(error.wait))),)
    elif error.status == 401 and request.method == "POST" and not _cross_origin(request):
        # not for browsers: a pixel's answer would open a login window in the shop
        more = ((b"www-authenticate", b"Basic"),)
    return _error(error.status, error.code, error.message, error.remedy, request, more)


def _error(status: int, code: str, message: str, remedy: str, request: Request, more: tuple[Header, ...] = ()) -> Reply:
    body = {"code": code, "message": message} | ({"remedy": remedy} if remedy else {})
    return Reply(status, JSON, msgspec.json.encode(body), _cross_origin(request) + more)


def replying(answer: Answer, request: Request) -> Reply:
    """A dialect's answer, as servers send it."""
    more = tuple((name.lower().encode(), value.encode()) for name, value in answer.headers)
    return Reply(answer.status, answer.content_type, answer.body, _cross_origin(request) + more)
