"""Drafts of documents, who put a version in force and when, and books of rules."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

EMPTY_BOOK = '{"number":0,"time":0,"tags":[],"triggers":[]}'


def upgrade() -> None:
    """Until now every version was in force as soon as it was written, by its author."""
    op.add_column("documents", sa.Column("published", sa.DateTime(timezone=True)))
    op.add_column("documents", sa.Column("publisher", sa.String(100), nullable=False, server_default=""))
    op.add_column("documents", sa.Column("shipped", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("documents", sa.Column("book", sa.Integer()))
    documents = sa.table("documents", *map(sa.column, ("published", "publisher", "created", "author")))
    op.get_bind().execute(sa.update(documents).values(published=documents.c.created, publisher=documents.c.author))
    books = op.create_table(
        "rule_books",
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("author", sa.String(100), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
    )
    op.bulk_insert(books, [{"number": 0, "body": EMPTY_BOOK, "author": "StreamCDP", "created": datetime.now(UTC)}])


def downgrade() -> None:
    """Drafts, rules and their books are lost: they would be taken for what is in force."""
    documents = sa.table("documents", sa.column("name"), sa.column("published"))
    is_rule = sa.or_(documents.c.name.like("tags/%"), documents.c.name.like("triggers/%"))
    op.get_bind().execute(sa.delete(documents).where(sa.or_(documents.c.published.is_(None), is_rule)))
    op.drop_table("rule_books")
    with op.batch_alter_table("documents") as batch:
        for column in ("published", "publisher", "shipped", "book"):
            batch.drop_column(column)
