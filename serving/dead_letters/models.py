"""What is asked of dead letters, and what is answered."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from serving.analytics.span import When
from serving.dead_letters.rule import Operation
from serving.errors import whole

LETTER_ID = "[0-9]{1,5}-[0-9]{1,19}"

Status = Literal["open", "replayed"]
Word = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]
MessageId = Annotated[str, Field(max_length=512, pattern=r"^[^\x00]*$")]
Whole = Annotated[int, BeforeValidator(whole)]
LetterId = Annotated[str, Field(pattern=f"^{LETTER_ID}$", examples=["0-42"])]
Cursor = Annotated[str, Field(pattern="^[0-9]{1,18}-[0-9]{1,5}-[0-9]{1,18}$", examples=["1795380000000000-0-42"])]

MAX_REPLAYED = 10_000


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Filter(_Asked):
    """Which letters; what is left out does not matter."""

    stage: Word | None = Field(None, examples=["collect"])
    reason: Word | None = Field(None, examples=["invalid_number"])
    source: Word | None = Field(None, description="The write key's name.", examples=["shop"])
    event: Word | None = Field(None, description="The event's name, as the payload has it.", examples=["Order Completed"])
    message_id: MessageId | None = Field(None, description="The message's id, as it was sent or as `events` has it.")
    text: Word | None = Field(None, description="Stands in the payload or in the explanation, in any case.")
    since: When | None = Field(None, description="Refused at or after this moment.")
    until: When | None = Field(None, description="Refused before this moment.")


class Letter(BaseModel):
    """One dead letter."""

    id: str = Field(description="partition-offset on the topic of dead letters.", examples=["0-42"])
    time: str = Field(description="When it was refused. ISO 8601, UTC.")
    status: Status = Field(description="`replayed`: its repair has arrived. Until then, about a second, it is open.")
    stage: str
    reason: str
    field: str
    detail: str
    source: str
    dialect: str = Field(description="The wire format of the payload; empty: an event in the platform's own terms.")
    event: str = Field(description="The event's name, if the payload has one.")
    message_id: str
    payload: str = Field(description="What came; in lists its beginning.")


class Letters(BaseModel):
    """A page of letters, newest first."""

    letters: list[Letter]
    next: str | None = Field(description="Pass it as `cursor` for the next page; null: this was the last one.")


class Group(BaseModel):
    """How many letters of one reason, source and day (UTC)."""

    day: str = Field(examples=["2026-01-31"])
    stage: str
    reason: str
    source: str
    open: int
    replayed: int


class Summary(BaseModel):
    """Counts, newest day first, at most a thousand groups."""

    open: int
    replayed: int
    groups: list[Group]


class RepairRequest(_Asked):
    """Repair one letter: with a whole new `payload`, with a `rule`, or both. With neither it is replayed as it is."""

    payload: Any = Field(
        None, description="The whole message, repaired by hand; null: the letter's own.",
        examples=[{"type": "track", "event": "Paid", "userId": "u-1"}],
    )  # fmt: skip
    rule: list[Operation] | None = Field(None, max_length=50, description="Operations on the message, done one after the other.")
    dry_run: bool = Field(False, description="Only say what would come out.")


class ReplayRequest(_Asked):
    """Repair the open letters that fit a filter, oldest first. Without a rule they are replayed as they are."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "filter": {"reason": "invalid_number", "source": "shop"},
                    "rule": [{"op": "cast", "path": "properties.total", "to": "number"}],
                    "dry_run": True,
                }
            ]
        }
    )

    filter: Filter = Filter()
    rule: list[Operation] = Field([], max_length=50, description="Operations on each message, done one after the other.")
    limit: Whole = Field(1_000, ge=1, le=MAX_REPLAYED, description="How many letters at most; ask again for more.")
    show: Whole = Field(10, ge=0, le=100, description="Of how many letters to say what came out.")
    dry_run: bool = Field(False, description="Only say what would come out.")


class Fault(BaseModel):
    """Why a repaired message still cannot be used."""

    reason: str
    field: str
    message: str


class Repaired(BaseModel):
    """What became of a letter."""

    id: str
    outcome: Literal["passed", "replayed", "refused", "skipped"] = Field(
        description="`passed`: it would be taken (dry run). `replayed`: it was taken. `refused`: it still cannot be used, see"
        " `error`. `skipped`: it was replayed before, or is just being replayed in another form."
    )
    before: Any = Field(description="The payload, decoded if it is JSON.")
    after: Any = Field(description="The repaired message; null if it cannot be written as JSON.")
    error: Fault | None = None


class Replayed(BaseModel):
    """What became of the letters that fit."""

    matched: int = Field(description="Open letters looked at.")
    passed: int
    replayed: int
    refused: int
    skipped: int
    more: bool = Field(description="The limit was reached: there may be more that fit.")
    refusals: dict[str, int] = Field(description="Refused ones by reason.")
    shown: list[Repaired] = Field(description="The first of them.")
