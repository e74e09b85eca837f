"""What the endpoints of all documents are asked, and what they answer."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from serving.documents.difference import Change, Word
from serving.documents.document import Version
from serving.errors import whole

Whole = Annotated[int, BeforeValidator(whole)]


class VersionView(BaseModel):
    """A version, without the document."""

    version: int = Field(description="Counts from 1; 0: there is none yet.")
    author: str
    created: str | None
    note: str = Field(description="Why, as its author said.")
    published: str | None = Field(description="When it was put in force; null: it is a draft, or nobody has changed anything.")
    publisher: str = Field(description="Who put it in force.")

    @staticmethod
    def fields_of(version: Version) -> dict[str, Any]:
        """The fields above."""
        return {
            "version": version.version, "author": version.author, "created": version.created or None, "note": version.note,
            "published": version.published or None, "publisher": version.publisher,
        }  # fmt: skip


class Versions(BaseModel):
    """The newest versions, the newest first. The first of them that is no draft is in force."""

    versions: list[VersionView]


class RollbackRequest(BaseModel):
    """Which version to take up again."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"to": 1}]})

    to: Whole = Field(ge=1, le=2_000_000_000, description="The version; it becomes the newest.", examples=[1])


class PublishRequest(BaseModel):
    """Which draft to put in force."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"version": 1}]})

    version: Whole = Field(ge=1, le=2_000_000_000, description="The draft's version.", examples=[1])


class ChangeView(BaseModel):
    """One difference."""

    path: str = Field(description="Where; empty: the whole document.", examples=["value"])
    change: Word
    old: Any = Field(description="Null if it was added.")
    new: Any = Field(description="Null if it was removed.")


class DifferenceAnswer(BaseModel):
    """What differs between two versions."""

    from_: int | None = Field(
        alias="from", description="0: what there was before the first version; null: what comes with the platform."
    )
    to: int
    changes: list[ChangeView]


def change_views(changes: list[Change]) -> list[ChangeView]:
    """Differences as they are answered."""
    return [ChangeView(**change._asdict()) for change in changes]
