"""The webhook channel: a signed POST of the whole action."""

import hmac
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import certifi

from cdp.clock import SECOND, Clock
from cdp.events import Action, encode
from cdp.reveal import Reveal
from serving.dispatch.outcome import Sent, opened

TIMEOUT_SECONDS = 10.0
CONCURRENT = 64
IDLE_SECONDS = 4.0  # many servers close after five: whoever closes first does not send into a closing connection
RETRIED = frozenset({408, 425, 429})


class Webhook:
    """Posts to one URL. The receiver knows a repetition by the header Idempotency-Key, the action's id."""

    def __init__(
        self, client: aiohttp.ClientSession, url: str, secret: str, clock: Clock, reveal: Callable[[], Reveal]
    ) -> None:  # fmt: skip
        """`reveal` opens what is sealed in the texts, just before they are sent."""
        self._client = client
        self._reveal = reveal
        self._url = url
        self._proxy = proxy_of(url)
        self._secret = secret.encode()
        self._clock = clock

    async def send(self, action: Action, attempt: int) -> Sent:
        """Post once. 2xx is delivered; 5xx, 408, 425, 429 and silence may be tried again; all else is final.

        Raises SealError.
        """
        body = encode(opened(action, self._reveal()))
        headers = {"Content-Type": "application/json", "Idempotency-Key": action.action_id, "X-CDP-Attempt": str(attempt)}
        if self._secret:
            headers["X-CDP-Signature"] = signature(self._secret, self._clock() // SECOND, body)
        try:
            async with self._client.post(
                self._url, data=body, headers=headers, proxy=self._proxy, allow_redirects=False
            ) as answer:  # fmt: skip
                async for _ in answer.content.iter_any():  # only a connection that was read to the end is used again
                    pass
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            return Sent("gave_up", f"unusable request: {type(error).__name__}")
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError; a wrong certificate also a ValueError
            return Sent("failed", type(error).__name__)
        except ValueError as error:
            return Sent("gave_up", f"unusable request: {type(error).__name__}")
        return judge(answer.status, answer.headers.get("retry-after", ""), self._clock())


def client(seconds: float = TIMEOUT_SECONDS) -> aiohttp.ClientSession:
    """A client that keeps connections and no cookies, and waits `seconds` for a whole answer. Make it inside the loop."""
    trusted = ssl.create_default_context()
    trusted.load_verify_locations(certifi.where())  # a machine need not have certificates of its own
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONCURRENT, keepalive_timeout=IDLE_SECONDS, ssl=trusted),
        timeout=aiohttp.ClientTimeout(total=seconds),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )


def proxy_of(url: str) -> str | None:
    """The proxy that the environment wants for a URL. Looked up once: aiohttp's own way asks anew, in a thread, each time."""
    try:
        target = urlsplit(url)
        host = target.hostname
    except ValueError:
        return None  # sending says what is wrong with it
    proxies = getproxies()
    proxy = proxies.get(target.scheme) or proxies.get("all")
    if not host or not proxy or proxy_bypass(host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def signature(secret: bytes, seconds: int, body: bytes) -> str:
    """``t=SECONDS,v1=HEX``: HMAC-SHA256 over the seconds, a dot and the body."""
    return f"t={seconds},v1={hmac.new(secret, f'{seconds}.'.encode() + body, 'sha256').hexdigest()}"


def judge(status: int, retry_after: str, now: int) -> Sent:
    """The outcome of an answer; `now` in microseconds."""
    if 200 <= status < 300:
        return Sent("delivered", f"HTTP {status}")
    if status in RETRIED or status >= 500:
        return Sent("failed", f"HTTP {status}", _seconds(retry_after, now))
    return Sent("gave_up", f"HTTP {status}")


def _seconds(retry_after: str, now: int) -> float | None:
    """A Retry-After header in seconds from now: a number, or a date."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.fromtimestamp(now / SECOND, UTC)).total_seconds())
