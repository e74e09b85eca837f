"""Who may do what: Bearer tokens with a role, as FastAPI dependencies."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from serving.definitions.credentials import Grant
from serving.definitions.models import Role
from serving.errors import ApiError
from serving.parts import Parts, parts_of

bearer = HTTPBearer(auto_error=False, scheme_name="token", description="A token made by `cdp token create`.")

PartsDep = Annotated[Parts, Depends(parts_of)]


class AtLeast:
    """A dependency that lets a role and those above it pass, and gives the Grant."""

    def __init__(self, role: Role) -> None:
        self.role = role

    async def __call__(
        self, request: Request, parts: PartsDep, given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
    ) -> Grant:
        """Raises ApiError 401 without a known token, 403 if its role is too low."""
        grant = await parts.credentials.grant(given.credentials) if given is not None and given.credentials else None
        if grant is None:
            raise ApiError(
                401, "The token is missing or unknown.", "Send `Authorization: Bearer TOKEN`; `cdp token create` makes one."
            )
        if grant.role is None or grant.role < self.role:
            has = grant.role.name if grant.role is not None else "a write key, which can only send events"
            raise ApiError(
                403, f"This needs the role {self.role.name}; the credential is {has}.", "Use a token with a higher role."
            )
        request.state.grant = grant
        return grant


Analyst = Annotated[Grant, Depends(AtLeast(Role.analyst))]
Ops = Annotated[Grant, Depends(AtLeast(Role.ops))]
Admin = Annotated[Grant, Depends(AtLeast(Role.admin))]
