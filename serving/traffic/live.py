"""Enrichment with the traffic table that is in force."""

from pathlib import Path

from cdp.settings import Settings
from serving.collect.draft import Draft
from serving.collect.enrich import Enriched, Enricher, IpMode, MaxMind, TrafficTable, parse_table, shipped_table
from serving.documents.document import Document
from serving.documents.kinds import TRAFFIC
from serving.documents.watch import watch


def make_table(document: Document | None) -> TrafficTable:
    """A version's table; without one the shipped table. Raises InvalidTable."""
    return shipped_table() if document is None else parse_table(document.body)


class Enrichment:
    """Await `refresh` now and then; call it for each draft."""

    def __init__(self, settings: Settings, geoip: str = "", ip_mode: IpMode = "truncate") -> None:
        """Loads patterns: a third of a second. Raises CdpError if there is no usable database at `geoip`."""
        self._watched = watch(settings, TRAFFIC.key, make_table)
        self._enricher = Enricher(shipped_table(), MaxMind(Path(geoip)) if geoip else None, ip_mode)

    async def refresh(self) -> bool:
        """Take a newer table, if there is one; whether there was: what was worked out by the old one is to be forgotten."""
        table = await self._watched.get()
        if table is self._enricher.table:
            return False
        self._enricher.use(table)
        return True

    def __call__(self, draft: Draft, client_ip: str, client_agent: str) -> Enriched:
        """Enrich a draft. Never raises."""
        return self._enricher.enrich(draft, client_ip, client_agent)
