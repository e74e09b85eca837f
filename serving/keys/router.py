"""/v1/keys: write keys, for administrators."""

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from serving.auth import Admin, PartsDep
from serving.definitions import keys
from serving.definitions.credentials import MAX_NAME, NAME_PATTERN
from serving.definitions.http import run
from serving.definitions.keys import (
    MAX_APP,
    MAX_DESCRIPTION,
    MAX_LISTED,
    MAX_OVERLAP,
    MAX_RATE,
    ORIGIN_PATTERN,
    OVERLAP,
    SECRET_PATTERN,
    TEXT_PATTERN,
    KeyChange,
)
from serving.errors import documented, whole

router = APIRouter(prefix="/v1/keys", tags=["keys"])


def _undefaulted(schema: dict[str, Any]) -> None:
    schema.pop("default", None)  # a field that is left out stays as it is


Whole = Annotated[int, BeforeValidator(whole)]
Limit = Annotated[float, Field(gt=0, le=MAX_RATE, allow_inf_nan=False)]
Origin = Annotated[str, Field(pattern=f"^(?:{ORIGIN_PATTERN})$", examples=["https://shop.example"])]
App = Annotated[str, Field(max_length=MAX_APP, pattern=f"^{TEXT_PATTERN}$")]
Name = Annotated[str, Path(description="The key's name.", examples=["web-shop"])]
Secret = Annotated[
    str | None,
    Field(pattern=f"^{SECRET_PATTERN}$", description="One that sources already have; default: a new one."),
]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class KeyPatch(_Asked):
    """What to change of a write key; what is left out stays as it is."""

    disabled: bool = Field(False, json_schema_extra=_undefaulted, description="A disabled key is refused with 401.")
    quota_rate: Limit | None = Field(
        None, json_schema_extra=_undefaulted, description="Events a second and collector process; null: no limit."
    )
    quota_burst: Limit | None = Field(
        None, json_schema_extra=_undefaulted, description="Events at once; null: as many as in a second."
    )
    origins: list[Origin] = Field(
        ["*"], max_length=MAX_LISTED, json_schema_extra=_undefaulted, description="From where browsers may send; * for anywhere."
    )
    apps: list[App] = Field(
        [], max_length=MAX_LISTED, json_schema_extra=_undefaulted,
        description="Applications' names that stand for the key, where an SDK can send nothing else.",
    )  # fmt: skip
    description: str = Field("", max_length=MAX_DESCRIPTION, json_schema_extra=_undefaulted)


class KeyRequest(KeyPatch):
    """A new write key."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "web-shop", "quota_rate": 500, "quota_burst": 2000, "origins": ["https://shop.example"]}]
        }
    )

    name: str = Field(max_length=MAX_NAME, pattern=f"^{NAME_PATTERN}$", examples=["web-shop"])
    secret: Secret = None


class RotateRequest(_Asked):
    """How to rotate."""

    overlap_seconds: Whole = Field(
        int(OVERLAP.total_seconds()), ge=0, le=int(MAX_OVERLAP.total_seconds()), description="How long the old secret works on."
    )
    secret: Secret = None


class Key(BaseModel):
    """A write key, without its secrets."""

    name: str
    created: str
    disabled: bool
    secrets: int = Field(description="How many secrets work now: two while the key is being rotated.")
    old_secret_until: str | None = Field(description="Until when the secret before the newest works.")
    quota_rate: float | None
    quota_burst: float | None
    origins: list[str]
    apps: list[str]
    description: str


class NewSecret(BaseModel):
    """A write key with its newest secret, which is shown this once."""

    key: Key
    secret: str


class Keys(BaseModel):
    """All write keys, by name."""

    keys: list[Key]


@router.get("", summary="All write keys", responses=documented())
async def get_keys(parts: PartsDep, _: Admin) -> Keys:
    """Without their secrets, which nobody can read again. Least role: admin."""
    return Keys(keys=[_key(info) for info in await run(keys.list_keys, parts.settings)])


@router.post("", summary="Make a write key", status_code=201, responses=documented(400, 409))
async def post_key(parts: PartsDep, _: Admin, request: KeyRequest) -> NewSecret:
    """The answer holds the secret, this once. Works at once. Least role: admin."""
    change = KeyChange(**request.model_dump(exclude_unset=True, exclude={"name", "secret"}))
    return _new(await run(keys.create_key, parts.settings, request.name, change, request.secret or ""))


@router.get("/{name}", summary="One write key", responses=documented(404))
async def get_key(parts: PartsDep, _: Admin, name: Name) -> Key:
    """Without its secrets. Least role: admin."""
    return _key(await run(keys.get_key, parts.settings, name))


@router.patch("/{name}", summary="Change a write key", responses=documented(400, 404, 409))
async def patch_key(parts: PartsDep, _: Admin, name: Name, request: KeyPatch) -> Key:
    """Collectors heed it within a second. Least role: admin."""
    change = KeyChange(**request.model_dump(exclude_unset=True))
    return _key(await run(keys.change_key, parts.settings, name, change))


@router.post("/{name}/rotate", summary="Give a write key a new secret", responses=documented(400, 404, 409))
async def rotate_key(parts: PartsDep, _: Admin, name: Name, request: Annotated[RotateRequest | None, Body()] = None) -> NewSecret:
    """The secret before works on until the overlap is over, or the next rotation. Least role: admin."""
    asked = request or RotateRequest()
    overlap = timedelta(seconds=asked.overlap_seconds)
    return _new(await run(keys.rotate_key, parts.settings, name, overlap, asked.secret or ""))


@router.post("/{name}/expire", summary="End a write key's old secret now", responses=documented(404))
async def expire_key(parts: PartsDep, _: Admin, name: Name) -> Key:
    """When every source has the new one. The newest secret stays. Least role: admin."""
    return _key(await run(keys.expire_old_secret, parts.settings, name))


def _key(info: keys.KeyInfo) -> Key:
    return Key(**asdict(info))


def _new(made: tuple[keys.KeyInfo, str]) -> NewSecret:
    return NewSecret(key=_key(made[0]), secret=made[1])
