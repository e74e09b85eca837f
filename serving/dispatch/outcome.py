"""What a channel is given, and what it says of one attempt."""

from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

from cdp.events import Action
from cdp.reveal import Reveal


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


def opened(action: Action, reveal: Reveal) -> Action:
    """An action with the texts that a person is to read: on its way here they were sealed. Raises SealError."""
    content = {name: reveal.strictly(text) for name, text in action.content.items()}
    return msgspec.structs.replace(action, content=content)


class Channel(Protocol):
    """A way to a person."""

    async def send(self, action: Action, attempt: int) -> Sent:
        """Try once; what goes wrong is an outcome, not an exception."""
