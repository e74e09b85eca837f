"""GET and POST /v1/dead-letters."""

from functools import partial
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.convertors import StringConvertor, register_url_convertor

from cdp.clock import Calendar
from serving.analytics.span import When
from serving.auth import Analyst, Ops, PartsDep
from serving.collect.collector import Collector
from serving.dead_letters import letters
from serving.dead_letters.intake import Intake
from serving.dead_letters.models import (
    LETTER_ID,
    Cursor,
    Filter,
    Letter,
    LetterId,
    Letters,
    MessageId,
    Repaired,
    RepairRequest,
    Replayed,
    ReplayRequest,
    Status,
    Summary,
    Word,
)
from serving.dead_letters.replay import repair_one, replay
from serving.dead_letters.show import masked, opened
from serving.definitions.credentials import Grant
from serving.errors import documented
from serving.imports.router import MappersDep
from serving.imports.subjects import converters
from serving.parts import Parts
from serving.sealing import sees_plain

router = APIRouter(prefix="/v1/dead-letters", tags=["dead letters"])


class _LetterConvertor(StringConvertor):
    """Only what can be an id is one: `/replay` and `/summary` are no letters."""

    regex = LETTER_ID


register_url_convertor("letter", _LetterConvertor())


def _intake(request: Request, parts: PartsDep, mappers: MappersDep) -> Intake:
    """The collector's own checks and dialects; of a dialect's several paths the last one reads everything from the message."""
    collector = cast(Collector, request.app.state.collector)
    dialects = {endpoint.dialect.name: endpoint.dialect for endpoint in request.app.collect.values()}
    return Intake(collector.finish, dialects, converters(mappers, Calendar(parts.settings.timezone), collector.clock))


def _filter(  # noqa: PLR0913 - a query's parameters
    parts: PartsDep,
    stage: Annotated[Word | None, Query(description="Where it was refused: collect, resolve, profile or facts.")] = None,
    reason: Annotated[Word | None, Query(description="Why, e.g. invalid_number.")] = None,
    source: Annotated[Word | None, Query(description="The write key's name.")] = None,
    event: Annotated[Word | None, Query(description="The event's name, as the payload has it.")] = None,
    message_id: Annotated[MessageId | None, Query(description="The message's id, as it was sent or as `events` has it.")] = None,
    text: Annotated[Word | None, Query(description="Stands in the payload or in the explanation.")] = None,
    since: Annotated[When | None, Query(description="Refused at or after this moment.")] = None,
    until: Annotated[When | None, Query(description="Refused before this moment.")] = None,
) -> Filter:
    wanted = Filter(
        stage=stage, reason=reason, source=source, event=event, message_id=message_id, text=text, since=since, until=until
    )
    return letters.sealed(wanted, parts.sealing.sealer())


def _show(parts: Parts, grant: Grant) -> letters.Show:
    """What a holder of a token sees of letters."""
    return opened(parts.sealing.ring) if sees_plain(grant) else masked(parts.sealing.ring)


Wanted = Annotated[Filter, Depends(_filter)]
IntakeDep = Annotated[Intake, Depends(_intake)]
Id = Annotated[LetterId, Path(description="Partition and offset on the topic of dead letters.")]


@router.get("", summary="Dead letters, newest first", responses=documented())
async def list_letters(
    parts: PartsDep,
    grant: Analyst,
    wanted: Wanted,
    status: Annotated[Status | None, Query(description="Only open or only replayed ones.")] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="How many at most.")] = 50,
    cursor: Annotated[Cursor | None, Query(description="`next` of the page before.")] = None,
) -> Letters:
    """Payloads are cut after 500 characters, and masked for analysts.

    To look for `event` or `text` letters have to be opened, 50,000 at most for a page: it may then hold fewer than `limit`,
    or none, though `next` leads on. Analysts look in what is shown to them. Least role: analyst.
    """
    after = letters.position(cursor) if cursor is not None else None
    part = letters.Part(limit, status, after)
    found = await parts.clickhouse(
        partial(letters.page, wanted=wanted, zone=parts.settings.timezone, part=part, show=_show(parts, grant))
    )
    next_ = letters.cursor(found.next) if found.next is not None else None
    return Letters(letters=[one.view(whole=False) for one in found.letters], next=next_)


@router.get("/summary", summary="How many, by reason, source and day", responses=documented())
async def summary(parts: PartsDep, grant: Analyst, wanted: Wanted) -> Summary:
    """Days are UTC days. Least role: analyst."""
    show = _show(parts, grant)
    return await parts.clickhouse(partial(letters.summary, wanted=wanted, zone=parts.settings.timezone, show=show))


@router.get("/{id:letter}", summary="One dead letter, whole", responses=documented(404))
async def get_letter(parts: PartsDep, grant: Analyst, id: Id) -> Letter:
    """Personal values are masked for analysts. Least role: analyst."""
    return (await parts.clickhouse(partial(letters.find, id_=id, show=_show(parts, grant)))).view()


@router.post("/replay", summary="Repair and replay all that fit", responses=documented(400))
async def replay_all(parts: PartsDep, _: Ops, intake: IntakeDep, request: ReplayRequest) -> Replayed:
    """Each is repaired by the rule, read again as if it had just come, and, unless it is a dry run, taken if it can be used.

    The events keep their own times. Least role: ops.
    """
    return await replay(parts, intake, request)


@router.post("/{id:letter}/repair", summary="Repair and replay one", responses=documented(400, 404))
async def repair_letter(parts: PartsDep, _: Ops, intake: IntakeDep, id: Id, request: RepairRequest) -> Repaired:
    """What still cannot be used is answered as `refused`, with 200, and stays a dead letter. Least role: ops."""
    return await repair_one(parts, intake, id, request)
