"""What can be wrong with a request to change definitions, beside plain mistakes (CdpError)."""

from cdp.errors import CdpError


class NotFoundError(CdpError):
    """There is no such thing."""


class ConflictError(CdpError):
    """Somebody else was first, or something of that name exists."""
