"""What the traffic table's endpoints are asked, and what they answer."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from serving.plan.models import JsonObject

Address = Annotated[str, Field(max_length=8192)]


class TableAnswer(BaseModel):
    """A version of the table. Version 0 is the one that comes with the platform."""

    version: int
    author: str
    created: str | None
    note: str
    table: dict[str, Any]


class Campaign(BaseModel):
    """A campaign as an SDK names it."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field("", max_length=512)
    source: str = Field("", max_length=512)
    medium: str = Field("", max_length=512)


class TryRequest(BaseModel):
    """An arrival to be tried."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"url": "https://shop.example.com/?utm_source=baidu&utm_medium=cpc", "referrer": "https://www.baidu.com/"}
            ]
        },
    )

    url: Address = Field("", description="The page's address.")
    referrer: Address = Field("", description="The address of the page before.")
    campaign: Campaign = Field(Campaign(), description="What the SDK says itself.")
    table: JsonObject | None = Field(None, description="Try this table; default: the one in force.")


class ClickId(BaseModel):
    """A click id that was found."""

    name: str
    value: str


class TryAnswer(BaseModel):
    """The channel, and why it is that one."""

    channel: str
    reason: str
    campaign: dict[str, str] = Field(description="The campaign, filled up from the address.")
    click_id: ClickId | None
