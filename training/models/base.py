"""The protocols of models and procedures, and how models are serialised."""

import io
import pickle
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, Protocol, runtime_checkable

from pydantic import ConfigDict

from core.config.tasks import Part
from features.arrays import Floats


class Model(Protocol):
    """A model that is pickled, registered and served. Predicting never changes it."""

    def predict(self, rows: Floats) -> Floats:
        """P(UP) or the forecast, one a row; NaN where there is no prediction yet."""
        ...


class Incremental(Model, Protocol):
    """A model that learns one labelled row at a time, in order."""

    def learn(self, row: Floats, label: float) -> None:
        """Learns one row, shape (features,), with its label."""
        ...


@runtime_checkable
class Batch(Protocol):
    """A way to fit a new model on a window of labelled rows."""

    def fit(self, rows: Floats, labels: Floats) -> Model:
        """A model of these rows. Equal rows give an equal model, to the bit."""
        ...


@dataclass(frozen=True)
class Shape:
    """What a model is made for: the feature columns in order, the kind of target, the seed of its random numbers."""

    features: tuple[str, ...]
    target: Literal["direction", "value"]
    seed: int = 7


class Procedure(Part):
    """One way to make models; its fields are the parameters that a task file may give."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kind: ClassVar[Literal["baseline", "batch", "incremental"]]
    targets: ClassVar[frozenset[str]] = frozenset({"direction", "value"})
    looks_at_features: ClassVar[bool] = True
    """Whether a prediction depends on the row. A model that follows the series itself predicts all past rows alike."""
    seconds_per_fit: ClassVar[float] = 0.0
    """Batch: what one fit on 1,000 rows costs, roughly; a backtest decides by it whether more processes pay off."""

    def make(self, shape: Shape) -> Incremental | Batch:
        """A new contender of this procedure. Raises ConfigurationError when the task lacks what it needs."""
        raise NotImplementedError


_PROTOCOL: Final = 5
_RENAMED_MODULES: Final[dict[str, str]] = {
    "training.admission": "training.event_log.validation",
    "training.baselines": "training.models.baselines",
    "training.fitted": "training.models.fitted",
    "training.forecasters": "training.models.incremental",
    "training.incremental": "training.models.incremental",
    "training.online": "training.models.online",
    "training.procedures": "training.models.base",
    "training.river_parts": "training.models.river_ext",
    "training.row_learners": "training.learners.factory",
    "training.scores": "training.learners.running_metrics",
}
"""Where the classes are today that stored pickles name by a module of an earlier release (only those that occur)."""
_RENAMED_CLASSES: Final[dict[tuple[str, str], tuple[str, str]]] = {
    ("training.admission", "Ranges"): ("training.event_log.validation", "RunningStats"),
    ("training.row_learners", "RowModel"): ("training.learners.factory", "StoredModel"),
}
"""Where single classes are that were renamed, or moved on their own, by the module and the name in the pickle."""


class _Unpickler(pickle.Unpickler):
    """Finds the classes of pickles that earlier releases wrote: a version is served for as long as it is champion."""

    def find_class(self, module: str, name: str) -> Any:
        renamed = _RENAMED_CLASSES.get((module, name), (_RENAMED_MODULES.get(module, module), name))
        return super().find_class(*renamed)


def serialize(model: object) -> bytes:
    """Bytes for `deserialize`; equal for equal models, one that was stored and resumed in between included."""
    # The round trip makes them canonical: pickle writes an object that occurs twice by its identity, not its value,
    # and a resumed model shares other objects than one that was kept in memory.
    return dumps(deserialize(dumps(model)))


def dumps(value: object) -> bytes:
    """Bytes for `deserialize`, as they come: half the work of `serialize`, where equal bytes are not needed."""
    return pickle.dumps(value, _PROTOCOL)


def deserialize(content: bytes) -> Any:
    """What `serialize` or `dumps` of this or an earlier release made bytes of.

    Unpickling runs code that the bytes name: give it only bytes of our own database, or with the digest kept there.
    """
    return _Unpickler(io.BytesIO(content)).load()
