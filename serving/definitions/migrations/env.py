"""How Alembic runs the migrations: on the connection that `serving.definitions.database` hands over."""

from alembic import context

from serving.definitions.models import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
