"""A replay's report where its versions are: a run in MLflow with the page, every decision and every alias move."""

from datetime import UTC, datetime, time
from pathlib import Path

import polars as pl
import sqlalchemy as sa

from contender.replay.analysis import ReplayResult
from core.config.settings import Settings
from core.db.engine import reachable
from core.db.pipeline_tables import decisions, ledger
from training.registry.tracking import Point, Record, Tracking

_OF_DECISIONS = (
    "id", "session_date", "outcome", "reason", "champion", "challenger", "evidence_hash", "decided_at",
)  # fmt: skip
_OF_LEDGER = ("at", "alias", "phase", "from_version", "to_version", "decision_id", "who", "why")
_HEADINGS = {"id": "decision", "decision_id": "decision"}
"""As `contender decision show` calls it."""


def write_tables(engine: sa.Engine, task: str, folder: Path) -> None:
    """Writes `decisions.csv` and `ledger.csv` beside the page, oldest first."""
    for table, names in ((decisions, _OF_DECISIONS), (ledger, _OF_LEDGER)):
        statement = sa.select(*(table.c[name] for name in names)).where(table.c.task == task).order_by(table.c.id)
        with reachable(), engine.connect() as connection:
            rows = [tuple(row) for row in connection.execute(statement)]
        frame = pl.DataFrame(
            rows, schema=[_HEADINGS.get(name, name) for name in names], orient="row", infer_schema_length=None
        )
        frame.write_csv(folder / f"{table.name}.csv")


def publish(settings: Settings, story: ReplayResult, folder: Path) -> None:
    """Logs the folder as a run of the replay's experiment, with what each way cost as metrics.

    Raises RegistryUnreachableError; the folder is on disk all the same.
    """
    at = max(0, int(datetime.combine(story.last_night, time(), tzinfo=UTC).timestamp() * 1000))
    named = ("served", "baseline", "hindsight", "mean_so_far", "last_rows")
    losses = {f"{story.task.metric}_{name}": way.mean for name, way in zip(named, story.ways, strict=False)} | {
        "nights": float(story.nights)
    }
    record = Record(
        key=f"replay report/{story.last_night}",
        name=f"replay report {story.last_night}",
        description=f"{story.nights:,} nights, {story.first_night} to {story.last_night}: open report.html below.",
        tags={"series": story.series, "source": story.source},
        params={"from": str(story.first_night), "to": str(story.last_night), "config_hash": story.task.config_hash},
        metrics=[Point(name, value, story.nights, at) for name, value in losses.items()],
        folder=folder,
    )
    tracking = Tracking.open(settings, story.task, None)
    tracking.finish(tracking.log(record).run_id)
