"""GET /v1/profiles, and counting a person again."""

from functools import lru_cache, partial
from typing import Annotated

from fastapi import APIRouter, Path, Query

from cdp.clock import Calendar
from cdp.errors import Unavailable
from cdp.people import ONE_ID_PATTERN
from serving.auth import Analyst, Ops, PartsDep
from serving.definitions.credentials import Grant
from serving.errors import documented
from serving.parts import Parts
from serving.profiles.find import IDENTIFIER_PATTERN, Found, by_identifier, by_one_id
from serving.profiles.models import ProfileView, Rebuilt, WaitingView
from serving.profiles.own import only_own
from serving.profiles.rebuild import rebuild, waiting
from serving.profiles.recent import recent_events
from serving.profiles.view import view

router = APIRouter(prefix="/v1/profiles", tags=["profiles"])

RECENT = 20
Events = Annotated[int, Query(ge=0, le=200, description="How many recent events to add; 0: none, and ClickHouse is not asked.")]
OneId = Annotated[str, Path(pattern=ONE_ID_PATTERN, description="P and ten digits.", examples=["P0000000042"])]
MAX_OFFSET = 2**63 - 1
WAIT_SECONDS = 10.0
MAX_WAIT_SECONDS = 60.0

_calendar = lru_cache(maxsize=4)(Calendar)


@router.get("", summary="One person, by any identifier", responses=documented(404))
async def get_by_identifier(
    parts: PartsDep,
    grant: Analyst,
    id: Annotated[
        str,
        Query(
            pattern=IDENTIFIER_PATTERN,
            examples=["phone:13800000000", "user_id:u-1"],
            description="Type and value of any identifier, with a colon between them.",
        ),
    ],
    events: Events = RECENT,
) -> ProfileView:
    """Identifiers are normalised as in events: `phone:138 0000 0000` finds `+8613800000000`.

    Personal values are masked for analysts. Least role: analyst.
    """
    found = await by_identifier(parts.redis, parts.names, parts.sealing.sealer(), id, parts.identity.rules)
    return await _answer(parts, grant, found, events)


@router.get("/{one_id}", summary="One person, by OneID", responses=documented(404))
async def get_by_one_id(
    parts: PartsDep,
    grant: Analyst,
    one_id: OneId,
    events: Events = RECENT,
) -> ProfileView:
    """A OneID that was merged away leads to the survivor; `asked` then holds the one asked for.

    Personal values are masked for analysts. Least role: analyst.
    """
    return await _answer(parts, grant, await by_one_id(parts.redis, parts.names, one_id), events)


@router.get("/{one_id}/waiting", summary="What a person waits for", responses=documented(404))
async def get_waiting(
    parts: PartsDep,
    _: Analyst,
    one_id: OneId,
    offset: Annotated[
        int | None, Query(ge=0, le=MAX_OFFSET, description="Of a command to this person, which must have been handled.")
    ] = None,
) -> WaitingView:
    """Parts, ranges of time or facts that are on their way to a person; see the runbook. Least role: analyst."""
    return await waiting(parts, one_id, offset)


@router.post("/{one_id}/rebuild", summary="Count a person again from the facts", responses=documented(404))
async def post_rebuild(
    parts: PartsDep,
    _: Ops,
    one_id: OneId,
    wait: Annotated[
        float, Query(ge=0, le=MAX_WAIT_SECONDS, description="How many seconds to wait until it is done.")
    ] = WAIT_SECONDS,
) -> Rebuilt:
    """What the person waits for is asked for again as well. Harmless: the facts are the same. Least role: ops."""
    return await rebuild(parts, one_id, wait)


async def _answer(parts: Parts, grant: Grant, found: Found, events: int) -> ProfileView:
    found = await only_own(parts.redis, parts.names, found)
    recent, note = None, None
    if events:
        try:
            recent = await parts.clickhouse(partial(recent_events, profile=found.profile, limit=events))
        except Unavailable:
            note = "ClickHouse does not answer: recent events are missing here."
    return view(found, parts.rules.current, _calendar(parts.settings.timezone), parts.sealing.shown_to(grant), recent, note)
