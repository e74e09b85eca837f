"""Where an IP address is: from a database in MaxMind's format (.mmdb) that the user provides."""

from pathlib import Path
from typing import Any, Protocol

import maxminddb

from cdp.errors import CdpError

LANGUAGE = "en"


class GeoReader(Protocol):
    """Knows where addresses are."""

    def find(self, ip: str) -> dict[str, str]:
        """``country`` (ISO code), ``region`` and ``city``, as far as known. Never raises."""


class MaxMind:
    """A .mmdb file, mapped into memory: replace it by moving a new one into its place, then restart the API."""

    def __init__(self, path: Path) -> None:
        """Raises CdpError if the file cannot be used."""
        try:
            self._reader = maxminddb.open_database(path)
        except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
            raise CdpError(
                f"CDP_GEOIP: {path} cannot be used: {str(error)[:200]}.",
                "Give a database in MaxMind's format (.mmdb), or leave it empty.",
            ) from error

    def find(self, ip: str) -> dict[str, str]:
        """See GeoReader. A damaged database finds nothing."""
        try:
            record: Any = self._reader.get(ip)
        except (ValueError, TypeError, maxminddb.InvalidDatabaseError):
            return {}
        if not isinstance(record, dict):
            return {}
        country = _part(record, "country") or _part(record, "registered_country")
        subdivisions = record.get("subdivisions")
        region = subdivisions[0] if isinstance(subdivisions, list) and subdivisions else None
        place = {"country": _text(country.get("iso_code")), "region": _name(region), "city": _name(record.get("city"))}
        return {name: value for name, value in place.items() if value}


def _part(record: dict[str, Any], name: str) -> dict[str, Any]:
    part = record.get(name)
    return part if isinstance(part, dict) else {}


def _name(part: Any) -> str:
    names = part.get("names") if isinstance(part, dict) else part
    if isinstance(names, dict):
        return _text(names.get(LANGUAGE)) or next((value for value in names.values() if isinstance(value, str)), "")
    return _text(names)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
