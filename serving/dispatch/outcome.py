"""What a channel says of one attempt."""

from dataclasses import dataclass
from typing import Literal, Protocol

from cdp.events import Action


@dataclass(frozen=True)
class Sent:
    """One attempt's outcome.

    Attributes:
        status: ``failed`` may be tried again, ``gave_up`` never.
        detail: a sentence for people; holds nothing secret.
        retry_after: seconds that the receiver asked us to wait.
    """

    status: Literal["delivered", "failed", "gave_up"]
    detail: str = ""
    retry_after: float | None = None


class Channel(Protocol):
    """A way to a person."""

    async def send(self, action: Action, attempt: int) -> Sent:
        """Try once; what goes wrong is an outcome, not an exception."""
