"""/v1/rules: the rules in force, and tags and triggers as documents that are edited live."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request

from cdp.errors import Unavailable
from rules.definitions.bodies import as_body, decode
from rules.definitions.entries import InvalidRule
from rules.definitions.load import NAME, shipped_bodies
from serving.auth import Analyst, PartsDep
from serving.definitions.http import run
from serving.documents import kinds
from serving.documents.document import Document, Kind
from serving.documents.http import text_body
from serving.documents.models import change_views
from serving.documents.router import Endpoints, add_endpoints
from serving.errors import documented
from serving.parts import Parts
from serving.rules import models
from serving.rules.books import rule_key
from serving.rules.check import check
from serving.rules.describe import describe
from serving.rules.lines import lines
from serving.rules.shipped import upgrades

router = APIRouter(prefix="/v1/rules", tags=["rules"])

MAX_CHECKED_BYTES = 4 * kinds.MAX_RULE_BYTES

Sent = tuple[bytes, bool]
"""The body of a request, and whether it is JSON."""

# What an entry looks like; one of this shape may still make no sense, which the answer says.
ENTRY: dict[str, Any] = {"type": "object", "required": ["title"], "properties": {"title": {"type": "string", "minLength": 1}}}
ENTRIES: dict[str, Any] = {"type": "array", "items": {**ENTRY, "required": ["name", "title"]}}


@router.get("", summary="All triggers, and how people are recognised", responses=documented())
async def get_rules(parts: PartsDep, _: Analyst) -> models.Rules:
    """Triggers with condition, occasion, channels and texts; identifier types as they are in force. Least role: analyst."""
    triggers = [describe(rule) for rule in parts.rules.current.triggers]
    identifiers = [describe(type_) for type_ in parts.identity.rules.identifiers.values()]
    return models.Rules.model_validate({"book": parts.rules.number, "triggers": triggers, "identifiers": identifiers})


@router.get("/upgrades", summary="What an upgrade would change in edited rules", responses=documented())
async def get_upgrades(parts: PartsDep, _: Analyst) -> models.Upgrades:
    """Rules that somebody edited, and of which another version is shipped by now. Least role: analyst."""
    found = await run(upgrades, parts.settings)
    views = [
        models.UpgradeView.model_validate(
            upgrade._asdict()
            | {"shipped_changes": change_views(upgrade.shipped_changes), "changes": change_views(upgrade.changes)}
        )
        for upgrade in found
    ]
    return models.Upgrades(upgrades=views)


async def _sent_rules(request: Request) -> Sent:
    return await text_body(request, MAX_CHECKED_BYTES)


async def _sent_rule(request: Request) -> Sent:
    return await text_body(request, kinds.MAX_RULE_BYTES)


def _body_of(schema: dict[str, Any], example: Any) -> dict[str, Any]:
    """How OpenAPI says that a body is YAML or JSON."""
    media = {"schema": schema, "example": example}
    return {"requestBody": {"required": True, "content": {"application/json": media, "application/yaml": media}}}


_LISTED = ENTRIES | {"type": ["array", "null"]}  # in YAML a key with nothing behind it is null
_RULES = {"type": "object", "properties": {"tags": _LISTED, "triggers": _LISTED}}
_TAG, _TRIGGER = shipped_bodies()["tags", "member_level"], shipped_bodies()["triggers", "first_order_thanks"]


@router.post(
    "/check", summary="Try rules", responses=documented(400),
    openapi_extra=_body_of(_RULES, {"tags": [_TAG]}),
)  # fmt: skip
async def post_check(parts: PartsDep, _: Analyst, sent: Annotated[Sent, Depends(_sent_rules)]) -> models.Checked:
    """Tags and triggers, as YAML or JSON, together with those in force whose names they do not have. Changes nothing.

    A mistake is 422 with its path in `field`, such as `tags.vip.value`. Least role: analyst.
    """

    def work() -> models.Checked:
        text, is_json = sent
        found = check(parts.settings, decode(text, is_json=is_json, what="What was sent"))
        order = ["/".join(key) for key in found.order]
        return models.Checked(tags=len(found.book.tags), triggers=len(found.book.triggers), order=order)

    return await run(work)


@router.get("/tags", summary="All tags as documents", responses=documented())
async def get_tag_lines(parts: PartsDep, _: Analyst) -> models.TagLines:
    """Each with its version in force, its author and its drafts, by name. Least role: analyst."""
    return models.TagLines.model_validate({"tags": await run(lines, parts.settings, "tags")})


@router.get("/triggers", summary="All triggers as documents", responses=documented())
async def get_trigger_lines(parts: PartsDep, _: Analyst) -> models.TriggerLines:
    """Each with its version in force, its author and its drafts, by name. Least role: analyst."""
    return models.TriggerLines.model_validate({"triggers": await run(lines, parts.settings, "triggers")})


def _decode(kind: Kind, sent: Sent) -> dict[str, Any]:
    """A rule out of a request. The path says its name; the body need not. Raises InvalidRule."""
    text, is_json = sent
    group, name = rule_key(kind.key)
    body = decode(text, is_json=is_json)
    if body.setdefault("name", name) != name:
        raise InvalidRule(
            f"{group[:-1].capitalize()} {name!r}, field 'name': is {body['name']!r} in the body.",
            "Leave the name out of the body, or use the path of that name.", "name",
        )  # fmt: skip
    return as_body(body)


async def _announce(parts: Parts, kind: Kind, document: Document) -> None:
    """The answer comes when the stream has the book."""
    try:
        await parts.rules.publish()
    except Unavailable as error:
        raise Unavailable(
            f"Version {document.version} of {kind.title} is written, but not in force yet: {error.message}",
            "It will be in force soon after that is mended; nothing needs to be sent again.",
        ) from error


def _endpoints(word: str, kind_of: Callable[[str], Kind], example: dict[str, Any]) -> Endpoints:
    name_of = Path(pattern=f"^{NAME}$", description=f"The {word}'s name.", examples=[example["name"]])
    nameless = {field: value for field, value in example.items() if field != "name"}

    def kind(name: Annotated[str, name_of]) -> Kind:
        return kind_of(name)

    return Endpoints(
        title=f"a {word}", kind=kind, body=_sent_rule, decode=_decode, announce=_announce, body_schema=_body_of(ENTRY, nameless),
        model=models.RuleAnswer, answer=lambda document: {"rule": document.body}, versions_model=models.RuleVersions,
        version=models.RuleVersion.fields_of, noun=word, prefix=f"{word}_", reading="",
        effect=f"One {word}, as YAML or JSON, with the fields of an entry of {word}s.yaml. It makes the next book of rules, "
        "which the stream has when the answer comes.",
    )  # fmt: skip


add_endpoints(router, _endpoints("tag", kinds.tag, _TAG), "/tags/{name}")
add_endpoints(router, _endpoints("trigger", kinds.trigger, _TRIGGER), "/triggers/{name}")
