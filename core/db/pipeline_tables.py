"""The tables of the pipeline. The migrations in `core/db/migrations` bring a database to what is declared here.

Those of incremental learning are in `core.db.event_tables`, those of tokens and the audit log in
`core.db.access_tables`.
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

metadata = sa.MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)


def instant(name: str, *, nullable: bool = False, default_now: bool = False) -> sa.Column[object]:
    """A column of moments, with their timezone; `default_now`: the moment of the transaction when none is given."""
    return sa.Column(
        name, sa.DateTime(timezone=True), nullable=nullable, server_default=sa.func.now() if default_now else None
    )


def identity() -> sa.Column[int]:
    """The column `id`: a number that Postgres gives."""
    return sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True)


observations = sa.Table(
    "observations",
    metadata,
    identity(),
    sa.Column("series", sa.Text, nullable=False),
    sa.Column("event_date", sa.Date, nullable=False),
    instant("known_at"),
    instant("recorded_at", default_now=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("fields", JSONB, nullable=False, comment="raw values as numbers; prices unadjusted"),
    sa.UniqueConstraint("series", "event_date", "known_at"),
    comment="Bitemporal and append-only: a changed past is a new row with a later known_at (a restatement).",
)

quarantine = sa.Table(
    "quarantine",
    metadata,
    identity(),
    sa.Column("series", sa.Text, nullable=False),
    sa.Column("event_date", sa.Date, nullable=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("fields", JSONB, nullable=False),
    instant("recorded_at", default_now=True),
    sa.Index(None, "series", "event_date"),
    comment="What a source sent and the checks refused, with the reason.",
)

fetches = sa.Table(
    "fetches",
    metadata,
    identity(),
    sa.Column("series", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    instant("fetched_at"),
    sa.Column("outcome", sa.Text, nullable=False, comment="answered, unreachable, refused"),
    sa.Column("detail", sa.Text, nullable=False, server_default=""),
    sa.Column("rows", sa.Integer, nullable=False, server_default="0"),
    sa.Index(None, "series", "fetched_at"),
    comment="Every question asked of a source: one a day per series.",
)

active_series = sa.Table(
    "active_series",
    metadata,
    identity(),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("series", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    instant("since"),
    sa.Index(None, "task", "id"),
    comment="Which series a task stands on; the newest row counts.",
)

datasets = sa.Table(
    "datasets",
    metadata,
    sa.Column("task", sa.Text, primary_key=True),
    sa.Column("data_hash", sa.Text, primary_key=True),
    sa.Column("series", sa.Text, nullable=False),
    instant("as_of"),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("first_date", sa.Date, nullable=False),
    sa.Column("last_date", sa.Date, nullable=False),
    sa.Column("feature_hash", sa.Text, nullable=False),
    instant("recorded_at", default_now=True),
    comment="Feature tables that were built, each kept as Parquet in the lake under its hash.",
)

contender_predictions = sa.Table(
    "contender_predictions",
    metadata,
    sa.Column("task", sa.Text, primary_key=True),
    sa.Column("series", sa.Text, primary_key=True),
    sa.Column("contender", sa.Text, primary_key=True),
    sa.Column("contender_hash", sa.Text, primary_key=True),
    sa.Column("target_date", sa.Date, primary_key=True),
    sa.Column("event_date", sa.Date, nullable=False, comment="date of the features"),
    sa.Column("trained_through", sa.Date, nullable=True, comment="last label learned before predicting"),
    sa.Column("value", sa.Float, nullable=True, comment="P(UP) or the forecast; null: no prediction yet"),
    instant("made_at"),
    comment="Walk-forward and shadow predictions, one per contender and target date: what contenders are compared by.",
)

outcomes = sa.Table(
    "outcomes",
    metadata,
    sa.Column("series", sa.Text, primary_key=True),
    sa.Column("target_kind", sa.Text, primary_key=True),
    sa.Column("target_date", sa.Date, primary_key=True),
    sa.Column("known_at", sa.DateTime(timezone=True), primary_key=True),
    sa.Column("label", sa.Float, nullable=False),
    comment="Labels as they became known; a restated label is a new row.",
)

progress = sa.Table(
    "progress",
    metadata,
    sa.Column("task", sa.Text, primary_key=True),
    sa.Column("series", sa.Text, primary_key=True),
    sa.Column("contender", sa.Text, primary_key=True),
    sa.Column("contender_hash", sa.Text, primary_key=True),
    sa.Column("learned_through", sa.Date, nullable=True, comment="target date of the last row learned"),
    sa.Column("rows_learned", sa.Integer, nullable=False),
    sa.Column("stamp", sa.Text, nullable=False, comment="python, river and scikit-learn versions that wrote the model"),
    sa.Column(
        "model",
        sa.LargeBinary,
        nullable=True,
        comment="of a batch contender; what learns row by row stands in checkpoints",
    ),
    instant("recorded_at", default_now=True),
    comment="Where each contender stands in its walk: model and watermark, committed together with its predictions.",
)

versions = sa.Table(
    "versions",
    metadata,
    sa.Column("task", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("contender", sa.Text, nullable=False),
    sa.Column("contender_hash", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("series", sa.Text, nullable=False),
    sa.Column("trained_through", sa.Date, nullable=False),
    sa.Column("rows_trained", sa.Integer, nullable=False),
    sa.Column("data_hash", sa.Text, nullable=False),
    sa.Column("artifact_digest", sa.Text, nullable=False),
    sa.Column("code_version", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column(
        "golden", JSONB, nullable=False, comment="{rows: [...], expected: [...]}: a batch to score before serving"
    ),
    instant("registered_at", default_now=True),
    sa.UniqueConstraint("task", "contender", "contender_hash", "series", "trained_through"),
    comment="Model versions as we made them; what MLflow serves is checked against this.",
)

bundles = sa.Table(
    "bundles",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False, comment="tar of the model folder"),
    instant("recorded_at", default_now=True),
    comment="Model folders of versions that took an alias: the copy that survives MLflow.",
)

decisions = sa.Table(
    "decisions",
    metadata,
    identity(),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("series", sa.Text, nullable=False),
    sa.Column("session_date", sa.Date, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("champion", sa.Text, nullable=True),
    sa.Column("challenger", sa.Text, nullable=True),
    sa.Column("evidence", JSONB, nullable=False),
    sa.Column("evidence_hash", sa.Text, nullable=False),
    instant("decided_at"),
    sa.CheckConstraint("outcome IN ('PROMOTE','HOLD','REJECT','BOOTSTRAP','FORCED')", name="outcome"),
    sa.Index(None, "task", "id"),
)

ledger = sa.Table(
    "ledger",
    metadata,
    identity(),
    sa.Column("move", sa.Text, nullable=False, comment="joins the phases of one move"),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("alias", sa.Text, nullable=False),
    sa.Column("phase", sa.Text, nullable=False),
    sa.Column("from_version", sa.Integer, nullable=True),
    sa.Column("to_version", sa.Integer, nullable=True),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("decision_id", sa.BigInteger, nullable=True),
    sa.Column("evidence_hash", sa.Text, nullable=False, server_default=""),
    instant("at"),
    sa.CheckConstraint("phase IN ('intent','confirmed','abandoned','external')", name="phase"),
    sa.Index(None, "task", "alias", "id"),
    comment="Every alias move ever, append-only: intent, then confirmed; external when made by hand in the registry.",
)

predictions = sa.Table(
    "predictions",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("series", sa.Text, nullable=False),
    sa.Column("contender", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("alias", sa.Text, nullable=False),
    sa.Column("event_date", sa.Date, nullable=False, comment="date of the features (as_of in the answer)"),
    sa.Column("target_date", sa.Date, nullable=False),
    sa.Column("value", sa.Float, nullable=False, comment="P(UP) or the forecast"),
    sa.Column("threshold", sa.Float, nullable=True),
    sa.Column("prediction", sa.Text, nullable=False),
    sa.Column("features_hash", sa.Text, nullable=False),
    sa.Column("data_hash", sa.Text, nullable=False),
    sa.Column("stale", sa.Boolean, nullable=False),
    instant("made_at"),
    sa.Column(
        "last_event_id",
        sa.BigInteger,
        nullable=True,
        comment="the newest event that the model had learned; null: not known, or it learns from no log",
    ),
    comment="Every answer the API gave.",
)

feature_rows = sa.Table(
    "feature_rows",
    metadata,
    sa.Column("features_hash", sa.Text, primary_key=True),
    sa.Column("series", sa.Text, nullable=False),
    sa.Column("event_date", sa.Date, nullable=False),
    sa.Column("features", JSONB, nullable=False),
    instant("recorded_at", default_now=True),
    comment="The features behind the answers, once per hash.",
)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("run_key", sa.Text, primary_key=True),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("step", sa.Text, nullable=False),
    sa.Column("report", JSONB, nullable=False),
    instant("finished_at", default_now=True),
    comment="Jobs that settled their work, by (task, step, session date, hashes): a second start finds it done.",
)

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("token", sa.BigInteger, nullable=False, comment="fencing token: grows with every holder"),
    instant("expires_at"),
)
