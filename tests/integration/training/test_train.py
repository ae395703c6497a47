"""The training job on a real Postgres and a real MLflow: whatever interrupts it, it ends as if nothing had."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from core.config.settings import Settings
from core.db.event_tables import checkpoints as checkpoints_table
from core.db.pipeline_tables import progress as progress_table
from core.db.pipeline_tables import versions as versions_table
from core.errors import NotFoundError, RegistryUnreachableError
from core.jobs import run_keys
from core.jobs.runner import exit_code
from tests.support.registry import registry_class, run_statuses, tracker_class
from tests.support.stage import SERIES, Stage, a_task, logged, month, wave
from training import train
from training.__main__ import run as run_of_main
from training.backtest import state as walk_state
from training.evaluation import outcomes, predictions
from training.event_log import dataset_log
from training.event_log import store as event_log
from training.learners import checkpoints
from training.registry import flavor, registration, versions
from training.registry.factory import open_registry

MONTHS = 40
STEPS: dict[str, tuple[Any, str, int]] = {
    "the labels": (outcomes, "record", 1),
    "the log": (event_log, "append", 1),
    "the first look behind the log": (walk_state, "read", 1),
    "the first predictions": (predictions, "record", 1),
    "the second watermark": (walk_state, "write", 2),
    "the second checkpoint": (checkpoints, "write", 2),
    "the model of a version": (registration.flavor, "save", 2),
    "an upload": ("tracker", "log", 2),
    "the number of a version": ("registry", "create_version", 2),
    "the end of a run": ("tracker", "finish", 2),
    "the row of a version": (versions, "record", 2),
    "the note that all is done": (run_keys, "settle", 1),
}


@pytest.fixture
def stage(settings_with_registry: Settings, engine: sa.Engine) -> Stage:
    """Nothing is scored on it, so no pictures are drawn, which would take most of the time."""
    return Stage(settings_with_registry, engine, a_task(scored_from=1000))


def another(stage: Stage) -> Stage:
    """A stage beside the first, with a task of its own that stands on the same series."""
    return Stage(stage.settings, stage.engine, a_task(scored_from=1000))


def predicted(stage: Stage) -> pl.DataFrame:
    return predictions.scoreboard(stage.engine, stage.task, SERIES)


def recorded(stage: Stage) -> dict[tuple[str, str], str]:
    """The digest of every version in Postgres, by contender and by what it was trained through."""
    columns = versions_table.c
    with stage.engine.connect() as connection:
        statement = sa.select(columns.contender, columns.trained_through, columns.artifact_digest)
        rows = connection.execute(statement.where(columns.task == stage.task.name)).all()
    found = {(row.contender, str(row.trained_through)): row.artifact_digest for row in rows}
    assert len(found) == len(rows)
    return found


def in_mlflow(stage: Stage) -> list[int]:
    return sorted(one.version for one in open_registry(stage.settings).versions_above(stage.task.name, 0))


def runs_in_mlflow(stage: Stage) -> list[str]:
    return run_statuses(stage.settings, stage.task.name)


def test_every_contender_is_walked_and_has_one_version(stage: Stage) -> None:
    stage.put(wave(MONTHS))

    report = stage.train()

    rows = MONTHS - 3 + 1
    assert report.sentence() == (
        f"3 contenders through {month(MONTHS - 1)} of {SERIES}: {3 * rows} predictions, {rows - 1} labels, 3 versions"
    )
    board = predicted(stage)
    assert board.group_by("contender").len()["len"].to_list() == [rows] * 3
    assert board.filter(pl.col("trained_through") >= pl.col("target_date")).is_empty()
    assert [version.contender for version in report.versions] == ["naive", "ridge", "linear"]
    assert [version.version for version in report.versions] == in_mlflow(stage) == [1, 2, 3]
    assert {v.contender: v.trained_through for v in report.versions} == {
        "naive": month(MONTHS - 1),
        "ridge": month(MONTHS - 2),
        "linear": month(MONTHS - 1),
    }


def test_a_version_keeps_a_golden_batch_that_its_model_repeats(stage: Stage, tmp_path: Any) -> None:
    stage.put(wave(MONTHS))
    (version, *_) = stage.train().versions

    model = flavor.load_model(open_registry(stage.settings).download(stage.task.name, version.version, tmp_path / "m"))

    rows = pl.DataFrame(version.golden["rows"], orient="row").to_numpy()
    assert model.predict(rows).tolist() == version.golden["expected"]
    assert versions.find(stage.engine, stage.task.name, version.version) == version
    assert versions.find(stage.engine, stage.task.name, 99) is None


def test_a_second_run_finds_nothing_to_do_without_asking_mlflow(stage: Stage) -> None:
    stage.put(wave(MONTHS))
    stage.train()
    stage.settings = stage.settings.model_copy(update={"mlflow_url": "http://127.0.0.1:9"})

    report = run_of_main(stage.settings, stage.task, stage.clock)

    assert report.sentence() == f"nothing to do: all contenders have been through {month(MONTHS - 1)} of {SERIES}"


def test_a_month_later_only_those_that_learned_have_new_versions(stage: Stage) -> None:
    values = wave(MONTHS + 1)
    stage.put(values[:MONTHS])
    stage.train()
    stage.put(values[MONTHS:])

    report = stage.train()

    assert [version.contender for version in report.versions] == ["naive", "linear"]  # ridge refits every six rows
    assert report.predictions == 3


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_and_run_again_it_is_as_if_it_had_run_through(
    step: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = another(stage)
    straight.put(wave(MONTHS))
    stage.put(wave(MONTHS))
    straight.train()

    where, name, time_of_death = STEPS[step]
    classes = {"registry": registry_class(stage.settings), "tracker": tracker_class(stage.settings)}
    where = classes[where] if isinstance(where, str) else where
    with monkeypatch.context() as patch:
        patch.setattr(where, name, _dies(time_of_death, getattr(where, name)))
        with pytest.raises(KeyboardInterrupt):
            stage.train()
    stage.train()

    assert predicted(stage).equals(predicted(straight))
    assert recorded(stage) == recorded(straight)
    assert logged(stage) == logged(straight)
    assert in_mlflow(stage) == [1, 2, 3]
    assert runs_in_mlflow(stage) == ["FINISHED"] * 3


def test_after_months_without_a_run_one_run_does_what_many_would_have_done(stage: Stage) -> None:
    nightly = another(stage)
    values = wave(MONTHS + 4)
    for one in (nightly, stage):
        one.put(values[:MONTHS])
        one.train()
    for value in values[MONTHS:]:
        nightly.put([value])
        nightly.train()
    stage.put(values[MONTHS:])

    stage.train()

    assert predicted(stage).equals(predicted(nightly))
    newest = {
        name: [versions.newest(one.engine, one.task, SERIES, name) for one in (stage, nightly)]
        for name in stage.task.contenders
    }
    assert all(a and b and a.artifact_digest == b.artifact_digest for a, b in newest.values())


def test_a_model_that_other_libraries_pickled_is_rebuilt_and_no_prediction_rewritten(stage: Stage) -> None:
    straight = another(stage)
    values = wave(MONTHS + 1)
    for one in (straight, stage):
        one.put(values[:MONTHS])
        one.train()
    with stage.engine.begin() as connection:
        theirs = progress_table.c.task == stage.task.name
        old = sa.update(progress_table).where(theirs).values(stamp="python 2.7", model=b"not a pickle of ours")
        connection.execute(old)
        ours = checkpoints_table.c.log == dataset_log.name(stage.task, SERIES)
        connection.execute(sa.update(checkpoints_table).where(ours).values(stamp="python 2.7", state=b"nor this"))
    for one in (straight, stage):
        one.put(values[MONTHS:])
    straight.train()

    report = stage.train()

    assert report.rebuilt == ("linear", "naive", "ridge")
    assert "3 rebuilt for other libraries" in report.sentence()
    assert report.predictions == 3
    assert predicted(stage).equals(predicted(straight))
    assert recorded(stage) == recorded(straight)


def test_five_trainers_at_once_make_one_version_a_contender(stage: Stage) -> None:
    stage.put(wave(MONTHS))

    with ThreadPoolExecutor(5) as pool:
        reports = list(pool.map(lambda _: stage.train(), range(5)))

    assert sorted(report.is_new for report in reports) == [False] * 4 + [True]
    assert in_mlflow(stage) == [1, 2, 3]
    assert len(recorded(stage)) == 3
    assert [row.event_id for row in logged(stage)] == [str(month(i)) for i in range(3, MONTHS)]


def test_without_mlflow_the_learning_is_kept_and_the_versions_follow(stage: Stage) -> None:
    stage.put(wave(MONTHS))
    there = stage.settings
    stage.settings = there.model_copy(update={"mlflow_url": "http://127.0.0.1:9"})
    begun = time.monotonic()

    with pytest.raises(RegistryUnreachableError) as raised:
        stage.train()

    assert exit_code(raised.value) == 75
    assert time.monotonic() - begun < 240  # for which MLflow's own client hangs
    assert predicted(stage).height == 3 * (MONTHS - 2)
    stage.settings = there
    report = stage.train()
    assert (report.predictions, len(report.versions)) == (0, 3)


def test_a_changed_declaration_begins_its_own_walk(stage: Stage) -> None:
    stage.put(wave(MONTHS))
    stage.train()
    changed = stage.task.contenders["ridge"].model_copy(update={"refit_every": 3})
    stage.task = stage.task.model_copy(update={"contenders": {**stage.task.contenders, "ridge": changed}})

    report = stage.train()

    assert [version.contender for version in report.versions] == ["ridge"]
    assert report.predictions == MONTHS - 2


def test_before_the_features_job_there_is_nothing_to_train_on(stage: Stage) -> None:
    with pytest.raises(NotFoundError, match="ingestion"):
        train.run(stage.settings, stage.task, stage.clock)


def _dies(at_call: int, really: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, which dies in place of its n-th call."""
    calls = [0]

    def called(*arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == at_call:
            raise KeyboardInterrupt
        return really(*arguments, **named)

    return called
