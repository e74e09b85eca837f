"""Definitions: write keys and access tokens, in SQLite or PostgreSQL. Only hashes are stored.

Shapes: a write key is ``wk_...`` (collect only), a token ``tk_...`` with a role. Both are shown once, when minted.
"""

from serving.definitions.credentials import (
    bootstrap_credentials,
    list_credentials,
    mint_token,
    mint_write_key,
    revoke,
)
from serving.definitions.database import migrate
from serving.definitions.models import ROLES, Role

__all__ = ["ROLES", "Role", "bootstrap_credentials", "list_credentials", "migrate", "mint_token", "mint_write_key", "revoke"]
