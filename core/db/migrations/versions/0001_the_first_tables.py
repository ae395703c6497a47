"""the first tables"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('active_series',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('task', sa.Text(), nullable=False),
    sa.Column('series', sa.Text(), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('since', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('active_series_pkey')),
    comment='Which series a task stands on; the newest row counts.'
    )
    op.create_index(op.f('active_series_task_id_idx'), 'active_series', ['task', 'id'], unique=False)
    op.create_table('bundles',
    sa.Column('digest', sa.Text(), nullable=False),
    sa.Column('content', sa.LargeBinary(), nullable=False, comment='tar of the model folder'),
    sa.Column('recorded_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('digest', name=op.f('bundles_pkey')),
    comment='Model folders of versions that took an alias: the copy that survives MLflow.'
    )
    op.create_table('contender_predictions',
    sa.Column('task', sa.Text(), nullable=False),
    sa.Column('series', sa.Text(), nullable=False),
    sa.Column('contender', sa.Text(), nullable=False),
    sa.Column('contender_hash', sa.Text(), nullable=False),
    sa.Column('target_date', sa.Date(), nullable=False),
    sa.Column('event_date', sa.Date(), nullable=False, comment='date of the features'),
    sa.Column('trained_through', sa.Date(), nullable=True, comment='last label learned before predicting'),
    sa.Column('value', sa.Float(), nullable=True, comment='P(UP) or the forecast; null: no prediction yet'),
    sa.Column('made_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('task', 'series', 'contender', 'contender_hash', 'target_date', name=op.f('contender_predictions_pkey')),
    comment='Walk-forward and shadow predictions, one per contender and target date: what contenders are compared by.'
    )
    op.create_table('datasets',
    sa.Column('task', sa.Text(), nullable=False),
    sa.Column('data_hash', sa.Text(), nullable=False),
    sa.Column('series', sa.Text(), nullable=False),
    sa.Column('as_of', sa.DateTime(timezone=True), nullable=False),
    sa.Column('rows', sa.Integer(), nullable=False),
    sa.Column('first_date', sa.Date(), nullable=False),
    sa.Column('last_date', sa.Date(), nullable=False),
    sa.Column('feature_hash', sa.Text(), nullable=False),
    sa.Column('recorded_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('task', 'data_hash', name=op.f('datasets_pkey')),
    comment='Feature tables that were built, each kept as Parquet in the lake under its hash.'
    )
    op.create_table('decisions',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('task', sa.Text(), nullable=False),
    sa.Column('series', sa.Text(), nullable=False),
    sa.Column('session_date', sa.Date(), nullable=False),
    sa.Column('outcome', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('champion', sa.Text(), nullable=True),
    sa.Column('challenger', sa.Text(), nullable=True),
    sa.Column('evidence', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('evidence_hash', sa.Text(), nullable=False),
    sa.Column('decided_at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("outcome IN ('PROMOTE','HOLD','REJECT','BOOTSTRAP','FORCED')", name=op.f('decisions_outcome_check')),
    sa.PrimaryKeyConstraint('id', name=op.f('decisions_pkey'))
    )
    op.create_index(op.f('decisions_task_id_idx'), 'decisions', ['task', 'id'], unique=False)
    op.create_table('feature_rows',
    sa.Column('features_hash', sa.Text(), nullable=False),
    sa.Column('series', sa.Text(), nullable=False),
    sa.Column('event_date', sa.Date(), nullable=False),
    sa.Column('features', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('recorded_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('features_hash', name=op.f('feature_rows_pkey')),
    comment='The features behind the answers, once per hash.'
    )
    op.create_table('fetches',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('series', sa.Text(), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('fetched_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('outcome', sa.Text(), nullable=False, comment='answered, unreachable, refused'),
    sa.Column('detail', sa.Text(), server_default='', nullable=False),
    sa.Column('rows', sa.Integer(), server_default='0', nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('fetches_pkey')),
    comment='Every question asked of a source: one a day per series.'
    )
    op.create_index(op.f('fetches_series_fetched_at_idx'), 'fetches', ['series', 'fetched_at'], unique=False)
    op.create_table('leases',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('holder', sa.Text(), nullable=False),
    sa.Column('token', sa.BigInteger(), nullable=False, comment='fencing token: grows with every holder'),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('leases_pkey'))
    )
    op.create_table('ledger',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('move', sa.Text(), nullable=False, comment='joins the phases of one move'),
    sa.Column('task', sa.Text(), nullable=False),
    sa.Column('alias', sa.Text(), nullable=False),
    sa.Column('phase', sa.Text(), nullable=False),
    sa.Column('from_version', sa.Integer(), nullable=True),
    sa.Column('to_version', sa.Integer(), nullable=True),
    sa.Column('who', sa.Text(), nullable=False),
    sa.Column('why', sa.Text(), nullable=False),
    sa.Column('decision_id', sa.BigInteger(), nullable=True),
    sa.Column('evidence_hash', sa.Text(), server_default='', nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("phase IN ('intent','confirmed','abandoned','external')", name=op.f('ledger_phase_check')),
    sa.PrimaryKeyConstraint('id', name=op.f('ledger_pkey')),
    comment='Every alias move ever, append-only: intent, then confirmed; external when made by hand in the registry.'
    )
    op.create_index(op.f('ledger_task_alias_id_idx'), 'ledger', ['task', 'alias', 'id'], unique=False)
    op.create_table('observations',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('series', sa.Text(), nullable=False),
    sa.Column('event_date', sa.Date(), nullable=False),
    sa.Column('known_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('recorded_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('fields', postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment='raw values as numbers; prices unadjusted'),
    sa.PrimaryKeyConstraint('id', name=op.f('observations_pkey')),
    sa.UniqueConstraint('series', 'event_date', 'known_at', name=op.f('observations_series_event_date_known_at_key')),
    comment='Bitemporal and append-only: a changed past is a new row with a later known_at (a restatement).'
    )
    op.create_table('outcomes',
    sa.Column('series', sa.Text(), nullable=False),
    sa.Column('target_kind', sa.Text(), nullable=False),
    sa.Column('target_date', sa.Date(), nullable=False),
    sa.Column('known_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('label', sa.Float(), nullable=False),
    sa.PrimaryKeyConstraint('series', 'target_kind', 'target_date', 'known_at', name=op.f('outcomes_pkey')),
    comment='Labels as they became known; a restated label is a new row.'
    )
    op.create_table('predictions',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('task', sa.Text(), nullable=False),
    sa.Column('series', sa.Text(), nullable=False),
    sa.Column('contender', sa.Text(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('alias', sa.Text(), nullable=False),
    sa.Column('event_date', sa.Date(), nullable=False, comment='date of the features (as_of in the answer)'),
    sa.Column('target_date', sa.Date(), nullable=False),
    sa.Column('value', sa.Float(), nullable=False, comment='P(UP) or the forecast'),
    sa.Column('threshold', sa.Float(), nullable=True),
    sa.Column('prediction', sa.Text(), nullable=False),
    sa.Column('features_hash', sa.Text(), nullable=False),
    sa.Column('data_hash', sa.Text(), nullable=False),
    sa.Column('stale', sa.Boolean(), nullable=False),
    sa.Column('made_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('predictions_pkey')),
    comment='Every answer the API gave.'
    )
    op.create_table('progress',
    sa.Column('task', sa.Text(), nullable=False),
    sa.Column('series', sa.Text(), nullable=False),
    sa.Column('contender', sa.Text(), nullable=False),
    sa.Column('contender_hash', sa.Text(), nullable=False),
    sa.Column('learned_through', sa.Date(), nullable=True, comment='target date of the last row learned'),
    sa.Column('rows_learned', sa.Integer(), nullable=False),
    sa.Column('stamp', sa.Text(), nullable=False, comment='python, river and scikit-learn versions that wrote the model'),
    sa.Column('model', sa.LargeBinary(), nullable=True),
    sa.Column('recorded_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('task', 'series', 'contender', 'contender_hash', name=op.f('progress_pkey')),
    comment='Where each contender stands in its walk: model and watermark, committed together with its predictions.'
    )
    op.create_table('quarantine',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('series', sa.Text(), nullable=False),
    sa.Column('event_date', sa.Date(), nullable=True),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('fields', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('recorded_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('quarantine_pkey')),
    comment='What a source sent and the checks refused, with the reason.'
    )
    op.create_index(op.f('quarantine_series_event_date_idx'), 'quarantine', ['series', 'event_date'], unique=False)
    op.create_table('runs',
    sa.Column('run_key', sa.Text(), nullable=False),
    sa.Column('task', sa.Text(), nullable=False),
    sa.Column('step', sa.Text(), nullable=False),
    sa.Column('report', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('finished_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('run_key', name=op.f('runs_pkey')),
    comment='Jobs that settled their work, by (task, step, session date, hashes): a second start finds it done.'
    )
    op.create_table('versions',
    sa.Column('task', sa.Text(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('contender', sa.Text(), nullable=False),
    sa.Column('contender_hash', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('series', sa.Text(), nullable=False),
    sa.Column('trained_through', sa.Date(), nullable=False),
    sa.Column('rows_trained', sa.Integer(), nullable=False),
    sa.Column('data_hash', sa.Text(), nullable=False),
    sa.Column('artifact_digest', sa.Text(), nullable=False),
    sa.Column('code_version', sa.Text(), nullable=False),
    sa.Column('run_id', sa.Text(), nullable=False),
    sa.Column('golden', postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment='{rows: [...], expected: [...]}: a batch to score before serving'),
    sa.Column('registered_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('task', 'version', name=op.f('versions_pkey')),
    sa.UniqueConstraint('task', 'contender', 'contender_hash', 'series', 'trained_through', name=op.f('versions_task_contender_contender_hash_series_trained_through_key')),
    comment='Model versions as we made them; what MLflow serves is checked against this.'
    )
    op.execute(
        """
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
        END $$
        """
    )
    for table in ("observations", "ledger", "decisions"):
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    op.drop_table('versions')
    op.drop_table('runs')
    op.drop_index(op.f('quarantine_series_event_date_idx'), table_name='quarantine')
    op.drop_table('quarantine')
    op.drop_table('progress')
    op.drop_table('predictions')
    op.drop_table('outcomes')
    op.drop_table('observations')
    op.drop_index(op.f('ledger_task_alias_id_idx'), table_name='ledger')
    op.drop_table('ledger')
    op.drop_table('leases')
    op.drop_index(op.f('fetches_series_fetched_at_idx'), table_name='fetches')
    op.drop_table('fetches')
    op.drop_table('feature_rows')
    op.drop_index(op.f('decisions_task_id_idx'), table_name='decisions')
    op.drop_table('decisions')
    op.drop_table('datasets')
    op.drop_table('contender_predictions')
    op.drop_table('bundles')
    op.drop_index(op.f('active_series_task_id_idx'), table_name='active_series')
    op.drop_table('active_series')
    op.execute("DROP FUNCTION refuse_change()")
