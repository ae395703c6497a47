"""the event log, and who may write to it"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('audit',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('who', sa.Text(), nullable=False, comment='name of the token, or what stood in its place'),
    sa.Column('action', sa.Text(), nullable=False),
    sa.Column('outcome', sa.Text(), nullable=False),
    sa.Column('detail', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('audit_pkey')),
    comment='Every use and refusal of a token, and every change made under management; append-only.'
    )
    op.create_index(op.f('audit_at_idx'), 'audit', ['at'], unique=False)
    op.create_table('checkpoints',
    sa.Column('log', sa.Text(), nullable=False),
    sa.Column('contender', sa.Text(), nullable=False),
    sa.Column('contender_hash', sa.Text(), nullable=False),
    sa.Column('last_seq', sa.BigInteger(), nullable=False),
    sa.Column('stamp', sa.Text(), nullable=False, comment='versions of python, the libraries and the code that wrote it'),
    sa.Column('state', sa.LargeBinary(), nullable=False),
    sa.Column('digest', sa.Text(), nullable=False, comment='SHA-256 of the state'),
    sa.Column('rows_learned', sa.BigInteger(), nullable=False),
    sa.Column('recorded_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('log', 'contender', 'contender_hash', 'last_seq', name=op.f('checkpoints_pkey')),
    comment='Learners as they stood after an event: restore one, replay what follows.'
    )
    op.create_table('event_predictions',
    sa.Column('log', sa.Text(), nullable=False),
    sa.Column('contender', sa.Text(), nullable=False),
    sa.Column('contender_hash', sa.Text(), nullable=False),
    sa.Column('seq', sa.BigInteger(), nullable=False),
    sa.Column('value', sa.Float(), nullable=True, comment='made by the model of the events before; null: none yet'),
    sa.PrimaryKeyConstraint('log', 'contender', 'contender_hash', 'seq', name=op.f('event_predictions_pkey')),
    comment='What a contender said of each event with features, at its place in the log.'
    )
    op.create_table('events',
    sa.Column('log', sa.Text(), nullable=False, comment='task, or task/series where the rows come from a store'),
    sa.Column('seq', sa.BigInteger(), nullable=False, comment='1, 2, 3, … without a gap, in the order of commits'),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('event_id', sa.Text(), nullable=True, comment="the sender's idempotency key"),
    sa.Column('series_id', sa.Text(), nullable=True),
    sa.Column('features', postgresql.JSON(astext_type=sa.Text()), nullable=True, comment='as they were sent, keys in their order'),
    sa.Column('target', sa.Float(), nullable=True),
    sa.Column('ref_seq', sa.BigInteger(), nullable=True, comment='the earlier event that holds the other half of the row'),
    sa.Column('recorded_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint("kind IN ('row','predict','label','pause','resume')", name=op.f('events_kind_check')),
    sa.PrimaryKeyConstraint('log', 'seq', name=op.f('events_pkey')),
    comment='Rows to learn from and labels, append-only, in one gapless order per log.'
    )
    op.create_index('events_log_event_id_features_key', 'events', ['log', 'event_id'], unique=True, postgresql_where=sa.text('event_id IS NOT NULL AND features IS NOT NULL'))
    op.create_index('events_log_event_id_target_key', 'events', ['log', 'event_id'], unique=True, postgresql_where=sa.text('event_id IS NOT NULL AND target IS NOT NULL'))
    op.create_table('feedback',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('task', sa.Text(), nullable=False),
    sa.Column('prediction_id', sa.Text(), nullable=True),
    sa.Column('message', sa.Text(), nullable=False),
    sa.Column('rating', sa.Integer(), nullable=True),
    sa.Column('received_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('feedback_pkey')),
    comment='What people said of predictions.'
    )
    op.create_index(op.f('feedback_task_id_idx'), 'feedback', ['task', 'id'], unique=False)
    op.create_table('lag_series',
    sa.Column('series_id', sa.Text(), nullable=False),
    sa.Column('count', sa.BigInteger(), nullable=False, comment='values ever added'),
    sa.Column('recent', postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment='the newest values, newest last'),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('series_id', name=op.f('lag_series_pkey')),
    comment='The lag buffers of the features service.'
    )
    op.create_table('quarantined_events',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('log', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('event_id', sa.Text(), nullable=True),
    sa.Column('series_id', sa.Text(), nullable=True),
    sa.Column('features', postgresql.JSON(astext_type=sa.Text()), nullable=True),
    sa.Column('target', sa.Float(), nullable=True),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('detail', sa.Text(), nullable=False),
    sa.Column('received_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('released_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('released_by', sa.Text(), nullable=True),
    sa.Column('released_why', sa.Text(), nullable=True),
    sa.Column('seq', sa.BigInteger(), nullable=True, comment='its place in the log, once released'),
    sa.PrimaryKeyConstraint('id', name=op.f('quarantined_events_pkey')),
    comment='Rows that the schema or the outlier guard refused: never learned unless released.'
    )
    op.create_index(op.f('quarantined_events_log_id_idx'), 'quarantined_events', ['log', 'id'], unique=False)
    op.create_table('registrations',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('log', sa.Text(), nullable=False),
    sa.Column('contender', sa.Text(), nullable=False),
    sa.Column('contender_hash', sa.Text(), nullable=False),
    sa.Column('last_seq', sa.BigInteger(), nullable=False),
    sa.Column('session_date', sa.Date(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=True, comment='the version in MLflow; null: still to be registered'),
    sa.Column('attempts', sa.Integer(), server_default='0', nullable=False),
    sa.Column('trouble', sa.Text(), server_default='', nullable=False),
    sa.Column('asked_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('done_at', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('registrations_pkey')),
    sa.UniqueConstraint('log', 'contender', 'contender_hash', 'session_date', name=op.f('registrations_log_contender_contender_hash_session_date_key')),
    comment='The outbox: checkpoints that are to become versions in MLflow, one per contender and session.'
    )
    op.create_table('stream_leases',
    sa.Column('series', sa.Text(), nullable=False),
    sa.Column('observation_id', sa.BigInteger(), nullable=False),
    sa.Column('log', sa.Text(), nullable=False, comment='where its id acknowledges it, once it is learned'),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('series', 'observation_id', name=op.f('stream_leases_pkey')),
    comment='Observations handed out with ?lease= and not acknowledged yet.'
    )
    op.create_table('streams',
    sa.Column('series', sa.Text(), nullable=False),
    sa.Column('position', sa.BigInteger(), nullable=False, comment='observations handed out since the last reset'),
    sa.Column('generation', sa.BigInteger(), server_default='0', nullable=False, comment='resets so far'),
    sa.PrimaryKeyConstraint('series', name=op.f('streams_pkey')),
    comment='How far the ingestion service has handed out each series.'
    )
    op.create_table('task_configurations',
    sa.Column('task', sa.Text(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('declaration', postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment='the whole task, as its file would say it'),
    sa.Column('who', sa.Text(), nullable=False),
    sa.Column('why', sa.Text(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('task', 'number', name=op.f('task_configurations_pkey')),
    comment="Configurations that replaced the task's file; the newest counts."
    )
    op.create_table('tokens',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('role', sa.Text(), nullable=False),
    sa.Column('secret_hash', sa.Text(), nullable=False, comment='SHA-256 of the secret; the secret is kept nowhere'),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('revoked_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("role IN ('trainer','admin')", name=op.f('tokens_role_check')),
    sa.PrimaryKeyConstraint('id', name=op.f('tokens_pkey')),
    sa.UniqueConstraint('secret_hash', name=op.f('tokens_secret_hash_key')),
    comment='Bearer tokens, by the hash of their secret.'
    )
    for table in ("events", "audit", "task_configurations"):
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    op.drop_table('tokens')
    op.drop_table('task_configurations')
    op.drop_table('streams')
    op.drop_table('stream_leases')
    op.drop_table('registrations')
    op.drop_index(op.f('quarantined_events_log_id_idx'), table_name='quarantined_events')
    op.drop_table('quarantined_events')
    op.drop_table('lag_series')
    op.drop_index(op.f('feedback_task_id_idx'), table_name='feedback')
    op.drop_table('feedback')
    op.drop_index('events_log_event_id_target_key', table_name='events', postgresql_where=sa.text('event_id IS NOT NULL AND target IS NOT NULL'))
    op.drop_index('events_log_event_id_features_key', table_name='events', postgresql_where=sa.text('event_id IS NOT NULL AND features IS NOT NULL'))
    op.drop_table('events')
    op.drop_table('event_predictions')
    op.drop_table('checkpoints')
    op.drop_index(op.f('audit_at_idx'), table_name='audit')
    op.drop_table('audit')
