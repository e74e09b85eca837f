"""The webhook channel: a signed POST of the whole action."""

import hmac
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from cdp.clock import SECOND, Clock
from cdp.events import Action, encode
from serving.dispatch.outcome import Sent

TIMEOUT_SECONDS = 10.0
CONCURRENT = 64
RETRIED = frozenset({408, 425, 429})


class Webhook:
    """Posts to one URL. The receiver knows a repetition by the header Idempotency-Key, the action's id."""

    def __init__(self, client: httpx.AsyncClient, url: str, secret: str, clock: Clock) -> None:
        self._client = client
        self._url = url
        self._secret = secret.encode()
        self._clock = clock

    async def send(self, action: Action, attempt: int) -> Sent:
        """Post once. 2xx is delivered; 5xx, 408, 425, 429 and silence may be tried again; all else is final."""
        body = encode(action)
        headers = {"Content-Type": "application/json", "Idempotency-Key": action.action_id, "X-CDP-Attempt": str(attempt)}
        if self._secret:
            headers["X-CDP-Signature"] = signature(self._secret, self._clock() // SECOND, body)
        try:
            answer = await self._client.post(self._url, content=body, headers=headers)
        except (httpx.TransportError, httpx.DecodingError) as error:
            return Sent("failed", type(error).__name__)
        except (httpx.InvalidURL, ValueError) as error:
            return Sent("gave_up", f"unusable request: {type(error).__name__}")
        return judge(answer.status_code, answer.headers.get("retry-after", ""), self._clock())


def client() -> httpx.AsyncClient:
    """A client that keeps connections open and never follows a redirect with a person's data."""
    limits = httpx.Limits(max_connections=CONCURRENT, max_keepalive_connections=CONCURRENT)
    return httpx.AsyncClient(timeout=TIMEOUT_SECONDS, limits=limits, follow_redirects=False)


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
