"""predictions of events in blocks: a third of the writing was keys"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None

_TABLE_COMMENT = 'What a contender said of events; the view event_predictions has a row for each.'


def upgrade() -> None:
    op.create_table('prediction_blocks',
    sa.Column('log', sa.Text(), nullable=False),
    sa.Column('contender', sa.Text(), nullable=False),
    sa.Column('contender_hash', sa.Text(), nullable=False),
    sa.Column('first_seq', sa.BigInteger(), nullable=False, comment='the event of the first value'),
    sa.Column('said', postgresql.ARRAY(sa.Float()), nullable=False,
              comment='one for each event from there on, made by the model of the events before; null: none'),
    sa.PrimaryKeyConstraint('log', 'contender', 'contender_hash', 'first_seq', name=op.f('prediction_blocks_pkey')),
    comment=_TABLE_COMMENT
    )
    op.execute("""
        INSERT INTO prediction_blocks
        SELECT p.log, p.contender, p.contender_hash, min(p.seq), (
            SELECT array_agg(q.value ORDER BY s.seq)
            FROM generate_series(min(p.seq), max(p.seq)) s(seq) LEFT JOIN event_predictions q
                ON (q.log, q.contender, q.contender_hash, q.seq) = (p.log, p.contender, p.contender_hash, s.seq)
        )
        FROM event_predictions p GROUP BY p.log, p.contender, p.contender_hash, (p.seq - 1) / 256
    """)
    op.drop_table('event_predictions')
    op.execute("""
        CREATE VIEW event_predictions AS
        SELECT log, contender, contender_hash, first_seq + place - 1 AS seq, value
        FROM prediction_blocks, unnest(said) WITH ORDINALITY AS held(value, place)
        WHERE value IS NOT NULL
    """)
    op.execute("COMMENT ON VIEW event_predictions IS 'What a contender said of each event before it learned it.'")


def downgrade() -> None:
    op.execute('DROP VIEW event_predictions')
    op.create_table('event_predictions',
    sa.Column('log', sa.Text(), nullable=False),
    sa.Column('contender', sa.Text(), nullable=False),
    sa.Column('contender_hash', sa.Text(), nullable=False),
    sa.Column('seq', sa.BigInteger(), nullable=False),
    sa.Column('value', sa.Float(), nullable=True, comment='made by the model of the events before; null: none yet'),
    sa.PrimaryKeyConstraint('log', 'contender', 'contender_hash', 'seq', name=op.f('event_predictions_pkey')),
    comment='What a contender said of each event with features, at its place in the log.'
    )
    op.execute("""
        INSERT INTO event_predictions
        SELECT log, contender, contender_hash, first_seq + place - 1, value
        FROM prediction_blocks, unnest(said) WITH ORDINALITY AS held(value, place)
        WHERE value IS NOT NULL
    """)
    op.drop_table('prediction_blocks')
