"""What the endpoints do with the traffic table. Nothing here knows HTTP."""

from typing import Any, NamedTuple

from cdp.settings import Settings
from serving.collect.enrich.address import read_address
from serving.collect.enrich.enricher import fill_campaign, visit_of
from serving.collect.enrich.traffic import Decision, InvalidTable, TrafficTable, parse_table, shipped_document
from serving.definitions.documents import Document, read_document, write_document
from serving.definitions.errors import NotFoundError
from serving.traffic.live import NAME, make_table


class Tried(NamedTuple):
    """What an arrival would be."""

    decision: Decision
    campaign: dict[str, Any]
    click_id: tuple[str, str] | None


def read_table(settings: Settings, version: int | None = None) -> Document:
    """A version, by default the one in force; the shipped table, version 0, if there is none. Raises NotFoundError."""
    found = read_document(settings, NAME, version)
    if found is None and version is not None:
        raise NotFoundError(f"There is no version {version} of the traffic table.", "The newest is at GET /v1/traffic.")
    return found or Document(version=0, author="", created="", note="", body=shipped_document())


def write_table(settings: Settings, body: Any, *, author: str, note: str = "", expected: int | None = None) -> Document:
    """Check a table and put it in force. Raises InvalidTable, ConflictError."""
    parse_table(body)
    return write_document(settings, NAME, body, author=author, note=note, expected=expected)


def warnings_of(body: Any) -> list[str]:
    """What is doubtful in a table that is in force."""
    try:
        return list(parse_table(body).warnings)
    except InvalidTable as error:  # stored by a version that took it
        return [error.message]


def table_of(settings: Settings, body: Any = None) -> TrafficTable:
    """The given table, or the one in force. Raises InvalidTable."""
    return parse_table(body) if body is not None else make_table(read_document(settings, NAME))


def try_arrival(table: TrafficTable, url: str, referrer: str, campaign: dict[str, str]) -> Tried:
    """Decide as the collector would."""
    landing = read_address(url, table)
    filled = fill_campaign(campaign, landing)
    click = landing.click_id
    return Tried(table.decide(visit_of(landing, filled, click[0] if click else "", referrer)), filled, click)
