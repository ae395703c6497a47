"""The catalogue of procedures: from a name in a task file to something that makes models."""

from typing import Final

from pydantic import ValidationError

from core.config.tasks import Task
from core.config.validation_messages import messages
from core.errors import ConfigurationError
from features import transforms
from training.models import baselines, batch, incremental
from training.models.base import Batch, Incremental, Model, Procedure, Shape

__all__ = ["PROCEDURES", "Batch", "Incremental", "Model", "make", "procedure", "shape", "warm"]

PROCEDURES: Final[dict[str, type[Procedure]]] = {
    "base_rate": baselines.BaseRate,
    "naive": baselines.Naive,
    "seasonal_naive": baselines.SeasonalNaive,
    "seasonal_growth": baselines.SeasonalGrowth,
    "logistic_regression": batch.LogisticRegression,
    "random_forest": batch.RandomForest,
    "hist_gradient_boosting": batch.HistGradientBoosting,
    "ridge": batch.Ridge,
    "seasonal_ridge": batch.SeasonalRidge,
    "river_logistic_regression": incremental.RiverLogisticRegression,
    "river_linear_regression": incremental.RiverLinearRegression,
    "river_holt_winters": incremental.RiverHoltWinters,
    "river_snarimax": incremental.RiverSnarimax,
}


def make(task: Task, name: str) -> Incremental | Batch:
    """A new contender, as the task file declares it.

    Raises:
        ConfigurationError: the procedure is unknown, does not take a parameter or cannot use it, is of another kind,
            or cannot predict the target.

    """
    return procedure(task, name).make(shape(task, name))


def procedure(task: Task, name: str) -> Procedure:
    """The procedure of a contender with its parameters, checked."""
    declared = task.contenders[name]
    where = f"Contender {name!r} of task {task.name!r}"
    remedy = f"Correct it in the task file {task.name}.yaml."
    found = PROCEDURES.get(declared.procedure)
    if found is None:
        raise ConfigurationError(
            f"{where} names the procedure {declared.procedure!r}, which does not exist.",
            f"Known procedures: {', '.join(PROCEDURES)}.",
        )
    if declared.kind != found.kind:
        raise ConfigurationError(
            f"{where} has kind: {declared.kind}, but {declared.procedure} is of kind {found.kind}.", remedy
        )
    if task.target.kind not in found.targets:
        raise ConfigurationError(
            f"{where}: {declared.procedure} cannot predict a {task.target.kind}, only a {' or '.join(found.targets)}.",
            remedy,
        )
    try:
        return found.model_validate(declared.parameters)
    except ValidationError as error:
        mistakes = ". Also, ".join(messages(error, found))
        known = ", ".join(found.model_fields) or "none"
        raise ConfigurationError(
            f"{where} has parameters that {declared.procedure} cannot use: {mistakes}.", f"Known parameters: {known}."
        ) from None


def shape(task: Task, name: str) -> Shape:
    """What the contender's models are made for."""
    names = tuple(column.name for column in transforms.columns(task))
    return Shape(names, task.target.kind, task.contenders[name].seed)


def warm(task: Task) -> None:
    """Imports what unpickling a model of the task's contenders would import, a second or two of work.

    The other procedures' models are plain numbers of this package. An unknown procedure is skipped.
    """
    procedures = {declared.procedure for declared in task.contenders.values()}
    if any(issubclass(PROCEDURES[name], incremental.IncrementalProcedure) for name in procedures & set(PROCEDURES)):
        from river import linear_model, optim, preprocessing, time_series  # noqa: F401

        from training.models import river_ext  # noqa: F401
    if "hist_gradient_boosting" in procedures:
        import sklearn.ensemble  # noqa: F401
