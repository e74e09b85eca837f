"""What a person waits for, as the API says it."""

from typing import Literal

from pydantic import BaseModel, Field


class WaitView(BaseModel):
    """One thing that a person waits for."""

    kind: Literal["part", "range", "facts"] = Field(
        description="`part`: a part on its way from another person; `range`: what was counted in a range of time that was "
        "reassigned; `facts`: facts that must be in ClickHouse before a part is counted again."
    )
    part: int = Field(description="The part's number.")
    version: int = Field(description="Of the change that moved it; 0 for facts.")
    giver: str | None = Field(None, description="The OneID of who has to send it, if that is known.")
    since: str = Field(description="ISO 8601, UTC.")
    needs: int = Field(description="How many positions of facts must have arrived; 0 unless it waits for facts.")


class WaiterView(BaseModel):
    """A person who waits."""

    one_id: str = Field(examples=["P0000000042"])
    since: str = Field(description="ISO 8601, UTC.")
    seconds: float = Field(description="Since then.")
    held_back: int = Field(description="Events that are counted once all parts are there.")
    waits: list[WaitView] = Field(description="What for; empty if the profile cannot be read.")
    says: str = Field(description="The same in words.")
