"""What the endpoints do with the traffic table. Nothing here knows HTTP."""

from typing import Any, NamedTuple

from cdp.settings import Settings
from serving.collect.enrich.address import read_address
from serving.collect.enrich.enricher import fill_campaign, visit_of
from serving.collect.enrich.traffic import Decision, InvalidTable, TrafficTable, parse_table
from serving.documents.kinds import TRAFFIC
from serving.documents.store import find
from serving.traffic.live import make_table


class Tried(NamedTuple):
    """What an arrival would be."""

    decision: Decision
    campaign: dict[str, Any]
    click_id: tuple[str, str] | None


def warnings_of(body: Any) -> list[str]:
    """What is doubtful in a table that is in force."""
    try:
        return list(parse_table(body).warnings)
    except InvalidTable as error:  # stored by a version that took it
        return [error.message]


def table_of(settings: Settings, body: Any = None) -> TrafficTable:
    """The given table, or the one in force. Raises InvalidTable."""
    return parse_table(body) if body is not None else make_table(find(settings, TRAFFIC.key))


def try_arrival(table: TrafficTable, url: str, referrer: str, campaign: dict[str, str]) -> Tried:
    """Decide as the collector would."""
    landing = read_address(url, table)
    filled = fill_campaign(campaign, landing)
    click = landing.click_id
    return Tried(table.decide(visit_of(landing, filled, click[0] if click else "", referrer)), filled, click)
