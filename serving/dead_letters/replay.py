"""Repair letters, and put what came out of it on the way that a fresh event takes. A letter counts once.

- Its message id stays the same, so PROFILE applies one of all its replays, and of the SDK's own retries.
- A letter whose repair has arrived is not replayed again.
- Between the two, a claim in Redis sees to it that two people who repair one letter in different ways at the same moment
  do not make two events of it. The same repair may be replayed again: after a crash nobody has to wait.
"""

import json
from collections import Counter
from functools import partial
from typing import Any, Literal, NamedTuple

import msgspec
import xxhash
from redis.exceptions import RedisError

from cdp.errors import InvalidEvent, Unavailable
from serving.collect.publish import Record
from serving.collect.wellformed import mend
from serving.dead_letters import letters
from serving.dead_letters.intake import Intake, arrived
from serving.dead_letters.letters import Position, Stored
from serving.dead_letters.models import Fault, Repaired, RepairRequest, Replayed, ReplayRequest
from serving.dead_letters.rule import Operation, repair
from serving.dead_letters.show import opened
from serving.parts import Parts

Outcome = Literal["", "replayed", "skipped"]

PAGE = 200
CLAIM_SECONDS = 600  # longer than a repair takes to arrive in ClickHouse, where it is seen from then on
TOO_DEEP = InvalidEvent("too_deep", "", "The message is nested too deeply.", "Send it flatter.")
NOT_JSON = InvalidEvent("invalid_json", "", "The payload is not JSON.", "Repair it by hand: give the whole payload.")


class Attempt(NamedTuple):
    """A letter, the repaired message, and the records that it makes, or why it makes none."""

    letter: Stored
    before: Any
    after: Any
    made: list[Record] | InvalidEvent


async def repair_one(parts: Parts, intake: Intake, id_: str, request: RepairRequest) -> Repaired:
    """Repair one letter. Raises ApiError 404, Unavailable."""
    letter = await parts.clickhouse(partial(letters.find, id_=id_, show=opened(parts.sealing.ring)))
    attempt = _attempt(intake, letter, request.rule or [], request.payload)
    if request.dry_run:
        return _shown(attempt, "skipped" if letter.replayed else "")
    (outcome,) = await _take(parts, [attempt])
    return _shown(attempt, outcome)


async def replay(parts: Parts, intake: Intake, request: ReplayRequest) -> Replayed:
    """Repair all open letters that fit, oldest first. Raises Unavailable."""
    counts: Counter[str] = Counter()
    refusals: Counter[str] = Counter()
    shown: list[Repaired] = []
    after: Position | None = None
    left, filter_ = request.limit, letters.sealed(request.filter, parts.sealing.sealer())
    while left > 0:
        wanted = min(PAGE, left)
        found = await parts.clickhouse(
            partial(
                letters.page,
                wanted=filter_,
                zone=parts.settings.timezone,
                part=letters.Part(wanted, "open", after, oldest_first=True),
                show=opened(parts.sealing.ring),
            )
        )
        attempts = [_attempt(intake, letter, request.rule, None) for letter in found.letters]
        nothing: list[Outcome] = [""] * len(attempts)
        outcomes = nothing if request.dry_run else await _take(parts, attempts)
        for attempt, outcome in zip(attempts, outcomes, strict=True):
            one = _shown(attempt, outcome)
            counts[one.outcome] += 1
            if one.error is not None:
                refusals[one.error.reason] += 1
            if len(shown) < request.show:
                shown.append(one)
        left -= len(found.letters)
        after = found.next
        if after is None:
            break
    return Replayed(
        matched=sum(counts.values()), passed=counts["passed"], replayed=counts["replayed"], refused=counts["refused"],
        skipped=counts["skipped"], more=left == 0, refusals=dict(refusals), shown=shown,
    )  # fmt: skip


def _attempt(intake: Intake, letter: Stored, rule: list[Operation], by_hand: Any) -> Attempt:
    before = letters.decoded(letter.payload)
    if by_hand is None and isinstance(before, str):
        return Attempt(letter, before, before, NOT_JSON)
    after = None
    try:
        after = _plain(repair(before if by_hand is None else by_hand, rule))
        return Attempt(letter, before, after, intake.read(letter, after))
    except InvalidEvent as error:
        return Attempt(letter, before, after, error)
    except RecursionError:
        return Attempt(letter, before, after, TOO_DEEP)


async def _take(parts: Parts, attempts: list[Attempt]) -> list[Outcome]:
    """Claim and publish what passed. Returns the outcome of each: "" if there is nothing to publish."""
    usable = [(index, a.made) for index, a in enumerate(attempts) if isinstance(a.made, list) and not a.letter.replayed]
    claimed = await _claim(parts, [(attempts[index].letter, made) for index, made in usable])
    now = parts.clock()
    outcomes: list[Outcome] = ["skipped" if attempt.letter.replayed else "" for attempt in attempts]
    records = []
    for (index, made), mine in zip(usable, claimed, strict=True):
        outcomes[index] = "replayed" if mine else "skipped"
        if mine:
            records += [arrived(record, now, parts.names.items) for record in made]
    if records:
        await parts.publisher.publish(records)
    return outcomes


async def _claim(parts: Parts, wanted: list[tuple[Stored, list[Record]]]) -> list[bool]:
    """For each letter, whether it may be replayed in this form."""
    if not wanted:
        return []
    pipeline = parts.redis.pipeline(transaction=False)
    forms = [xxhash.xxh3_128_digest(b"\n".join(record.value for record in made)) for _, made in wanted]
    for (letter, _), form in zip(wanted, forms, strict=True):
        key = f"{parts.names.prefix}:replaying:{letter.partition}:{letter.offset}"
        pipeline.set(key, form, nx=True, ex=CLAIM_SECONDS)
        pipeline.get(key)
    try:
        answers = await pipeline.execute()
    except RedisError as error:
        raise Unavailable("Redis does not answer.", "Try again later; see /readyz.") from error
    return [form == held for form, held in zip(forms, answers[1::2], strict=True)]


def _shown(attempt: Attempt, outcome: Outcome) -> Repaired:
    """`outcome`: "" is a dry run, or nothing that could be taken."""
    id_, before, after, made = attempt.letter.id, attempt.before, attempt.after, attempt.made
    if outcome != "skipped" and isinstance(made, InvalidEvent):
        fault = Fault(reason=made.reason, field=made.field, message=str(made))
        return Repaired(id=id_, outcome="refused", before=before, after=after, error=fault)
    return Repaired(id=id_, outcome=outcome or "passed", before=before, after=after)


def _written(message: Any) -> bytes:
    """A message as JSON, mended as bodies are."""
    try:
        return msgspec.json.encode(message)
    except UnicodeError:
        return mend(json.dumps(message).encode())


def _plain(message: Any) -> Any:
    """A message as every JSON reader can read it. Raises InvalidEvent, RecursionError."""
    try:
        plain = msgspec.json.decode(_written(message))
    except (msgspec.MsgspecError, UnicodeError, OverflowError, ValueError) as error:
        raise InvalidEvent(
            "invalid_json", "payload", f"The message cannot be written as JSON: {str(error)[:200]}.",
            "Leave out huge numbers.",
        ) from error  # fmt: skip
    if letters.is_too_deep(plain):
        raise RecursionError
    return plain
