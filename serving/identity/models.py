"""What is asked about who is who, and what is answered. Times are ISO 8601, UTC."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from serving.documents.models import VersionView

Text = Annotated[str, Field(min_length=1, max_length=600, pattern=r"^[^\x00]*$")]
Note = Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")]
IDENTIFIER = r"[^:/\x00]+:[^\x00]+"
Key = Annotated[str, Field(max_length=600, pattern=f"^{IDENTIFIER}$", examples=["phone:13800000000"])]
Who = Annotated[str, Field(max_length=600, pattern=f"^(P[0-9]{{10}}|{IDENTIFIER})$", examples=["P0000000042", "user_id:u-1"])]
OneId = Annotated[str, Field(pattern=r"^P[0-9]{10}$", examples=["P0000000042"])]
Status = Literal["done", "on_its_way", "would_change", "nothing_to_change"]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


# -- explain -------------------------------------------------------------------------------------------------------------------


class Epoch(BaseModel):
    """A stretch of time in which an identifier stands for one person."""

    since: str | None = Field(description="null: ever since.")
    until: str | None = Field(description="null: still.")
    number: int = Field(description="Of the part of a profile that its events count in; 0: it has none yet.")
    one_id: str | None = Field(description="Whose it is; null: nobody's yet.")


class IdentifierView(BaseModel):
    """An identifier of the person, or one that evidence connects with them."""

    type: str
    value: str
    one_id: str | None = Field(description="Whose it is now. null: nothing has happened with it yet.")
    is_mine: bool = Field(description="Whether it belongs to the person who was asked for.")
    first_seen: str | None
    shared_since: str | None = Field(description="After this moment it is known to serve several people, and stands for nobody.")
    epochs: list[Epoch]


class SourceView(BaseModel):
    """What one source says for a link."""

    source: str
    first_seen: str
    last_day: str = Field(examples=["2026-01-31"])
    days_seen: int = Field(description="On how many days; the newest 30 are counted.")
    said_expressly: str | None = Field(description="When it was last said by a login, bind or alias; null: never.")


class LinkView(BaseModel):
    """Two identifiers that were seen together."""

    a: str
    b: str
    first_seen: str
    last_day: str
    sources: list[SourceView]
    confidence: float = Field(description="By the rules: the strength of the weaker of the two types.")
    counts: bool = Field(description="Whether it is why the two are one person's.")
    why_not: str | None
    messages: int | None = Field(description="How many events named both; null if ClickHouse was not asked or did not answer.")


class MoveView(BaseModel):
    """Identifiers that went from one person to another."""

    source: str
    target: str
    identifiers: list[str]


class ChangeView(BaseModel):
    """People were merged, or parted."""

    version: int = Field(description="Names the change, as `merge` of an undoing does.")
    kind: Literal["merged", "parted"]
    time: str = Field(description="Of the event or decision that caused it.")
    message_id: str
    cause: list[str] = Field(description="The identifiers of that event.")
    rules: int
    moves: list[MoveView]


class RefusalView(BaseModel):
    """A link that makes nobody one person, and why."""

    a: str
    b: str
    reason: str
    detail: str
    gives_way: str
    time: str
    waits_for_review: bool
    bits: float


class DecisionView(BaseModel):
    """What somebody decided."""

    a: str
    b: str
    verdict: Literal["apart", "together"]
    time: str
    by: str
    note: str
    stands: bool = Field(description="False: it was decided otherwise later.")


class Explanation(BaseModel):
    """The identity graph around a person."""

    asked: str
    one_id: str = Field(description="Who it is now.")
    leads_here: list[str] = Field(description="Other OneIDs that are this person today.")
    rules: int = Field(description="Version of the identity rules that decided.")
    identifiers: list[IdentifierView]
    links: list[LinkView]
    refusals: list[RefusalView]
    decisions: list[DecisionView]
    history: list[ChangeView] = Field(description="Newest first; the newest 100 are kept.")
    note: str | None = Field(None, description="What is missing in this answer, and why.")


# -- change by hand ------------------------------------------------------------------------------------------------------------


def _given(identifier_type: str, *, identifier: bool) -> dict[str, Any]:
    """An identifier alone, or a person and a merge."""
    return {
        "identifier": {"type": identifier_type},
        "one_id": {"type": "null" if identifier else "string"},
        "merge": {"type": "null" if identifier else "integer"},
    }


class UnmergeRequest(_Asked):
    """Take an identifier out of its person, or undo one merge. One of the two."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"identifier": "phone:13800000000", "note": "the number was given to somebody else"}],
            "oneOf": [
                {"required": ["identifier"], "properties": _given("string", identifier=True)},
                {"required": ["one_id", "merge"], "properties": _given("null", identifier=False)},
            ],
        },
    )

    identifier: Key | None = Field(None, description="type:value; it parts from its person.")
    one_id: OneId | None = Field(None, description="The person of whom a merge shall be undone.")
    merge: int | None = Field(None, ge=0, description="The change's `version` in the person's history.")
    note: Note = Field("", description="Why, for those who read it later.")


class MergeRequest(_Asked):
    """Make two people one."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"one": "user_id:u-1", "other": "P0000000057", "note": "told us so"}]}
    )

    one: Who = Field(description="A OneID, or type:value.")
    other: Who = Field(description="A OneID, or type:value.")
    note: Note = Field("", description="Why, for those who read it later.")
    force: bool = Field(False, strict=True, description="Even if a limit of the rules breaks.")


class PersonView(BaseModel):
    """A person, after the change."""

    one_id: str
    identifiers: list[str]
    events: int = Field(description="How many events count for them.")


class SentView(BaseModel):
    """A message that was sent to one of the people concerned: no change of who is who takes it back."""

    one_id: str = Field(description="To whom, as they were known then.")
    rule: str
    channel: str
    occasion: str
    time: str
    status: str = Field(description="delivered, failed, gave_up, or on its way.")


class Changed(BaseModel):
    """What a decision did, or would do."""

    status: Status = Field(
        description="`done`: everybody is who they are now. `on_its_way`: written, and not all applied within the time of a"
        " request; it will be. `would_change`: a dry run. `nothing_to_change`: nothing was written."
    )
    verdict: Literal["apart", "together"]
    pairs: list[tuple[str, str]] = Field(description="The pairs of identifiers that are decided.")
    message_id: str | None = Field(description="Of the decision's event.")
    moves: list[MoveView]
    people: list[PersonView] = Field(description="Who is who now, or would be.")
    cannot_be_taken_back: list[SentView] | None = Field(
        description="Messages sent since the people became one, at most 500; null if ClickHouse did not answer."
    )
    note: str | None = Field(None, description="What is missing in this answer, and why.")


class RegroupRequest(_Asked):
    """Let identifiers fall into people by the rules in force."""

    identifier: Key | None = Field(None, description="With all that hangs together with it; without one: everybody.")


class Regrouped(BaseModel):
    """How many groups of identifiers that hang together will be looked at."""

    components: int


# -- review --------------------------------------------------------------------------------------------------------------------


class SideView(BaseModel):
    """One of two people who may be one."""

    one_id: str | None
    identifiers: list[str]


class ReviewView(BaseModel):
    """Something that waits for somebody's decision."""

    id: str
    since: str
    reasons: list[RefusalView] = Field(description="Why they are not one person.")
    sides: list[SideView]
    fields: dict[str, float] = Field(description="The evidence of each trait, in bits; empty if traits say nothing.")
    bits: float = Field(description="The evidence of all traits.")


class Reviews(BaseModel):
    """A page of what waits, the oldest first."""

    waiting: int = Field(description="In how many groups of identifiers something waits.")
    reviews: list[ReviewView]
    next: str | None = Field(description="Pass it as `cursor` for the next page; null: this was the last one.")


class ReviewRequest(_Asked):
    """The decision."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"decision": "refuse", "note": "twins"}]})

    decision: Literal["approve", "refuse"] = Field(description="`approve`: they are one person. `refuse`: they are not.")
    note: Note = Field("", description="Why, for those who read it later.")


# -- rules ---------------------------------------------------------------------------------------------------------------------


class RulesAnswer(VersionView):
    """A version of the rules. Version 1 is the one that comes with the platform."""

    text: str = Field(description="As it was put: YAML, or JSON.")
    rules: dict[str, Any] = Field(description="The same, decoded.")
