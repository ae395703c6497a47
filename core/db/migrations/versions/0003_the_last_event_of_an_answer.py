"""the last event behind an answer, the logs of rows that come from a store, quarantined rows by their ids"""

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None

_LOG = "task; or task/series/hash of what a row means, where the rows come from a store"
_LOG_BEFORE = "task, or task/series where the rows come from a store"
_MODEL = "of a batch contender; what learns row by row stands in checkpoints"


def upgrade() -> None:
    op.add_column('predictions', sa.Column(
        'last_event_id', sa.BigInteger(), nullable=True,
        comment='the newest event that the model had learned; null: not known, or it learns from no log',
    ))
    op.alter_column('events', 'log', existing_type=sa.Text(), existing_nullable=False,
                    existing_comment=_LOG_BEFORE, comment=_LOG)
    op.alter_column('progress', 'model', existing_type=sa.LargeBinary(), existing_nullable=True, comment=_MODEL)
    op.create_index(op.f('quarantined_events_log_event_id_idx'), 'quarantined_events', ['log', 'event_id'])


def downgrade() -> None:
    op.drop_index(op.f('quarantined_events_log_event_id_idx'), table_name='quarantined_events')
    op.alter_column('progress', 'model', existing_type=sa.LargeBinary(), existing_nullable=True,
                    existing_comment=_MODEL, comment=None)
    op.alter_column('events', 'log', existing_type=sa.Text(), existing_nullable=False,
                    existing_comment=_LOG, comment=_LOG_BEFORE)
    op.drop_column('predictions', 'last_event_id')
