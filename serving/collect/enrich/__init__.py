"""Enrichment: what follows from an event's addresses, user agent and IP address."""

from serving.collect.enrich.agent import NO_AGENT
from serving.collect.enrich.enricher import OPENINGS, Enriched, Enricher
from serving.collect.enrich.geo import GeoReader, MaxMind
from serving.collect.enrich.ip import IpMode
from serving.collect.enrich.traffic import InvalidTable, TrafficTable, parse_table, shipped_document, shipped_table

__all__ = [
    "NO_AGENT",
    "OPENINGS",
    "Enriched",
    "Enricher",
    "GeoReader",
    "InvalidTable",
    "IpMode",
    "MaxMind",
    "TrafficTable",
    "parse_table",
    "shipped_document",
    "shipped_table",
]  # fmt: skip
