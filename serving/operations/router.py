"""GET /v1/operations/ledger, /metrics, /healthz, /readyz."""

from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from serving.auth import Analyst, PartsDep
from serving.errors import documented
from serving.operations.health import Readiness, readiness
from serving.operations.ledger import gather
from serving.operations.scrape import CONTENT_TYPE_LATEST, Scraper
from serving.waiting import WaiterView

router = APIRouter(tags=["operations"])
_scraper = Scraper()


class LedgerView(BaseModel):
    """received = applied + duplicates + dead_lettered + rejected + difference."""

    received: int
    applied: int
    duplicates: int
    dead_lettered: int
    rejected: int
    difference: int = Field(description="Events still on their way; negative only if something was counted twice.")
    dead_letters_in_flight: int = Field(description="Dead letters that are not in ClickHouse yet.")
    balanced: bool
    conflicts: int = Field(description="Of the duplicates: the same message id, but another message. The first one counts.")
    replayed: int = Field(description="Of the dead letters: repaired, replayed and applied; the repair is an event of its own.")
    spooled: int = Field(description="Of the difference: acknowledged, and in the collector's spool while the broker is away.")
    waiting: int = Field(description="People who have waited for something for more than five seconds.")
    waiting_for: list[WaiterView] = Field(description="The first of them, at most 20, with what they wait for.")


@router.get("/v1/operations/ledger", summary="Is every event accounted for?", responses=documented())
async def ledger(parts: PartsDep, _: Analyst) -> LedgerView:
    """Counts Kafka, ClickHouse and Redis at this moment. Least role: analyst."""
    counted = await parts.clickhouse(lambda client: gather(parts.settings, client))
    return LedgerView.model_validate(counted.as_json())


METRICS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Every metric.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}


@router.get("/metrics", summary="Metrics for Prometheus", responses=documented() | METRICS, response_class=Response)
async def metrics(parts: PartsDep, _: Analyst) -> Response:
    """In Prometheus's text format. Least role: analyst."""
    return Response(await _scraper.text(parts), media_type=CONTENT_TYPE_LATEST)


@router.get("/healthz", summary="Is this process alive?")
async def healthz() -> dict[str, bool]:
    """Asks nothing of other parts; needs no token."""
    return {"alive": True}


@router.get("/readyz", summary="Are Kafka, Redis, ClickHouse and the definitions there?", responses={503: {"model": Readiness}})
async def readyz(parts: PartsDep, response: Response) -> Readiness:
    """503 with the same body if a part is away; needs no token."""
    answer = await readiness(parts)
    response.status_code = 200 if answer.ready else 503
    return answer
