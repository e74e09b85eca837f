"""/v1/identity/rules: the identity rules in force, and their versions."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response

from serving.auth import Analyst, Ops, PartsDep
from serving.definitions.documents import Document, Version
from serving.definitions.http import run
from serving.errors import ApiError, documented
from serving.identity import models, rules
from serving.identity.live import publish
from serving.parts import Parts

router = APIRouter(prefix="/rules")

MAX_BYTES = 1_000_000
# What a file looks like; a file of this shape may still contradict itself, which the answer says.
FILE: dict[str, Any] = {
    "type": "object",
    "required": ["identifiers"],
    "properties": {
        "identifiers": {"type": "array", "items": {"type": "object", "required": ["name", "priority"]}},
    },
}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/yaml": {"schema": FILE, "example": rules.shipped_text()},
            "application/json": {"schema": FILE, "example": rules.as_object(rules.shipped_text())},
        },
    }
}

IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", pattern=r'^(\*|(W/)?"?[0-9]{1,9}"?)$',
           description="The ETag of the version that was edited; 409 if another is in force. Without it, the last one wins."),
]  # fmt: skip
Note = Annotated[str, Query(max_length=500, description="Why, for those who read the history.")]


@router.get("", summary="The identity rules", responses=documented(404))
async def get_rules(
    parts: PartsDep,
    _: Analyst,
    response: Response,
    version: Annotated[int | None, Query(ge=1, le=2_000_000_000, description="Without it: the one in force.")] = None,
) -> models.RulesAnswer:
    """The version in force, or another; version 1 comes with the platform. Least role: analyst."""
    return _answer(await run(rules.read_rules, parts.settings, version), response)


@router.put("", summary="Put identity rules in force", responses=documented(400, 409), openapi_extra=BODY)
async def put_rules(
    parts: PartsDep, grant: Ops, request: Request, response: Response, if_match: IfMatch = None, note: Note = ""
) -> models.RulesAnswer:
    """The whole file, as YAML or JSON. It holds from RESOLVE's next batch on. A mistake is 422 with its path in `field`.

    Least role: ops.
    """
    body = await request.body()
    if len(body) > MAX_BYTES:
        raise ApiError(422, f"The rules are larger than {MAX_BYTES:,} bytes.", "Make them smaller.")
    write = partial(_put, author=grant.name, note=note, expected=_expected(if_match))
    document = await run(write, parts, body, is_json="json" in request.headers.get("Content-Type", ""))
    await publish(parts.redis, parts.names, document)
    return _answer(document, response)


@router.get("/versions", summary="Who changed the identity rules, and when", responses=documented())
async def get_versions(
    parts: PartsDep, _: Analyst, limit: Annotated[int, Query(ge=1, le=1_000, description="How many at most.")] = 100
) -> models.RulesVersions:
    """The newest first. Least role: analyst."""
    found = await run(rules.read_versions, parts.settings, limit)
    return models.RulesVersions(versions=[models.RulesVersion(**_version(version)) for version in found])


@router.post("/rollback", summary="Put old identity rules in force again", responses=documented(400, 404, 409))
async def post_rollback(
    parts: PartsDep, grant: Ops, response: Response, request: models.RollbackRequest, if_match: IfMatch = None
) -> models.RulesAnswer:
    """As a new version, so that nothing of the history is lost. Least role: ops."""
    rollback = partial(rules.rollback_rules, author=grant.name, expected=_expected(if_match))
    document = await run(rollback, parts.settings, request.to)
    await publish(parts.redis, parts.names, document)
    return _answer(document, response)


def _put(parts: Parts, body: bytes, *, is_json: bool, author: str, note: str, expected: int | None) -> Document:
    text = rules.as_text(body, is_json=is_json)
    return rules.write_rules(parts.settings, text, author=author, note=note, expected=expected)


def _expected(if_match: str | None) -> int | None:
    digits = "".join(filter(str.isdigit, if_match or ""))
    return int(digits) if digits else None


def _answer(document: Document, response: Response) -> models.RulesAnswer:
    response.headers["ETag"] = f'"{document.version}"'
    return models.RulesAnswer(**_version(document), text=document.body, rules=rules.as_object(document.body))


def _version(version: Version) -> dict[str, Any]:
    return {"version": version.version, "author": version.author, "created": version.created or None, "note": version.note}
