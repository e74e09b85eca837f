"""Definitions: write keys, access tokens and versioned documents, in SQLite or PostgreSQL. Secrets are stored as hashes only.

Shapes: a write key is ``wk_...`` (collect only), a token ``tk_...`` with a role. Both are shown once, when minted.
"""

from serving.definitions.credentials import (
    bootstrap_credentials,
    list_credentials,
    mint_token,
    revoke,
)
from serving.definitions.database import migrate
from serving.definitions.keys import mint_write_key
from serving.definitions.models import ROLES, Role

__all__ = ["ROLES", "Role", "bootstrap_credentials", "list_credentials", "migrate", "mint_token", "mint_write_key", "revoke"]
