"""One list of behaviours that every contender of every task file has; and the registry's refusals."""

import pickle
from collections.abc import Callable

import cloudpickle
import numpy as np
import pytest

from core.config.task_files import load_task, task_names
from core.config.tasks import Task
from core.errors import ConfigurationError
from features.arrays import Floats
from features.dataset import Dataset
from tests.support.paths import TASKS
from training.models.base import Batch, Model, serialize
from training.models.catalog import PROCEDURES, make

DECLARED = [(task, name) for task in task_names(TASKS) for name in load_task(TASKS, task).contenders]
ROWS = 400

MakeDataset = Callable[..., Dataset]


class Stage:
    """A contender of a task file, and labelled rows that can be learned."""

    def __init__(self, task: Task, name: str, dataset: Dataset) -> None:
        self.task, self.name = task, name
        self.rows = dataset.table.select(dataset.feature_names).to_numpy()
        self.labels = dataset.table["label"].to_numpy()

    def learn(self, model: Model | None, first: int, last: int) -> Model:
        """The model after it learned these rows too; a batch contender is fitted on them alone."""
        contender = make(self.task, self.name) if model is None else model
        if isinstance(contender, Batch):
            return contender.fit(self.rows[first:last], self.labels[first:last])
        for i in range(first, last):
            contender.learn(self.rows[i], float(self.labels[i]))
        return contender

    def walk(self, model: Model, first: int, last: int) -> Floats:
        """Predictions of rows, each learned afterwards where the model can."""
        values = []
        for i in range(first, last):
            values.append(model.predict(self.rows[i : i + 1])[0])
            if hasattr(model, "learn"):
                model.learn(self.rows[i], float(self.labels[i]))
        return np.array(values)


@pytest.fixture(scope="module")
def stages(make_dataset: MakeDataset) -> dict[str, Dataset]:
    return {task: make_dataset(load_task(TASKS, task), ROWS) for task in task_names(TASKS)}


@pytest.fixture(params=DECLARED, ids=lambda declared: "/".join(declared))
def stage(request: pytest.FixtureRequest, stages: dict[str, Dataset]) -> Stage:
    task, name = request.param
    return Stage(load_task(TASKS, task), name, stages[task])


def test_it_predicts_one_finite_value_a_row_in_the_range_of_its_target(stage: Stage) -> None:
    values = stage.learn(None, 0, 200).predict(stage.rows[200:250])

    assert values.shape == (50,)
    assert values.dtype == np.float64
    assert np.isfinite(values).all()
    if stage.task.is_classification:
        assert ((values >= 0) & (values <= 1)).all()


def test_it_says_nothing_or_something_finite_while_it_is_cold(stage: Stage) -> None:
    for seen in range(15):
        contender = make(stage.task, stage.name)
        if isinstance(contender, Batch) and not seen:
            continue
        value = stage.learn(None, 0, seen).predict(stage.rows[seen : seen + 1])

        assert np.isfinite(value).all() or np.isnan(value).all()


def test_it_copes_with_labels_that_are_all_the_same(stage: Stage) -> None:
    stage.labels = np.ones(ROWS)

    values = stage.learn(None, 0, 100).predict(stage.rows[100:110])

    assert values.shape == (10,)
    if stage.task.is_classification:
        assert (values > 0.5).all()


def test_it_is_the_same_twice_to_the_bit(stage: Stage) -> None:
    once, again = (stage.walk(stage.learn(None, 0, 200), 200, 220) for _ in range(2))

    assert once.tobytes() == again.tobytes()


@pytest.mark.parametrize("pickler", [pickle, cloudpickle], ids=["pickle", "cloudpickle"])
def test_a_pickled_one_goes_on_to_the_bit(stage: Stage, pickler: object) -> None:
    model = stage.learn(None, 0, 200)
    copy = pickle.loads(pickler.dumps(model))  # type: ignore[attr-defined]

    assert stage.walk(copy, 200, 230).tobytes() == stage.walk(model, 200, 230).tobytes()


def test_predicting_changes_nothing_in_it(stage: Stage) -> None:
    model = stage.learn(None, 0, 200)
    before = serialize(model)

    first = model.predict(stage.rows[200:230])

    assert serialize(model) == before
    assert model.predict(stage.rows[200:230]).tobytes() == first.tobytes()


def test_neither_learning_nor_predicting_touches_the_rows(stage: Stage) -> None:
    rows = stage.rows.copy()

    stage.walk(stage.learn(None, 0, 200), 200, 210)

    assert stage.rows.tobytes() == rows.tobytes()


def test_a_row_gets_the_same_prediction_alone_and_among_others(stage: Stage) -> None:
    model = stage.learn(None, 0, 200)

    together = model.predict(stage.rows[200:263])
    alone = np.concatenate([model.predict(stage.rows[i : i + 1]) for i in range(200, 263)])

    assert together.tobytes() == alone.tobytes()


def test_no_rows_get_no_predictions(stage: Stage) -> None:
    assert stage.learn(None, 0, 200).predict(stage.rows[:0]).shape == (0,)


def test_what_it_learned_makes_it_better(stage: Stage) -> None:
    rows = range(200, ROWS - 1)
    values = stage.walk(stage.learn(None, 0, 200), rows.start, rows.stop)
    labels = stage.labels[rows.start : rows.stop]

    if stage.task.is_classification:
        assert ((values - labels) ** 2).mean() < 0.24
    else:
        mean_so_far = np.array([stage.labels[:i].mean() for i in rows])
        assert np.abs(values - labels).mean() < 0.5 * np.abs(mean_so_far - labels).mean()


def changed(task: Task, name: str, **changes: object) -> Task:
    contender = task.contenders[name].model_copy(update=changes)
    return task.model_copy(update={"contenders": {name: contender}})


def test_an_unknown_procedure_is_refused_with_the_known_ones(spy: Task) -> None:
    with pytest.raises(ConfigurationError, match=r"'forest' of task 'spy'.*'oracle'.*river_snarimax"):
        make(changed(spy, "forest", procedure="oracle"), "forest")


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        ({"trees": 3}, "`trees`"),
        ({"n_estimators": 0}, "`n_estimators`"),
        ({"n_estimators": "many"}, "`n_estimators`"),
        ({"max_depth": True}, "`max_depth`"),
    ],
)
def test_a_parameter_that_cannot_be_used_is_refused_with_the_known_ones(
    spy: Task, parameters: dict[str, object], fault: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"'forest' of task 'spy'.*{fault}.*Known parameters: .*max_depth"):
        make(changed(spy, "forest", parameters=parameters), "forest")


def test_a_snarimax_without_terms_is_refused(airline: Task) -> None:
    with pytest.raises(ConfigurationError, match=r"'snarimax'.*at least one of p, q"):
        make(changed(airline, "snarimax", parameters={"p": 0}), "snarimax")


def test_a_kind_that_is_not_the_procedures_own_is_refused(spy: Task) -> None:
    with pytest.raises(ConfigurationError, match=r"kind: incremental, but random_forest is of kind batch"):
        make(changed(spy, "forest", kind="incremental"), "forest")


def test_a_target_that_a_procedure_cannot_predict_is_refused(spy: Task) -> None:
    with pytest.raises(ConfigurationError, match=r"ridge cannot predict a direction, only a value"):
        make(changed(spy, "forest", procedure="ridge"), "forest")


def test_a_seasonal_ridge_without_lags_is_refused(airline: Task) -> None:
    task = airline.model_copy(update={"features": airline.features[-1:]})

    with pytest.raises(ConfigurationError, match=r"needs the features lag 1, lag 2 and month; the task has month"):
        make(task, "seasonal-ridge")


def test_every_procedure_says_what_it_is(spy: Task) -> None:
    for procedure in PROCEDURES.values():
        assert procedure.kind in ("baseline", "batch", "incremental")
        assert procedure.__doc__
