"""What routers over the definitions share: run blocking work in a thread, and say its errors in HTTP."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from cdp.errors import CdpError, Unavailable
from serving.definitions.errors import ConflictError, NotFoundError
from serving.errors import ApiError

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
