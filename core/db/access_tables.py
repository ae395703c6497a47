"""The tables of access and change: tokens, the audit log, configurations of tasks."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from core.db.pipeline_tables import identity, instant, metadata

tokens = sa.Table(
    "tokens",
    metadata,
    identity(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("secret_hash", sa.Text, nullable=False, comment="SHA-256 of the secret; the secret is kept nowhere"),
    instant("created_at", default_now=True),
    instant("expires_at", nullable=True),
    instant("revoked_at", nullable=True),
    sa.CheckConstraint("role IN ('trainer','admin')", name="role"),
    sa.UniqueConstraint("secret_hash"),
    comment="Bearer tokens, by the hash of their secret.",
)

audit = sa.Table(
    "audit",
    metadata,
    identity(),
    instant("at", default_now=True),
    sa.Column("who", sa.Text, nullable=False, comment="name of the token, or what stood in its place"),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("detail", JSONB, nullable=False),
    sa.Index(None, "at"),
    comment="Every use and refusal of a token, and every change made under management; append-only.",
)

task_configurations = sa.Table(
    "task_configurations",
    metadata,
    sa.Column("task", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("declaration", JSONB, nullable=False, comment="the whole task, as its file would say it"),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    instant("at", default_now=True),
    comment="Configurations that replaced the task's file; the newest counts.",
)
