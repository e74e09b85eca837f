"""What routers over the definitions share: run blocking work in a thread, say its errors in HTTP, and know versions by ETag."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, ParamSpec, TypeVar

from fastapi import Header, Query
from sqlalchemy.exc import SQLAlchemyError

from cdp.errors import CdpError, Unavailable
from serving.definitions.errors import ConflictError, NotFoundError
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
ETAG: dict[str, Any] = {
    "ETag": {
        "description": "The version, for If-Match.",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[0-9]+"$'},
        "example": '"3"',
    }
}

P = ParamSpec("P")
T = TypeVar("T")


async def run(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run it in a thread. Raises ApiError 404, 409 or 422 for what the caller got wrong, Unavailable without a database."""
    try:
        return await asyncio.to_thread(work, *args, **kwargs)
    except SQLAlchemyError as error:
        raise Unavailable("The definitions database does not answer.", "Try again; see /readyz.") from error
    except NotFoundError as error:
        raise ApiError(404, error.message, error.remedy) from error
    except ConflictError as error:
        raise ApiError(409, error.message, error.remedy) from error
    except (Unavailable, ApiError):
        raise
    except CdpError as error:
        raise ApiError(422, error.message, error.remedy, field=str(getattr(error, "path", ""))) from error


def expected_version(if_match: str) -> int | None:
    """The version that If-Match names; None: any will do."""
    digits = "".join(filter(str.isdigit, if_match))
    return int(digits) if digits else None
