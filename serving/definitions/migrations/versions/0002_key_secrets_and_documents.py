"""Write keys with several secrets, quota, origins and applications; versioned documents."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Move each key's hash into a table of its own, and add what is new."""
    old = sa.table("write_keys", sa.column("hash"), *_common())
    kept = [row._asdict() for row in op.get_bind().execute(sa.select(old))]
    op.drop_table("write_keys")
    keys = op.create_table(
        "write_keys",
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("quota_rate", sa.Float()),
        sa.Column("quota_burst", sa.Float()),
        sa.Column("origins", sa.JSON(), nullable=False),
        sa.Column("description", sa.String(500), nullable=False),
    )
    secrets = op.create_table(
        "write_key_secrets",
        sa.Column("hash", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(100), sa.ForeignKey("write_keys.name", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires", sa.DateTime(timezone=True)),
    )
    op.create_table(
        "write_key_apps",
        sa.Column("app", sa.String(200), primary_key=True),
        sa.Column("name", sa.String(100), sa.ForeignKey("write_keys.name", ondelete="CASCADE"), nullable=False, index=True),
    )
    op.create_table(
        "documents",
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("author", sa.String(100), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.String(500), nullable=False),
    )
    _fill(keys, [{"name": row["name"], "created": row["created"], "disabled": row["disabled"], **NEW} for row in kept])
    _fill(secrets, [{"hash": row["hash"], "name": row["name"], "created": row["created"]} for row in kept])


NEW: dict[str, Any] = {"origins": ["*"], "description": ""}


def _common() -> "tuple[sa.ColumnClause[Any], ...]":
    return sa.column("name"), sa.column("created", sa.DateTime(timezone=True)), sa.column("disabled", sa.Boolean())


def _fill(table: sa.Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        op.get_bind().execute(sa.insert(table), rows)


def downgrade() -> None:
    """Back to one secret a key, the newest; quotas, origins, applications and documents are lost."""
    keys = sa.table("write_keys", *_common())
    secrets = sa.table("write_key_secrets", sa.column("name"), sa.column("hash"), sa.column("expires"))
    chosen = sa.select(keys.c.name, secrets.c.hash, keys.c.created, keys.c.disabled).join_from(
        keys, secrets, sa.and_(keys.c.name == secrets.c.name, secrets.c.expires.is_(None))
    )
    kept = [row._asdict() for row in op.get_bind().execute(chosen)]
    for table in ("documents", "write_key_apps", "write_key_secrets", "write_keys"):
        op.drop_table(table)
    old = op.create_table(
        "write_keys",
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("hash", sa.String(64), nullable=False, unique=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
    )
    _fill(old, kept)
