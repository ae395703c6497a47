"""A run in MLflow for every decision: what it shows, and that it is written once, whatever happens meanwhile."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core.config.settings import Settings
from core.db.pipeline_tables import runs
from tests.support.registry import tracker_class
from tests.support.stage import Stage
from tests.support.terminal import AWAY, declared
from tests.support.training.decision_runs import logged, mlflow_client
from tests.support.training.promotions import decided, off_by, with_champion
from training import promote
from training.registry.factory import open_tracker
from training.reports import publisher


@pytest.fixture
def stage(settings_with_mlflow: Settings, engine: sa.Engine, tmp_path: Path) -> Stage:
    return declared(settings_with_mlflow, engine, tmp_path / "tasks")


@pytest.fixture
def client(settings_with_mlflow: Settings) -> Any:
    return mlflow_client(settings_with_mlflow)


def test_a_run_in_mlflow_shows_what_was_decided(stage: Stage, client: Any) -> None:
    with_champion(stage)
    stage.came_true([100.0] * 20, naive=off_by(5, 20), ridge=off_by(3, 20, 7), linear=off_by(3, 20, 8))
    stage.promote(log_holds=True)
    row = decided(stage)[-1]

    run = logged(client, stage)[str(row.id)]

    assert run.info.run_name == f"decision {row.id}: {row.session_date} HOLD"
    assert run.info.status == "FINISHED"
    shown = ("outcome", "reason", "champion", "challenger", "evidence_hash", "series")
    assert {name: run.data.tags[name] for name in shown} == {name: str(row._mapping[name]) for name in shown}
    compared = {one["challenger"]: one for one in row.evidence["comparisons"]}
    assert run.data.metrics == {
        **{f"mean_loss.{name}": mean for name, mean in row.evidence["mean_loss"].items()},
        **{f"evidence.{name}": one["e_value"] for name, one in compared.items()},
        **{f"shared.{name}": one["shared"] for name, one in compared.items()},
    }
    assert "is better than ridge, over 20 rows, is worth" in run.data.tags["mlflow.note.content"]


def test_a_replay_without_holds_logs_what_moved_something(stage: Stage, client: Any) -> None:
    with_champion(stage)
    stage.came_true([100.0], naive=[105.0], ridge=[101.0], linear=[102.0])
    promote.run(stage.settings, stage.task, stage.clock, log_holds=False)
    stage.came_true([100.0], naive=[105.0], ridge=[101.0], linear=[102.0])
    stage.versions("ridge")
    promote.run(stage.settings, stage.task, stage.clock, log_holds=False)

    names = [run.info.run_name.split()[-1] for run in logged(client, stage).values()]

    assert [row.outcome for row in decided(stage)] == ["BOOTSTRAP", "HOLD", "PROMOTE"]
    assert names == ["BOOTSTRAP", "PROMOTE"]


def test_what_could_not_be_logged_is_logged_once_by_the_next_run_and_kept_no_alias_from_moving(
    stage: Stage, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(settings: Settings, experiment: str) -> Any:
        return open_tracker(settings.model_copy(update={"mlflow_url": AWAY}), experiment)

    stage.came_true([100.0] * 30, naive=off_by(5, seed=1), ridge=off_by(1, seed=2), linear=off_by(2, seed=3))
    stage.versions("naive", "ridge", "linear")
    with monkeypatch.context() as without_mlflow:
        without_mlflow.setattr(publisher, "open_tracker", away)
        without_mlflow.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        stage.promote(log_holds=True)
    assert set(stage.aliases()) == {"champion", "challenger"}
    assert logged(client, stage) == {}

    assert not stage.promote(log_holds=True).is_new
    assert not stage.promote(log_holds=True).is_new

    (row,) = decided(stage)
    assert list(logged(client, stage)) == [str(row.id)]


@pytest.mark.parametrize("killed_at", ["log", "finish", "mark"])
def test_a_decision_is_logged_once_wherever_the_job_was_killed(
    stage: Stage, client: Any, monkeypatch: pytest.MonkeyPatch, killed_at: str
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    stage.came_true([100.0] * 30, naive=off_by(5, seed=1), ridge=off_by(1, seed=2), linear=off_by(2, seed=3))
    stage.versions("naive", "ridge", "linear")
    with monkeypatch.context() as dying:
        if killed_at == "mark":
            dying.setattr(publisher.run_keys, "settle", settle_unless_a_mark(killed))
        else:
            dying.setattr(tracker_class(stage.settings), killed_at if killed_at == "finish" else "_create", killed)
        with pytest.raises(KeyboardInterrupt):
            stage.promote(log_holds=True)
    assert set(stage.aliases()) == {"champion", "challenger"}

    stage.promote(log_holds=True)

    (row,) = decided(stage)
    (run,) = logged(client, stage).values()
    assert (run.data.tags["decision"], run.info.status) == (str(row.id), "FINISHED")
    with stage.engine.connect() as connection:
        marks = connection.execute(sa.select(runs.c.report).where(runs.c.step == "decision")).scalars().all()
    assert [mark["run"] for mark in marks] == [run.info.run_id]


def settle_unless_a_mark(killed: Any) -> Any:
    """The job's own work is settled; the mark of what was logged is not."""
    settle = publisher.run_keys.settle

    def settle_or_die(connection: sa.Connection, key: Any, report: dict[str, Any]) -> None:
        (killed if key.step == "decision" else settle)(connection, key, report)

    return settle_or_die
