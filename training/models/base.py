"""What a contender is made of: the protocols of its models, and the declaration of a procedure with its parameters."""

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, runtime_checkable

from pydantic import ConfigDict

from core.config.tasks import Part
from features.arrays import Floats


class Model(Protocol):
    """What predicts: it is pickled, registered and served. Predicting never changes it."""

    def predict(self, rows: Floats) -> Floats:
        """P(UP) or the forecast, one a row; NaN where there is no prediction yet."""
        ...


class Incremental(Model, Protocol):
    """A model that learns one labelled row at a time, in order."""

    def learn(self, row: Floats, label: float) -> None:
        """Learns from one row, shape (features,), and what came true of it."""
        ...


@runtime_checkable
class Batch(Protocol):
    """A way to fit a new model on a window of labelled rows."""

    def fit(self, rows: Floats, labels: Floats) -> Model:
        """A model of these rows. Equal rows give an equal model, to the bit."""
        ...


@dataclass(frozen=True)
class Shape:
    """What a model is made for: the feature columns in order, the kind of target, and the seed of its chances."""

    features: tuple[str, ...]
    target: Literal["direction", "value"]
    seed: int = 7


class Procedure(Part):
    """One way to make models; its fields are the parameters that a task file may give."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kind: ClassVar[Literal["baseline", "batch", "incremental"]]
    targets: ClassVar[frozenset[str]] = frozenset({"direction", "value"})
    looks_at_features: ClassVar[bool] = True
    """Whether the answer to a row depends on it. What follows the series itself answers all rows of its past alike."""
    seconds_per_fit: ClassVar[float] = 0.0
    """Batch: what one fit on 1,000 rows costs, roughly; by it a backtest decides whether more processes pay."""

    def make(self, shape: Shape) -> Incremental | Batch:
        """A new contender of this procedure. Raises ConfigurationError when the task lacks what it needs."""
        raise NotImplementedError
