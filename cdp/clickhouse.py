"""The one place where ClickHouse clients are made, for the embedded server and for an outside one alike."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from cdp.errors import CdpError, Unavailable
from cdp.settings import Settings

PLATFORM_USER = "cdp"
READER_USER = "reader"


def password_path(settings: Settings, user: str) -> Path:
    """The file with the password of a user of the embedded server."""
    return settings.secrets_dir / ("clickhouse_reader_password" if user == READER_USER else "clickhouse_password")


def embedded_password(settings: Settings, user: str) -> str:
    """The password of a user of the embedded server, made at its first start; empty if there is none yet."""
    path = password_path(settings, user)
    return path.read_text().strip() if path.exists() else ""


def connect(settings: Settings, *, database: str | None = None, timeout: float = 30.0, reader: bool = False) -> Client:
    """A client without a session, which threads may share. Raises Unavailable if nobody answers.

    Args:
        database: default `settings.clickhouse_database`; pass "" before it exists.
        timeout: seconds to wait for an answer.
        reader: as the user who may only look (embedded only; outside, the URL says who asks).
    """
    url = urlsplit(settings.clickhouse_url)
    embedded = not settings.clickhouse
    user = READER_USER if reader else PLATFORM_USER
    try:
        return clickhouse_connect.get_client(
            host=url.hostname,
            port=url.port or 8123,
            secure=url.scheme == "https",
            username=user if embedded else (url.username or "default"),
            password=embedded_password(settings, user) if embedded else (url.password or ""),
            database=settings.clickhouse_database if database is None else (database or None),
            autogenerate_session_id=False,
            send_receive_timeout=timeout,
            connect_timeout=2,
            client_name="streamcdp",
            settings={} if reader else {"async_insert": 0},
        )
    except Exception as error:
        raise Unavailable(
            f"ClickHouse does not answer at {url.hostname}:{url.port}: {str(error).splitlines()[0][:200]}",
            "Start it with `cdp up`, or set CDP_CLICKHOUSE.",
        ) from error


def failure(error: Exception) -> CdpError:
    """What ClickHouse said, as one sentence, without the client's trimmings."""
    text = " ".join(str(error).split())
    found = re.search(r"Code: \d+\. DB::Exception: (.*?)(?: \(version [^)]*\))?(?: \(for url \S*\))?$", text)
    return CdpError(f"ClickHouse: {re.sub(r' Expected one of: .*(?= [(][A-Z_]+[)]$)', '', found[1]) if found else text}")
