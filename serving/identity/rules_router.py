"""/v1/identity/rules: the identity rules in force, and their versions."""

from typing import Any

from fastapi import APIRouter, Request

from serving.documents.document import Document, Kind
from serving.documents.http import text_body
from serving.documents.kinds import IDENTITY
from serving.documents.router import Endpoints, add_endpoints
from serving.identity import models
from serving.identity.live import publish
from serving.identity.text import as_object, as_text, shipped_text
from serving.parts import Parts

router = APIRouter(prefix="/rules")

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
            "application/yaml": {"schema": FILE, "example": shipped_text()},
            "application/json": {"schema": FILE, "example": as_object(shipped_text())},
        },
    }
}


async def _body(request: Request) -> tuple[bytes, bool]:
    return await text_body(request, IDENTITY.max_bytes)


def _decode(_: Kind, given: tuple[bytes, bool]) -> str:
    body, is_json = given
    return as_text(body, is_json=is_json)


async def _announce(parts: Parts, _: Kind, document: Document) -> None:
    await publish(parts.redis, parts.names, document)


add_endpoints(
    router,
    Endpoints(
        title="the identity rules", kind=lambda: IDENTITY, body=_body, decode=_decode, body_schema=BODY, announce=_announce,
        model=models.RulesAnswer, answer=lambda document: {"text": document.body, "rules": as_object(document.body)},
        effect="The whole file, as YAML or JSON. It holds from RESOLVE's next batch on.",
        reading="; version 1 comes with the platform", noun="rules",
    ),
)  # fmt: skip
