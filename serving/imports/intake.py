"""What the endpoints for orders, members and mapped records share: one request, many items, a result for each."""

import asyncio
import base64
import hmac
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from cdp.errors import InvalidEvent
from serving.collect.body import decode_items, too_large, unpack
from serving.collect.collector import KEY_PARAMETERS, Collector, QuotaError, Unused, header_key
from serving.collect.draft import Broken, RefusedError
from serving.errors import answer
from serving.imports.apply import WARNINGS
from serving.imports.idempotency import claim
from serving.imports.models import MAX_ITEMS

Convert = Callable[[Any], list[dict[str, Any]]]
Label = Callable[[int, Any], dict[str, Any]]
SKIPPED = "skipped"
ITEMS_BETWEEN_BREATHS = 25  # other requests get their turn while many are converted
JSON = "application/json"

_encode = msgspec.json.Encoder(enc_hook=str).encode


@dataclass(frozen=True)
class Subject:
    """What an endpoint takes.

    Attributes:
        items: finds the items in a decoded body; raises RefusedError.
        convert: the messages of an item; raises InvalidEvent.
        label: what a result says of its item beside its fate, from its index and itself.
        name: of the dead letters of items that cannot be used: by it a repair finds `convert` again.
        id: the message id of such a letter, from the item.
        field: where the items stand in a body that is an object; "" if only the body itself can be an item, or a list of them.
    """

    items: Callable[[Any], list[Any]]
    convert: Convert
    label: Label
    name: str
    id: Callable[[Any], str]
    field: str = ""


@dataclass
class _Work:
    """Items on their way: the messages of all, whose they are, and the items that cannot be used."""

    results: list[dict[str, Any]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    unused: list[Unused] = field(default_factory=list)
    corrected: int = 0

    def count_corrected(self, message: int) -> None:
        """A message has the time of its arrival, since its own could not be used: say so where its item is told of."""
        self.corrected += 1
        result = self.results[self.owners[message]]
        result["corrected"] = result.get("corrected", 0) + 1


async def take(
    request: Request, collector: Collector, redis: Any, subject: Subject, *, verify: Callable[[bytes], None] | None = None
) -> Response:
    """Answer a request: 200 with a result for each item when what is accepted is safe.

    Args:
        verify: checks the body as it came, e.g. its signature; raises RefusedError.

    Raises ApiError for a problem with the Idempotency-Key, Unavailable if nothing could be made safe.
    """
    try:
        received_at = collector.clock()
        raw = await _read(request, collector.max_batch_bytes)
        grant = await collector.grant_of(_key(request))
        if verify is not None:
            verify(raw)
        body = unpack(raw, request.headers.get("content-encoding", "").lower(), collector.max_batch_bytes)
        items = _checked(_items(subject, body))
        collector.charge(grant, len(items))
    except RefusedError as error:
        await collector.count_rejected(error.code)
        return refusal(error)
    except ClientDisconnect:  # nobody is there to hear it
        return Response(status_code=400)
    key = request.headers.get("idempotency-key")
    store, asked = f"{collector.names.prefix}:idem:{grant.name}", request.url.path.encode() + b"\n" + body
    held = await claim(redis, collector.finish.sealer().keyring, store, key, asked) if key else None
    if isinstance(held, bytes):
        return Response(held, 200, {"Idempotency-Replayed": "true"}, JSON)
    try:
        made = msgspec.json.encode(await _work(collector, grant.name, items, subject, received_at))
    except BaseException:
        if held is not None:
            await held.release()
        raise
    if held is not None:
        await held.finish(made)
    return Response(made, 200, None, JSON)


def refusal(error: RefusedError) -> Response:
    """The answer to a request that is refused as a whole."""
    headers = {"WWW-Authenticate": "Basic"} if error.status == 401 else {}
    if isinstance(error, QuotaError):
        headers = {"Retry-After": str(max(1, math.ceil(error.wait)))}
    return answer(error.status, error.code, error.message, remedy=error.remedy, headers=headers)


def check_signature(secret: str, header: str, given: str) -> Callable[[bytes], None]:
    """A check of the base64 HMAC-SHA256 that a header carries over the body."""

    def verify(body: bytes) -> None:
        wanted = base64.b64encode(hmac.digest(secret.encode(), body, sha256)).decode()
        if not hmac.compare_digest(wanted.encode(), given.encode("utf-8", "replace")):
            raise RefusedError(401, "bad_signature", f"{header} does not fit the body.", "Check the secret on both sides.")

    return verify


def listed(name: str) -> Callable[[Any], list[Any]]:
    """Items of a body that is one object, or an object with a list of them."""

    def items(body: Any) -> list[Any]:
        if not isinstance(body, dict):
            raise RefusedError(400, "invalid_request", "The body is not a JSON object.", f'Send one, or {{"{name}": [...]}}.')
        if name not in body:
            return [body]
        if not isinstance(body[name], list):
            raise RefusedError(400, "invalid_request", f"{name} must be a list.", f'Send {{"{name}": [...]}}.')
        return list(body[name])

    return items


def one_or_many(body: Any) -> list[Any]:
    """Items of a body that is one object or a list of them."""
    if not isinstance(body, dict | list):
        raise RefusedError(400, "invalid_request", "The body is neither an object nor a list.", "Send one record or a list.")
    return body if isinstance(body, list) else [body]


async def _work(collector: Collector, source: str, items: list[Any], subject: Subject, received_at: int) -> dict[str, Any]:
    work = _Work()
    for index, item in enumerate(items):
        _convert(work, index, item, subject)
        if index % ITEMS_BETWEEN_BREATHS == ITEMS_BETWEEN_BREATHS - 1:
            await asyncio.sleep(0)
    errors: list[InvalidEvent | None] = []
    if work.messages or work.unused:
        errors = await collector.take(
            source, work.messages, unused=work.unused, received_at=received_at, on_corrected=work.count_corrected
        )
    for owner, message, error in zip(work.owners, work.messages, errors, strict=True):
        if error is not None:
            told = {"events": work.results[owner]["events"] - 1, "message_id": message["messageId"]}
            work.results[owner] |= _reason(error) | told
    fates = Counter(result["status"] for result in work.results)
    told = {"results": work.results, "accepted": fates["accepted"], "rejected": fates["rejected"]}
    return told | ({"corrected": work.corrected} if work.corrected else {})


def _convert(work: _Work, index: int, item: Any, subject: Subject) -> None:
    result = subject.label(index, item)
    try:
        if isinstance(item, Broken):
            raise item.error
        made = subject.convert(item)
        if warnings := [warning for message in made for warning in message.pop(WARNINGS, ())]:
            result["warnings"] = warnings
        work.messages += made
        work.owners += [index] * len(made)
        work.results.append(result | {"status": "accepted" if made else SKIPPED, "events": len(made)})
    except InvalidEvent as error:
        id_ = subject.id(item)
        work.unused.append(Unused(subject.name, _text_of(item), error, id_))
        work.results.append(result | _reason(error) | {"events": 0} | ({"message_id": id_} if id_ else {}))


def _text_of(item: Any) -> bytes:
    """An item as it came, as far as that is known."""
    if isinstance(item, Broken):
        return item.text
    try:
        return _encode(item)
    except (UnicodeError, RecursionError, msgspec.MsgspecError, OverflowError):
        return repr(item).encode("utf-8", "replace")


def _reason(error: InvalidEvent) -> dict[str, Any]:
    return {"status": "rejected", "code": error.reason, "field": error.field, "message": str(error)}


def _checked(items: list[Any]) -> list[Any]:
    if len(items) > MAX_ITEMS:
        raise RefusedError(422, "too_many_items", f"There are more than {MAX_ITEMS:,} items.", "Send them in several requests.")
    return items


def _items(subject: Subject, body: bytes) -> list[Any]:
    """The items of a body; those that cannot be decoded are `Broken`, and the others go on."""
    decoded = decode_items(body, subject.field)
    return [decoded] if isinstance(decoded, Broken) else subject.items(decoded)


async def _read(request: Request, limit: int) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def _key(request: Request) -> str:
    """The write key: of the Authorization header, or of the query, since webhooks often know nothing but an address."""
    found = header_key(request.headers.get("authorization", ""))
    if found:
        return found
    try:
        query = dict(parse_qsl(request.url.query, max_num_fields=100))
    except ValueError:
        return ""
    return next((query[name] for name in KEY_PARAMETERS if query.get(name)), "")
