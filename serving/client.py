"""The API, for commands: a token from CDP_TOKEN, or one made for the command; the address from CDP_API_URL."""

import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from cdp.errors import CdpError, Unavailable
from cdp.settings import Settings

TIMEOUT = 300.0  # a replay of many letters takes a while


class Content(NamedTuple):
    """A body that is not made of values, its type, and the version that it changes; "" for whichever is in force."""

    body: bytes
    type: str = "application/yaml"
    expected: str = ""


def call(
    settings: Settings, method: str, path: str, values: Mapping[str, Any], *, caller: str, content: Content | None = None
) -> Any:
    """The answer's JSON. Raises CdpError.

    Args:
        values: the query of a GET, or of a request with `content` (None is left out); else the body.
        caller: under which a token of the role ops is made, if CDP_TOKEN has none.
    """
    from serving.definitions import mint_token

    url = os.environ.get("CDP_API_URL", settings.api_url).rstrip("/") + path
    token = os.environ.get("CDP_TOKEN") or mint_token(settings, caller, "ops")
    body = None if content is None else content.body
    if method == "GET" or content is not None:
        given = {name: value for name, value in values.items() if value is not None}
        url += "?" + urlencode(given) if given else ""
    else:
        body = json.dumps(values).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": content.type if content else "application/json"}
    if content is not None and content.expected:
        headers["If-Match"] = f'"{content.expected}"'
    try:
        request = Request(url, body, headers, method=method)  # noqa: S310 - the address is the user's own
        with urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
            return json.load(answer)
    except HTTPError as error:
        raise _said(error) from error
    except (URLError, OSError) as error:
        raise Unavailable(f"The API does not answer: {error}.", "Is the platform up? See `cdp status`.") from error
    except ValueError as error:
        raise CdpError(f"{url[:100]} is not the API's address: {error}.", "Set CDP_API_URL.") from error


def _said(error: HTTPError) -> CdpError:
    try:
        body = json.load(error)
        return CdpError(str(body["message"]), str(body.get("remedy") or ""))
    except (ValueError, KeyError, TypeError):
        return CdpError(f"The API answers {error.code}.")
