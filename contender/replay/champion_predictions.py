"""The champion's predictions in a replay, one a session: made as the API would make them, and read again."""

import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from core.config.tasks import Task
from core.db.engine import fetch_all
from core.db.pipeline_tables import feature_rows, predictions
from core.errors import IntegrityError
from core.jobs.clock import Clock
from features.dataset import Dataset, features_hash
from training.learners.factory import learns, stored_model
from training.ledger import entries as ledger
from training.ledger.entries import CHAMPION
from training.models.base import Model
from training.registry import flavor, versions
from training.registry.training_session import TrainingSession
from training.registry.versions import Version

# Makes the id of a prediction from its version and date, so that a session run again stores no second one.
_ID_NAMESPACE = uuid.UUID("6f1f3b0e-3f5e-4c8e-9c38-0a5f6d2f9a41")
_COLUMNS = {
    "event_date": pl.Date,
    "target_date": pl.Date,
    "version": pl.Int64,
    "holder": pl.String,
    "answer": pl.Float64,
}


def read(engine: sa.Engine, task: str) -> pl.DataFrame:
    """The champion's predictions with the version and contender that made each, in the order of their dates."""
    columns = predictions.c
    statement = (
        sa.select(columns.event_date, columns.target_date, columns.version, columns.contender, columns.value)
        .where(columns.task == task, columns.alias == CHAMPION)
        .order_by(columns.target_date, columns.made_at)
    )
    rows = [tuple(row) for row in fetch_all(engine, statement)]
    return pl.DataFrame(rows, schema=_COLUMNS, orient="row")


@dataclass
class ChampionPredictor:
    """Makes the champion's predictions of one task.

    The newest version of a contender that learns row by row predicts with its live learner, which is ahead of its
    bundle; any other version with its bundle.
    """

    engine: sa.Engine
    task: Task
    memory: TrainingSession

    def __post_init__(self) -> None:
        self._loaded: tuple[Version, Model] | None = None

    def predict(self, connection: sa.Connection, dataset: Dataset, clock: Clock) -> None:
        """Store the champion's prediction for the date after the dataset's last, in the caller's transaction.

        Without a champion, or where it has no prediction yet, nothing is stored.

        Raises:
            IntegrityError: the bundle is not what was trained.

        """
        champion = self._champion()
        if champion is None:
            return
        row = dataset.table.tail(1)
        values = row.select(dataset.feature_names)
        value = float(self._model(champion).predict(values.to_numpy().astype(np.float64))[0])
        if not np.isfinite(value):
            return
        (features,) = values.to_dicts()
        event_date, target_date = row["event_date"][0], row["target_date"][0]
        digest = features_hash(features)
        stored = {"features_hash": digest, "series": dataset.series, "event_date": event_date, "features": features}
        threshold = self.task.target.threshold if self.task.is_classification else None
        prediction = {
            "id": uuid.uuid5(_ID_NAMESPACE, f"{self.task.name}/{champion.version}/{target_date}"),
            "task": self.task.name,
            "series": dataset.series,
            "contender": champion.contender,
            "version": champion.version,
            "alias": CHAMPION,
            "event_date": event_date,
            "target_date": target_date,
            "value": value,
            "threshold": threshold,
            "prediction": f"{value:.6g}" if threshold is None else "UP" if value >= threshold else "DOWN",
            "features_hash": digest,
            "data_hash": dataset.data_hash,
            "stale": (clock.now().date() - event_date).days > self.task.stale_after_days,
            "made_at": clock.now(),
        }
        # Rows that a session which was cut off has stored are the same.
        connection.execute(insert(feature_rows).values(stored).on_conflict_do_nothing())
        connection.execute(insert(predictions).values(prediction).on_conflict_do_nothing())

    def _champion(self) -> Version | None:
        state = ledger.alias_states(self.engine, self.task.name).get(CHAMPION)
        if state is None or state.version is None:
            return None
        # Most sessions change nothing: neither the version nor its bundle is read again.
        if self._loaded is not None and self._loaded[0].version == state.version:
            return self._loaded[0]
        return versions.find(self.engine, self.task.name, state.version)

    def _model(self, champion: Version) -> Model:
        newest, learner = self.memory.newest.get(champion.contender), self.memory.learners.get(champion.contender)
        if learner is not None and newest == champion and learns(self.task, champion.contender):
            return stored_model(learner).model
        if self._loaded is None or self._loaded[0] != champion:
            self._loaded = champion, self._load(champion)
        return self._loaded[1]

    def _load(self, champion: Version) -> Model:
        packed = versions.bundle(self.engine, champion.artifact_digest)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "model"
            # Compared before the model is loaded: loading unpickles, which may run any code.
            if packed is None or flavor.folder_digest(flavor.unpack(packed, folder)) != champion.artifact_digest:
                raise IntegrityError(
                    f"The bundle of version {champion.version} of {self.task.name!r} is not what was trained.",
                    "Start another replay: contender replay TASK --from DATE --id NAME",
                )
            return flavor.load_model(folder)
