"""What the traffic table's endpoints are asked, and what they answer."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from serving.collect.enrich.traffic import CAMPAIGN_FIELDS, CHANNEL, DOMAIN, MAX_ENTRIES, MAX_TEXT, PARAMETER, SITE_ENTRY
from serving.documents.models import VersionView
from serving.plan.models import JsonObject

Schema = dict[str, Any]


def _text(pattern: str) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": MAX_TEXT, "pattern": f"^{pattern}$"}


def _list(items: Schema, description: str) -> Schema:
    return {"type": "array", "maxItems": MAX_ENTRIES, "items": items, "description": description}


def _map(keys: Schema, values: Schema, description: str) -> Schema:
    return {
        "type": "object", "maxProperties": MAX_ENTRIES, "propertyNames": keys, "additionalProperties": values,
        "description": description,
    }  # fmt: skip


def _object(properties: Schema, description: str) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False, "description": description}


_ANY_TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}
_NAME: Schema = {"type": "string", "minLength": 1}
_CHANNEL, _DOMAIN = _text(CHANNEL), _text(DOMAIN)
_SITE = _list(_text(SITE_ENTRY), "Its domains (google.* is any ending) and other names that stand in utm_source.")
TABLE_SCHEMA: Schema = _object(
    {
        "own_domains": _list(_DOMAIN, "Your own domains beside the page's: coming from there is `internal`."),
        "return_domains": _list(_DOMAIN, "Where people pay or log in and come back from: `internal` as well."),
        "parameters": _map(_text(PARAMETER), {"enum": list(CAMPAIGN_FIELDS)}, "Parameter of an address to the campaign's field."),
        "click_ids": _map(_text(PARAMETER), _CHANNEL, "Parameter that an ad network adds to channel; the first here counts."),
        "mediums": _map(_CHANNEL, _list(_ANY_TEXT, "* stands for anything."), "Channel to values of utm_medium."),
        "paid": _object(
            {
                "mediums": _list(_ANY_TEXT, "Values of utm_medium that say that somebody paid."),
                "channels": _map(_CHANNEL, _CHANNEL, "Free channel to paid channel."),
                "otherwise": _CHANNEL | {"description": "The paid channel of unknown sources."},
            },
            "What is paid for.",
        ),
        "sites": _map(_CHANNEL, _map(_NAME, _SITE, "Site to how it is recognised."), "Channel to its sites."),
    },
    "Every section may be left out.",
) | {
    "title": "TrafficTable",
    "examples": [
        {
            "parameters": {"utm_source": "source", "utm_medium": "medium"},
            "click_ids": {"gclid": "paid_search"},
            "sites": {"search": {"baidu": ["baidu.com"], "google": ["google.*"]}},
        }
    ],
}

Table = Annotated[JsonObject, WithJsonSchema(TABLE_SCHEMA)]
"""A traffic table as JSON; `parse_table` checks what the schema says."""

Address = Annotated[str, Field(max_length=8192)]


class TableAnswer(VersionView):
    """A version of the table. Version 0 is the one that comes with the platform."""

    table: dict[str, Any]
    warnings: list[str] = Field(description="What stands twice in the table: the first of two sites counts.")


class Campaign(BaseModel):
    """A campaign as an SDK names it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field("", max_length=512, description="utm_campaign.", examples=["singles-day"])
    source: str = Field("", max_length=512, description="utm_source.", examples=["baidu"])
    medium: str = Field("", max_length=512, description="utm_medium.", examples=["cpc"])


class TryRequest(BaseModel):
    """An arrival to be tried."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {"url": "https://shop.example.com/?utm_source=baidu&utm_medium=cpc", "referrer": "https://www.baidu.com/"}
            ]
        },
    )

    url: Address = Field("", description="The page's address.")
    referrer: Address = Field("", description="The address of the page before.")
    campaign: Campaign = Field(Campaign(), description="What the SDK says itself.")
    table: Table | None = Field(None, description="Try this table; default: the one in force.")


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
