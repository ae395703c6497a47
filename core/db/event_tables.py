"""The tables of incremental learning: the event log, what learners keep of it, and what was refused."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB

from core.db.pipeline_tables import identity, instant, metadata

events = sa.Table(
    "events",
    metadata,
    sa.Column(
        "log",
        sa.Text,
        primary_key=True,
        comment="task; or task/series/hash of what a row means, where the rows come from a store",
    ),
    sa.Column("seq", sa.BigInteger, primary_key=True, comment="1, 2, 3, … without a gap, in the order of commits"),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("event_id", sa.Text, nullable=True, comment="the sender's idempotency key"),
    sa.Column("series_id", sa.Text, nullable=True),
    # JSON and not JSONB, which keeps no order of keys.
    sa.Column("features", JSON, nullable=True, comment="as they were sent, keys in their order"),
    sa.Column("target", sa.Float, nullable=True),
    sa.Column(
        "ref_seq", sa.BigInteger, nullable=True, comment="the earlier event that holds the other half of the row"
    ),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint("kind IN ('row','predict','label','pause','resume')", name="kind"),
    # Two, and partial: an id may hold the features in one event and the target in another, each of them once.
    sa.Index(
        "events_log_event_id_features_key",
        "log",
        "event_id",
        unique=True,
        postgresql_where=sa.text("event_id IS NOT NULL AND features IS NOT NULL"),
    ),
    sa.Index(
        "events_log_event_id_target_key",
        "log",
        "event_id",
        unique=True,
        postgresql_where=sa.text("event_id IS NOT NULL AND target IS NOT NULL"),
    ),
    comment="Rows to learn from and labels, append-only, in one gapless order per log.",
)

prediction_blocks = sa.Table(
    "prediction_blocks",
    metadata,
    sa.Column("log", sa.Text, primary_key=True),
    sa.Column("contender", sa.Text, primary_key=True),
    sa.Column("contender_hash", sa.Text, primary_key=True),
    sa.Column("first_seq", sa.BigInteger, primary_key=True, comment="the event of the first value"),
    sa.Column(
        "said",
        ARRAY(sa.Float),
        nullable=False,
        comment="one for each event from there on, made by the model of the events before; null: none",
    ),
    comment="What a contender said of events; the view event_predictions has a row for each.",
)

checkpoints = sa.Table(
    "checkpoints",
    metadata,
    sa.Column("log", sa.Text, primary_key=True),
    sa.Column("contender", sa.Text, primary_key=True),
    sa.Column("contender_hash", sa.Text, primary_key=True),
    sa.Column("last_seq", sa.BigInteger, primary_key=True),
    sa.Column("stamp", sa.Text, nullable=False, comment="versions of python, the libraries and the code that wrote it"),
    sa.Column("state", sa.LargeBinary, nullable=False),
    sa.Column("digest", sa.Text, nullable=False, comment="SHA-256 of the state"),
    sa.Column("rows_learned", sa.BigInteger, nullable=False),
    instant("recorded_at", default_now=True),
    comment="Learners as they stood after an event: restore one, replay what follows.",
)

registrations = sa.Table(
    "registrations",
    metadata,
    identity(),
    sa.Column("log", sa.Text, nullable=False),
    sa.Column("contender", sa.Text, nullable=False),
    sa.Column("contender_hash", sa.Text, nullable=False),
    sa.Column("last_seq", sa.BigInteger, nullable=False),
    sa.Column("session_date", sa.Date, nullable=False),
    sa.Column("version", sa.Integer, nullable=True, comment="the version in MLflow; null: still to be registered"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("trouble", sa.Text, nullable=False, server_default=""),
    instant("asked_at", default_now=True),
    instant("done_at", nullable=True),
    sa.UniqueConstraint("log", "contender", "contender_hash", "session_date"),
    comment="The outbox: checkpoints that are to become versions in MLflow, one per contender and session.",
)

quarantined_events = sa.Table(
    "quarantined_events",
    metadata,
    identity(),
    sa.Column("log", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("event_id", sa.Text, nullable=True),
    sa.Column("series_id", sa.Text, nullable=True),
    sa.Column("features", JSON, nullable=True),
    sa.Column("target", sa.Float, nullable=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    instant("received_at", default_now=True),
    instant("released_at", nullable=True),
    sa.Column("released_by", sa.Text, nullable=True),
    sa.Column("released_why", sa.Text, nullable=True),
    sa.Column("seq", sa.BigInteger, nullable=True, comment="its place in the log, once released"),
    sa.Index(None, "log", "id"),
    sa.Index(None, "log", "event_id"),
    comment="Rows that the schema or the outlier guard refused: never learned unless released.",
)

feedback = sa.Table(
    "feedback",
    metadata,
    identity(),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("prediction_id", sa.Text, nullable=True),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("rating", sa.Integer, nullable=True),
    instant("received_at", default_now=True),
    sa.Index(None, "task", "id"),
    comment="What people said of predictions.",
)

streams = sa.Table(
    "streams",
    metadata,
    sa.Column("series", sa.Text, primary_key=True),
    sa.Column("position", sa.BigInteger, nullable=False, comment="observations handed out since the last reset"),
    sa.Column("generation", sa.BigInteger, nullable=False, server_default="0", comment="resets so far"),
    comment="How far the ingestion service has handed out each series.",
)

stream_leases = sa.Table(
    "stream_leases",
    metadata,
    sa.Column("series", sa.Text, primary_key=True),
    sa.Column("observation_id", sa.BigInteger, primary_key=True),
    sa.Column("log", sa.Text, nullable=False, comment="where its id acknowledges it, once it is learned"),
    instant("expires_at"),
    comment="Observations handed out with ?lease= and not acknowledged yet.",
)

lag_series = sa.Table(
    "lag_series",
    metadata,
    sa.Column("series_id", sa.Text, primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False, comment="values ever added"),
    sa.Column("recent", JSONB, nullable=False, comment="the newest values, newest last"),
    instant("updated_at", default_now=True),
    comment="The lag buffers of the features service.",
)
