"""Collect over HTTP: plain ASGI, because this is the hot path.

The answer is 200 only after the broker has every event, and every dead letter, of the request.
"""

import asyncio
import base64
import binascii
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cdp.clock import Clock
from cdp.errors import InvalidEvent, Unavailable
from cdp.events import DeadLetter, encode
from cdp.topics import Names
from serving import metrics
from serving.collect.body import Parsed, RefusedError, parse, too_large, unpack
from serving.collect.publish import Publisher, Record
from serving.collect.segment import MAX_MESSAGE_ID, Envelope, to_event
from serving.collect.times import skew_of
from serving.definitions.cache import Credentials
from serving.errors import RETRY_AFTER, answer

log = logging.getLogger(__name__)

EVENTS_BETWEEN_BREATHS = 250  # other requests get their turn while a large batch is mapped
MAX_REPORTED = 100
MAX_PAYLOAD = 1_000_000
CROSS_ORIGIN = {"Access-Control-Allow-Origin": "*"}
PREFLIGHT = CROSS_ORIGIN | {
    "Access-Control-Allow-Methods": "POST", "Access-Control-Allow-Headers": "*", "Access-Control-Max-Age": "86400",
}  # fmt: skip
SUCCESS = b'{"success":true}'


class _MessageId(msgspec.Struct, rename="camel"):
    message_id: Any = None


_decode_id = msgspec.json.Decoder(_MessageId).decode


@dataclass(frozen=True)
class Collector:
    """What collecting needs; `count_rejected(reason)` adds to the ledger and never raises."""

    names: Names
    publisher: Publisher
    credentials: Credentials
    clock: Clock
    count_rejected: Callable[[str], Awaitable[None]]
    max_event_bytes: int
    max_batch_bytes: int


class Collect:
    """The endpoint of one path: an ASGI app. `kind` is the type of message, "" for batch."""

    def __init__(self, collector: Collector, kind: str) -> None:
        self._collector = collector
        self._kind = kind
        self._route = kind or "batch"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one request."""
        request = Request(scope, receive)
        if request.method == "OPTIONS":
            await Response(b"", 204, PREFLIGHT)(scope, receive, send)
            return
        if request.method != "POST":
            await answer(405, "method_not_allowed", "Send events with POST.", headers={"Allow": "POST"})(scope, receive, send)
            return
        try:
            response = await self._collect(request)
        except RefusedError as error:
            metrics.rejected.labels(error.code).inc()
            await self._collector.count_rejected(error.code)
            headers = CROSS_ORIGIN | ({"WWW-Authenticate": "Basic"} if error.status == 401 else {})
            response = answer(error.status, error.code, error.message, remedy=error.remedy, headers=headers)
        except Unavailable as error:
            log.warning("collect answers 503: %s", error.message)
            response = answer(503, "unavailable", error.message, remedy=error.remedy, headers=CROSS_ORIGIN | RETRY_AFTER)
        except ClientDisconnect:
            return
        except Exception:  # nothing stands between here and the server that would answer in our shape
            log.exception("an unexpected error")
            response = answer(500, "internal", "Something went wrong on our side; the log tells more.", headers=CROSS_ORIGIN)
        metrics.requests.labels(self._route, str(response.status_code)).inc()
        await response(scope, receive, send)

    async def _collect(self, request: Request) -> Response:
        collector = self._collector
        received_at = collector.clock()
        source = await self._source(header_key(request.headers.get("authorization", "")))
        body = await _read(request, collector.max_batch_bytes)
        body = unpack(body, request.headers.get("content-encoding", "").lower(), collector.max_batch_bytes)
        parsed = parse(body, is_batch=not self._kind)
        if source is None:
            source = await self._source(parsed.outer.write_key)
        if source is None:
            raise RefusedError(401, "unauthorised", "The write key is missing or unknown.", "Make one with `cdp key create`.")
        records, refused = await self._map(parsed, self._envelope(parsed, source, received_at))
        started = time.perf_counter()
        await collector.publisher.publish(records)
        metrics.produce_seconds.observe(time.perf_counter() - started)
        metrics.accepted.inc(len(records) - len(refused))
        return Response(_report(len(records), refused) if refused else SUCCESS, 200, CROSS_ORIGIN, "application/json")

    async def _source(self, key: Any) -> str | None:
        """The name of a write key; None if it is none."""
        if not isinstance(key, str) or not key:
            return None
        grant = await self._collector.credentials.grant(key)
        return grant.name if grant is not None and grant.role is None else None

    def _envelope(self, parsed: Parsed, source: str, received_at: int) -> Envelope:
        outer = parsed.outer
        skew = skew_of(outer.sent_at, received_at)
        if self._kind:
            return Envelope(source, received_at, self._collector.max_event_bytes, self._kind, skew)
        stamp = outer.timestamp if isinstance(outer.timestamp, str | int | float) else None
        return Envelope(source, received_at, self._collector.max_event_bytes, "", skew, stamp, outer.context)

    async def _map(self, parsed: Parsed, envelope: Envelope) -> tuple[list[Record], list[dict[str, Any]]]:
        """Records for the broker, and what to tell the sender about those that became dead letters."""
        names = self._collector.names
        records: list[Record] = []
        refused: list[dict[str, Any]] = []
        for index, message in enumerate(parsed.messages):
            if index % EVENTS_BETWEEN_BREATHS == EVENTS_BETWEEN_BREATHS - 1:
                await asyncio.sleep(0)
            try:
                _, key, value = to_event(message, envelope)
                records.append((names.events, key, value))
            except InvalidEvent as error:
                metrics.dead_lettered.labels(error.reason).inc()
                refused.append({"index": index, "reason": error.reason, "field": error.field, "message": str(error)})
                records.append((names.dead_letters, envelope.source, encode(dead_letter(message, error, envelope))))
        return records, refused


def dead_letter(message: bytes, error: InvalidEvent, envelope: Envelope) -> DeadLetter:
    """What is kept of a message that could not be used; of a huge one, its beginning."""
    return DeadLetter(
        stage="collect",
        reason=error.reason,
        time=envelope.received_at,
        payload=message[:MAX_PAYLOAD].decode("utf-8", "replace"),
        field=error.field,
        detail=str(error)[:1000],
        message_id=_message_id(message),
        source=envelope.source,
    )


def _message_id(message: bytes) -> str:
    try:
        given = _decode_id(message).message_id
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ""
    return given[:MAX_MESSAGE_ID] if isinstance(given, str) else ""


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


async def _read(request: Request, limit: int) -> bytes:
    if int(request.headers.get("content-length", "0") or 0) > limit:
        raise too_large(limit)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def _report(records: int, refused: list[dict[str, Any]]) -> bytes:
    return msgspec.json.encode(
        {"success": True, "accepted": records - len(refused), "rejected": len(refused), "dead_lettered": refused[:MAX_REPORTED]}
    )
