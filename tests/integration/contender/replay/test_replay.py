"""A replay on a real Postgres and a real MLflow: the same nights, however they are walked."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from contender.console.signals import Stopped
from contender.replay import sessions, setup
from contender.replay.sessions import ReplayRunner
from core.config.settings import Settings
from core.db.engine import connect
from core.db.pipeline_tables import contender_predictions, decisions, ledger, predictions, runs
from core.errors import BusyError
from core.jobs.calendars import final_at
from ingestion.store import observations
from ingestion.store.observations import Observation
from tests.support.stage import SERIES, Stage, a_task, month, wave
from tests.support.training.replayed import FIRST, MONTHS, four_years, run
from training import promote, train
from training.ledger import decisions as training_decisions
from training.registry.factory import open_registry


@pytest.fixture
def stage(settings_with_registry: Settings, engine: sa.Engine) -> Iterator[Stage]:
    with four_years(settings_with_registry, engine) as stage:
        yield stage


def store(stage: Stage, name: str = "a") -> sa.Engine:
    return connect(stage.settings.database_url, schema=f"{stage.task.name}-replay-{name}".replace("-", "_"))


def rows(engine: sa.Engine, statement: sa.Select[Any]) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(statement)]


def reported(engine: sa.Engine) -> dict[str, list[tuple[Any, ...]]]:
    """All that a replay has decided, moved, predicted and answered, without the names that differ by replay."""
    d, m, p, a = decisions.c, ledger.c, contender_predictions.c, predictions.c
    evidence = [d.evidence[part] for part in ("mean_loss", "comparisons", "carried", "reign", "versions", "rows")]
    return {
        "decisions": rows(
            engine,
            sa.select(d.session_date, d.outcome, d.reason, d.champion, d.challenger, d.decided_at, *evidence).order_by(
                d.id
            ),
        ),
        "ledger": rows(engine, sa.select(m.alias, m.phase, m.from_version, m.to_version, m.why, m.at).order_by(m.id)),
        "predictions": rows(
            engine,
            sa.select(p.contender, p.target_date, p.value, p.trained_through, p.made_at).order_by(
                p.contender, p.target_date
            ),
        ),
        "answers": rows(
            engine, sa.select(a.target_date, a.contender, a.version, a.value, a.made_at).order_by(a.target_date)
        ),
    }


def test_sessions_run_in_pieces_give_what_the_whole_gives(stage: Stage) -> None:
    run(stage, 16, "whole")

    for count in (1, 6, 16):
        run(stage, count, "pieces")

    whole = reported(store(stage, "whole"))
    assert len(whole["decisions"]) == 16
    assert reported(store(stage, "pieces")) == whole


@pytest.mark.parametrize(("owner", "step"), [(train, "advance"), (promote, "promote"), (ReplayRunner, "_finish")])
def test_a_replay_that_is_killed_in_the_middle_of_every_session_goes_on_as_if_it_had_not_been(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, owner: Any, step: str
) -> None:
    run(stage, 9, "whole")
    done = getattr(owner, step)

    for _ in range(8):
        calls: list[int] = []

        def killed(*given: Any, calls: list[int] = calls, **named: Any) -> Any:
            calls.append(1)
            if len(calls) == 2:
                if owner is not ReplayRunner:
                    done(*given, **named)
                raise Stopped(2)
            return done(*given, **named)

        with monkeypatch.context() as patched:
            patched.setattr(owner, step, killed)
            with pytest.raises(Stopped):
                run(stage, 9, "killed")
    run(stage, 9, "killed")

    assert reported(store(stage, "killed")) == reported(store(stage, "whole"))


def test_what_a_session_decided_that_was_cut_off_does_not_say_who_holds_the_aliases_as_it_is_walked_again(
    stage: Stage,
) -> None:
    run(stage, 4)
    engine, name = store(stage), f"{stage.task.name}-replay-a"
    task = stage.task.model_copy(update={"name": name})
    done = setup.finished_sessions(engine, task)
    before = setup.alias_holders(engine, task, done)
    last = training_decisions.newest(engine, name)
    assert last is not None
    with engine.begin() as connection:
        cut = replace(last, champion="somebody", challenger="else")
        training_decisions.record(connection, cut, final_at(task, month(FIRST + 4)))

    assert len(done) == 4
    assert before == {last.champion, last.challenger}
    assert setup.alias_holders(engine, task, done) == before
    assert setup.alias_holders(engine, task, {*done, month(FIRST + 4)}) == {"somebody", "else"}
    assert setup.alias_holders(engine, task, ()) == frozenset()


def test_a_replay_predicts_what_the_nightly_jobs_have_predicted(
    settings_with_registry: Settings, engine: sa.Engine
) -> None:
    lived = Stage(settings_with_registry, engine, a_task(scored_from=1000))  # so no pictures are drawn night by night
    values = wave(FIRST + 12)
    lived.put(values[: FIRST + 1])
    for value in values[FIRST + 1 :]:
        lived.train()
        lived.put([value])
    lived.train()

    run(lived, 12)

    p = contender_predictions.c
    message = sa.select(p.contender, p.contender_hash, p.target_date, p.event_date, p.value, p.trained_through)
    message = message.order_by(p.contender, p.target_date)
    assert rows(store(lived), message) == rows(engine, message)
    assert len(rows(engine, message)) > 3 * FIRST


def test_a_second_run_finds_all_sessions_run(stage: Stage) -> None:
    first = run(stage, 6)
    before = reported(store(stage))

    again = run(stage, 6)

    assert "All 6 sessions have been run; to go on give more --days." in again
    assert reported(store(stage)) == before
    assert first.split("sessions of")[1] == again.split("sessions of")[1]


def test_the_tasks_own_tables_and_model_stay_as_they_were(stage: Stage, engine: sa.Engine) -> None:
    before = rows(engine, sa.select(runs.c.run_key))

    run(stage, 8)

    for table in (decisions, ledger, contender_predictions, predictions):
        assert rows(engine, sa.select(table)) == []
    assert rows(engine, sa.select(runs.c.run_key)) == before
    assert open_registry(stage.settings).aliases(stage.task.name) is None
    assert set(open_registry(stage.settings).aliases(f"{stage.task.name}-replay-a") or {}) <= {"champion", "challenger"}


def test_versions_are_of_contenders_without_one_and_of_those_that_hold_an_alias(stage: Stage) -> None:
    run(stage, 24)

    d = decisions.c
    held = rows(store(stage), sa.select(d.session_date, d.champion, d.challenger).order_by(d.id))
    seen: set[str] = set()
    for version in reversed(open_registry(stage.settings).newest_versions(f"{stage.task.name}-replay-a", 1000)):
        contender, through = version.tags["contender"], version.tags["trained_through"]
        holders = {name for night, *names in held if str(night) <= through for name in names[-2:]}
        assert contender not in seen or contender in holders
        seen.add(contender)
    assert seen == set(stage.task.contenders)


def test_a_restatement_is_learned_of_on_the_session_it_became_known(stage: Stage, engine: sa.Engine) -> None:
    known = setup.prepare(stage.settings, stage.task, month(FIRST), 12, "a")
    with engine.begin() as connection:
        when = observations.read_as_of(engine, SERIES, stage.clock.now())["known_at"][FIRST + 6] + timedelta(hours=4)
        restated = Observation(month(3), when, {"value": 77.0})
        observations.record(connection, SERIES, "airline", [restated], when)

    run(stage, 12)

    as_of = [observations.read_as_of(store(stage), SERIES, night)["value"][3] for night in nights(known, (6, 7))]
    assert as_of == [wave(MONTHS)[3], 77.0]


def nights(place: setup.ReplayWorkspace, places: Sequence[int]) -> list[Any]:
    return [final_at(place.task, place.days[index]) for index in places]


def test_a_champion_that_is_named_is_champion_until_there_is_evidence(stage: Stage) -> None:
    message = run(stage, 30, champion="naive")

    champions = [row[3] for row in reported(store(stage))["decisions"]]
    assert champions[0] == "naive"
    assert champions[-1] != "naive"
    assert "PROMOTE (succession)" in message
    assert reported(store(stage))["decisions"][0][1] == "FORCED"


def test_a_champion_is_named_once_and_promoted_once_however_the_first_session_ends(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(stage, 2, "whole", champion="naive")
    with monkeypatch.context() as patched:
        patched.setattr(ReplayRunner, "_finish", _stop)
        with pytest.raises(Stopped):
            run(stage, 2, "killed", champion="naive")

    run(stage, 2, "killed")

    assert reported(store(stage, "killed")) == reported(store(stage, "whole"))


def _stop(*_: object) -> None:
    raise Stopped(2)


def test_fewer_sessions_than_were_walked_are_refused_plainly(stage: Stage) -> None:
    run(stage, 6)
    before = reported(store(stage))

    again = run(stage, 4)

    assert f"Nothing to run: {stage.task.name}-replay-a has 6 sessions already, through {month(FIRST + 5)}" in again
    assert "--days 4 requests fewer." in again
    assert "To go on give more than 6; for another replay give an id of its own (--id NAME)." in again
    assert reported(store(stage)) == before


def test_the_tables_beside_the_report_name_decisions_as_the_commands_do(stage: Stage) -> None:
    run(stage, 4)

    folder = stage.settings.home / "replays" / f"{stage.task.name}-replay-a"
    decided, moved = (pl.read_csv(folder / f"{name}.csv") for name in ("decisions", "ledger"))
    assert decided["decision"].to_list() == [
        row[0] for row in rows(store(stage), sa.select(decisions.c.id).order_by("id"))
    ]
    assert set(moved["decision"]) <= set(decided["decision"])


def test_two_processes_do_not_walk_one_replay(stage: Stage) -> None:
    place = setup.prepare(stage.settings, stage.task, month(FIRST), 2, "a")

    with (
        sessions.open_runner(stage.settings.schema_name, place),
        pytest.raises(BusyError, match="holds the lease 'replay'"),
        sessions.open_runner(stage.settings.schema_name, place, wait_seconds=0),
    ):
        pass


def test_a_session_is_answered_by_the_version_that_is_champion(stage: Stage) -> None:
    place = setup.prepare(stage.settings, stage.task, month(FIRST), 20, "a")
    with sessions.open_runner(stage.settings.schema_name, place) as walked:
        for day in place.days:
            report = walked.run(day)
            a = predictions.c
            answered = rows(walked.at.engine, sa.select(a.contender).where(a.event_date == day))
            assert answered == ([(report.champion,)] if report.champion else [])
