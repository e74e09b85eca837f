"""The address and the write key of a local command that only sends events."""

import os

from cdp.errors import CdpError
from cdp.settings import Settings


def write_key_for(settings: Settings, name: str, given: str = "") -> tuple[str, str]:
    """The API's address and a write key: a given one, CDP_WRITE_KEY, or one made for the command called `name`.

    Raises CdpError if there is no platform to make one for.
    """
    from serving.definitions import mint_write_key

    url = os.environ.get("CDP_API_URL", settings.api_url).rstrip("/")
    key = given or os.environ.get("CDP_WRITE_KEY", "")
    if not key and not settings.data_dir.exists():
        raise CdpError(
            f"There is no platform in {settings.data_dir}.", "Start it with `cdp up`, or give --write-key and CDP_API_URL."
        )
    return url, key or mint_write_key(settings, name)
