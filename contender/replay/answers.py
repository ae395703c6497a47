"""What the champion answers each night of a replay, as the API would: by the version that the alias stands on."""

import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from core.config.tasks import Task
from core.db.pipeline_tables import feature_rows, predictions
from core.errors import IntegrityError
from core.jobs.clock import Clock
from features.dataset import Dataset, features_hash
from training.learners.factory import learns, row_model
from training.ledger import entries as ledger
from training.ledger.entries import CHAMPION
from training.models.base import Model
from training.registry import flavor, versions
from training.registry.training_session import TrainingSession
from training.registry.versions import Version

_NAMES = uuid.UUID("6f1f3b0e-3f5e-4c8e-9c38-0a5f6d2f9a41")
"""Names answers: the same version's of the same date is the same answer, however often it is given."""


@dataclass
class Answers:
    """The champion's answers of one task.

    On the newest version of what learns row by row the learner itself answers, any other version as its bundle is.
    """

    engine: sa.Engine
    task: Task
    memory: TrainingSession

    def __post_init__(self) -> None:
        self._loaded: tuple[Version, Model] | None = None

    def give(self, connection: sa.Connection, dataset: Dataset, clock: Clock) -> None:
        """Writes down what the champion says of the date after the dataset's last, in the caller's transaction.

        Nothing where nobody is champion, or where it has no prediction. Raises IntegrityError at a bundle that is not
        what was trained.
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
        named = features_hash(features)
        kept = {"features_hash": named, "series": dataset.series, "event_date": event_date, "features": features}
        threshold = self.task.target.threshold if self.task.is_classification else None
        answer = {
            "id": uuid.uuid5(_NAMES, f"{self.task.name}/{champion.version}/{target_date}"),
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
            "features_hash": named,
            "data_hash": dataset.data_hash,
            "stale": (clock.now().date() - event_date).days > self.task.stale_after_days,
            "made_at": clock.now(),
        }
        connection.execute(insert(feature_rows).values(kept).on_conflict_do_nothing())
        connection.execute(insert(predictions).values(answer).on_conflict_do_nothing())

    def _champion(self) -> Version | None:
        standing = ledger.standing(self.engine, self.task.name).get(CHAMPION)
        if standing is None or standing.version is None:
            return None
        if self._loaded is not None and self._loaded[0].version == standing.version:
            return self._loaded[0]
        return versions.find(self.engine, self.task.name, standing.version)

    def _model(self, champion: Version) -> Model:
        newest, learner = self.memory.newest.get(champion.contender), self.memory.learners.get(champion.contender)
        if learner is not None and newest == champion and learns(self.task, champion.contender):
            return row_model(learner).model
        if self._loaded is None or self._loaded[0] != champion:
            self._loaded = champion, self._load(champion)
        return self._loaded[1]

    def _load(self, champion: Version) -> Model:
        packed = versions.bundle(self.engine, champion.artifact_digest)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "model"
            if packed is None or flavor.folder_digest(flavor.unpack(packed, folder)) != champion.artifact_digest:
                raise IntegrityError(
                    f"The bundle of version {champion.version} of {self.task.name!r} is not what was trained.",
                    "Begin anew under another id: contender replay TASK --from DATE --id NAME",
                )
            return flavor.load_model(folder)
