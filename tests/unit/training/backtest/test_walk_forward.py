"""The walk: no label before its time, and pieces that give what the whole gives, to the bit."""

import itertools
import pickle
from collections.abc import Callable
from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.config.tasks import Task
from core.errors import DataRefusedError
from features.dataset import Dataset
from training.backtest import parallel
from training.backtest.state import WalkState
from training.backtest.walk_forward import Walk, walk, walk_all
from training.models.base import serialize

ROWS = 90
CHANGES = {
    "logistic": {"first_fit": 20, "refit_every": 7, "window": 30},
    "forest": {"first_fit": 25, "refit_every": 11, "window": None},
    "boosting": {"first_fit": 40, "refit_every": 20, "window": 40},
    "ridge": {"first_fit": 20, "refit_every": 1, "window": 24},
    "seasonal_ridge": {"first_fit": 13, "refit_every": 5, "window": None},
}
NAMES = {
    "spy": ["base-rate", "logistic", "forest", "boosting", "river-logistic"],
    "airline": ["naive", "seasonal-growth", "ridge", "seasonal-ridge", "linear", "holt-winters", "snarimax"],
}
CONTENDERS = [(task, name) for task, names in NAMES.items() for name in names]


class Stage:
    """A contender, its dataset, and the whole walk over it."""

    def __init__(self, task: Task, name: str, dataset: Dataset) -> None:
        self.task, self.name, self.dataset = task, name, dataset
        self.whole = walk(task, name, dataset, None)

    def at(self, rows: int, *, labelled: bool = False) -> Dataset:
        """The dataset as it was when it had so many rows: the label of the last of them was not known, or just was."""
        table = self.dataset.table.head(rows)
        if not labelled:
            unknown = pl.Series([*table["label"].head(rows - 1).to_list(), None][:rows], dtype=pl.Float64)
            table = table.with_columns(unknown.alias("label"))
        return replace(self.dataset, table=table)

    def walk(self, rows: int, state: WalkState | None = None, *, labelled: bool = False) -> Walk:
        return walk(self.task, self.name, self.at(rows, labelled=labelled), state)


@pytest.fixture(scope="module")
def stages(
    spy: Task, airline: Task, change: Callable[..., Task], make_dataset: Callable[..., Dataset]
) -> dict[tuple[str, str], Stage]:
    tasks = {"spy": change(spy, **CHANGES), "airline": change(airline, **CHANGES)}
    data = {name: make_dataset(task, ROWS) for name, task in tasks.items()}
    return {(task, name): Stage(tasks[task], name, data[task]) for task, name in CONTENDERS}


@pytest.fixture(params=CONTENDERS, ids="/".join)
def stage(request: pytest.FixtureRequest, stages: dict[tuple[str, str], Stage]) -> Stage:
    return stages[request.param]


def the_same(first: Walk, second: Walk) -> None:
    """Position, version and model agree to the bit."""
    assert first.state == second.state
    assert (first.trained_through, first.rows_trained) == (second.trained_through, second.rows_trained)
    assert (first.model is None) == (second.model is None)
    if first.model is not None and second.model is not None:
        assert serialize(first.model) == serialize(second.model)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.tuples(st.integers(1, ROWS - 1), st.booleans()), max_size=5, unique_by=lambda cut: cut[0]))
def test_any_pieces_give_what_the_whole_gives(stage: Stage, cuts: list[tuple[int, bool]]) -> None:
    state, predictions = None, []

    for rows, labelled in [*sorted(cuts), (ROWS, False)]:
        piece = stage.walk(rows, state, labelled=labelled)
        state = piece.state
        predictions.append(piece.predictions)

    assert pl.concat(predictions).equals(stage.whole.predictions)
    the_same(piece, stage.whole)


def test_seven_nights_give_what_one_run_after_a_week_gives(stage: Stage) -> None:
    start = stage.walk(ROWS - 7).state
    nights, state = [], start

    for rows in range(ROWS - 6, ROWS + 1):
        night = stage.walk(rows, state)
        state = night.state
        nights.append(night)
    week = stage.walk(ROWS, start)

    assert [len(night.predictions) for night in nights] == [1] * 7
    assert pl.concat([night.predictions for night in nights]).equals(week.predictions)
    the_same(nights[-1], week)


def test_a_second_run_on_the_same_rows_predicts_and_learns_nothing(stage: Stage) -> None:
    again = stage.walk(ROWS, stage.whole.state)

    assert again.predictions.is_empty()
    assert again.predictions.schema == stage.whole.predictions.schema
    the_same(again, stage.whole)


def test_every_target_date_is_predicted_once_tomorrow_included(stage: Stage) -> None:
    predictions = stage.whole.predictions

    assert predictions.columns == ["event_date", "target_date", "trained_through", "value"]
    assert predictions.select("event_date", "target_date").equals(
        stage.dataset.table.select("event_date", "target_date")
    )
    assert not predictions["value"].is_nan().any()
    assert predictions["value"].tail(ROWS - 45).null_count() == 0


def test_no_prediction_is_trained_on_what_it_could_not_know(stage: Stage) -> None:
    trained = stage.whole.predictions.drop_nulls("trained_through")

    assert len(trained) > 40
    assert (trained["trained_through"] <= trained["event_date"]).all()
    assert (trained["trained_through"] < trained["target_date"]).all()


@pytest.mark.parametrize("poisoned_from", [30, 47, ROWS - 2])
def test_a_poisoned_future_moves_nothing_before_it(stage: Stage, poisoned_from: int) -> None:
    table = stage.dataset.table
    future = pl.int_range(pl.len()) >= poisoned_from
    features = [
        pl.when(future).then(pl.col(name) * 3 + 1).otherwise(pl.col(name)) for name in stage.dataset.feature_names
    ]
    label = pl.when(future).then(1 - pl.col("label").clip(0, 1)).otherwise(pl.col("label"))
    poisoned = replace(
        stage.dataset, table=table.with_columns(*features, label + 0.5 * (~pl.lit(stage.task.is_classification)))
    )

    predictions = walk(stage.task, stage.name, poisoned, None).predictions

    assert predictions.head(poisoned_from).equals(stage.whole.predictions.head(poisoned_from))


def test_the_last_label_is_learned_and_tomorrows_is_not(stage: Stage) -> None:
    last_labelled: date = stage.dataset.table["target_date"][ROWS - 2]
    state = stage.whole.state

    assert state.learned_through == last_labelled
    assert state.rows_learned == ROWS - 1
    if stage.task.contenders[stage.name].kind != "batch":
        assert stage.whole.trained_through == last_labelled
        assert stage.whole.rows_trained == ROWS - 1


def test_without_its_model_a_walk_is_rebuilt_from_the_rows(stage: Stage) -> None:
    half = stage.walk(60)

    rest = stage.walk(80, WalkState(half.state.learned_through, half.state.rows_learned, is_foreign=True))
    last = stage.walk(ROWS, rest.state)

    assert rest.predictions.equals(stage.whole.predictions[60:80])
    assert last.predictions.equals(stage.whole.predictions[80:])
    assert last.state.learned_through == stage.whole.state.learned_through
    assert last.state.rows_learned == stage.whole.state.rows_learned


def test_a_state_is_stored_in_the_bytes_of_the_first_release() -> None:
    """Rows that another release stored are read: a tuple of five, beside the columns of the table."""
    content = pickle.dumps((date(2020, 1, 3), date(2020, 1, 2), 30, 20, b"a model"), 5)

    state = WalkState.stored(date(2020, 1, 2), 40, content)

    assert state == WalkState(date(2020, 1, 2), 40, date(2020, 1, 3), date(2020, 1, 2), 30, 20, b"a model")
    assert state.packed() == content


def test_a_label_that_comes_late_is_never_learned_afterwards(stage: Stage) -> None:
    gap = stage.dataset.table.with_columns(
        pl.when(pl.int_range(pl.len()) == 50).then(None).otherwise(pl.col("label")).alias("label")
    )
    first = walk(stage.task, stage.name, replace(stage.dataset, table=gap.head(70)), None)

    mended = walk(stage.task, stage.name, stage.dataset, first.state)
    unmended = walk(stage.task, stage.name, replace(stage.dataset, table=gap), first.state)

    assert mended.state.rows_learned == unmended.state.rows_learned == ROWS - 2
    if stage.task.contenders[stage.name].kind != "batch":
        the_same(mended, unmended)


def test_the_refits_stand_on_the_grid(stages: dict[tuple[str, str], Stage]) -> None:
    stage = stages["spy", "logistic"]
    targets = stage.dataset.table["target_date"]

    runs = [(day, len(list(run))) for day, run in itertools.groupby(stage.whole.predictions["trained_through"])]

    assert runs == [(None, 20), *((targets[i - 1], 7) for i in range(20, ROWS, 7))]
    assert stage.whole.trained_through == targets[82]
    assert stage.whole.rows_trained == 30
    assert stage.whole.predictions["value"].head(20).null_count() == 20


def test_a_refit_that_is_due_is_made_before_its_first_row_is_known(stages: dict[tuple[str, str], Stage]) -> None:
    stage = stages["spy", "logistic"]

    on_the_grid = stage.walk(27, labelled=True)

    assert on_the_grid.trained_through == stage.dataset.table["target_date"][26]
    assert on_the_grid.predictions["trained_through"][-1] == stage.dataset.table["target_date"][19]


def test_before_the_first_fit_there_is_no_version(stages: dict[tuple[str, str], Stage]) -> None:
    early = stages["spy", "logistic"].walk(15)

    assert early.model is None
    assert early.trained_through is None
    assert early.rows_trained == 0
    assert early.predictions["value"].null_count() == 15


@pytest.mark.parametrize("rows", [0, 1])
def test_an_empty_dataset_and_one_row_are_walked_too(stage: Stage, rows: int) -> None:
    first = stage.walk(rows)
    whole = stage.walk(ROWS, first.state)

    assert len(first.predictions) == rows
    assert whole.predictions.equals(stage.whole.predictions.tail(ROWS - rows))
    the_same(whole, stage.whole)


def test_a_dataset_out_of_order_or_with_values_that_are_not_finite_is_refused(
    stages: dict[tuple[str, str], Stage],
) -> None:
    stage = stages["spy", "base-rate"]
    table = stage.dataset.table
    tables = [table.reverse(), table.with_columns(pl.lit(np.inf).alias("range")), pl.concat([table, table.tail(1)])]

    for wrong in tables:
        with pytest.raises(DataRefusedError, match="cannot be used"):
            walk(stage.task, stage.name, replace(stage.dataset, table=wrong), None)


def test_walking_all_gives_each_its_own_walk(stages: dict[tuple[str, str], Stage]) -> None:
    stage = stages["spy", "logistic"]
    together = walk_all(stage.task, stage.dataset, dict.fromkeys(NAMES["spy"]))

    for name in NAMES["spy"]:
        alone = stages["spy", name].whole
        assert together[name].predictions.equals(alone.predictions)
        the_same(together[name], alone)


@pytest.fixture
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if there were two processors, and another process paid for any work at all."""
    monkeypatch.setattr(parallel, "WORTH_SECONDS", 0.001)
    monkeypatch.setattr(parallel, "_processes_wanted", lambda wanted: min(wanted, 1))


@pytest.mark.usefixtures("two_processors")
def test_sharing_the_refits_among_processes_changes_nothing(stages: dict[tuple[str, str], Stage]) -> None:
    stage = stages["spy", "forest"]

    shared = walk(stage.task, stage.name, stage.dataset, None)

    assert shared.predictions.equals(stage.whole.predictions)
    the_same(shared, stage.whole)


@pytest.mark.usefixtures("two_processors")
def test_what_a_killed_process_had_begun_is_done_here(
    stages: dict[tuple[str, str], Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = stages["spy", "forest"]
    monkeypatch.setattr(parallel, "_refit", dies)

    mended = walk(stage.task, stage.name, stage.dataset, None)

    assert mended.predictions.equals(stage.whole.predictions)
    the_same(mended, stage.whole)


def dies(*_: object) -> None:
    """Stands in for a refit in another process, and kills that process."""
    import os

    os._exit(1)
