"""Alembic's entry: runs the migrations on the connection that `core.db.engine.migrate` hands over."""

from alembic import context

from core.db import access_tables, event_tables  # noqa: F401 (they add their tables to the metadata)
from core.db.pipeline_tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
