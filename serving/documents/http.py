"""What the endpoints of documents take from a request beside its body: versions by ETag, and reasons."""

from typing import Annotated, Any

from fastapi import Header, Query, Request

from serving.errors import ApiError

IfMatch = Annotated[
    str,
    Header(alias="If-Match", pattern=r'^(\*|(W/)?"?[0-9]{1,9}"?)?$', examples=['"3"'],
           description="The ETag of the version that was edited; 409 if another is in force. Without it, the last one wins."),
]  # fmt: skip
Note = Annotated[str, Query(max_length=500, description="Why, for those who read the history.", examples=["New shoes"])]
VersionNumber = Annotated[
    int | None, Query(ge=1, le=2_000_000_000, description="Counts from 1; default: the version in force.", examples=[1])
]
Limit = Annotated[int, Query(ge=1, le=1_000, description="How many at most.")]
Publish = Annotated[bool, Query(description="false: keep it as a draft, which `publish` puts in force later.")]
From = Annotated[
    str | None,
    Query(alias="from", pattern="^(shipped|[1-9][0-9]{0,8})$", examples=["1"],
          description="A version, or `shipped`: what comes with the platform. Default: what was in force before `to`."),
]  # fmt: skip
ETAG: dict[str, Any] = {
    "ETag": {
        "description": "The version, for If-Match.",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[0-9]+"$'},
        "example": '"3"',
    }
}
TAGGED: dict[int | str, dict[str, Any]] = {200: {"headers": ETAG}}


def expected_version(if_match: str) -> int | None:
    """The version that If-Match names; None: any will do."""
    digits = "".join(filter(str.isdigit, if_match))
    return int(digits) if digits else None


async def text_body(request: Request, max_bytes: int) -> tuple[bytes, bool]:
    """The body of a request that is YAML or JSON, and whether it is JSON. Raises ApiError 422 if it is larger."""
    body = await request.body()
    if len(body) > max_bytes:
        raise ApiError(422, f"The document is larger than {max_bytes:,} bytes.", "Make it smaller.")
    return body, "json" in request.headers.get("Content-Type", "")
