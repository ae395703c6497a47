"""`contender decision` in words: what it shows of any decision, and what it says of what it cannot do."""

import re
from pathlib import Path

import pytest
import sqlalchemy as sa

from core.config.settings import Settings
from core.db.pipeline_tables import decisions
from tests.support.serving.pushed_world import PushedWorld
from tests.support.stage import Stage
from tests.support.terminal import Terminal, declared
from tests.support.training.promotions import decided, off_by, with_champion


@pytest.fixture
def stage(settings_with_registry: Settings, engine: sa.Engine, tmp_path: Path) -> Stage:
    return declared(settings_with_registry, engine, tmp_path / "tasks")


def test_a_decision_is_shown_in_words_that_fit_a_terminal(stage: Stage, contender: Terminal) -> None:
    with_champion(stage)
    stage.came_true([100.0] * 20, naive=off_by(5, 20), ridge=off_by(3, 20, 7), linear=off_by(3, 20, 8))
    stage.promote(log_holds=True)
    row = decided(stage)[-1]

    code, reported = contender("decision", "show", str(row.id), columns=80)

    assert code == 0
    assert max(map(len, reported.splitlines())) <= 80
    assert reported.startswith(f"Decision {row.id} of {stage.task.name}, {row.session_date}: HOLD")
    assert "Champion: ridge, which beats the baseline. Challenger: linear." in reported
    (linear,) = (line.split() for line in reported.splitlines() if line.startswith("linear") and " of 20 " in line)
    assert linear[1] == "20"
    assert " ".join(linear[-2:]) == "not enough"


def test_a_first_hold_says_what_is_waited_for_and_what_is_not_eligible_and_why(
    stage: Stage, contender: Terminal
) -> None:
    with_champion(stage)
    stage.came_true([100.0] * 2, naive=off_by(5, 2), ridge=off_by(3, 2, 7), linear=off_by(3, 2, 8))
    stage.versions("linear", slope=0.0)
    stage.promote(log_holds=True)

    reported = " ".join(contender("decision", "show", str(decided(stage)[-1].id), columns=200)[1].split())

    assert f"So far: 2 of {stage.task.gate.min_rows} rows. Each new label of the series adds one." in reported
    assert re.search(r"linear \(version \d+\): predicts the same for every validation row", reported)
    assert "change its parameters in the task file" in reported


def test_what_a_person_decided_is_shown_and_there_is_nothing_to_compute_again(
    stage: Stage, contender: Terminal
) -> None:
    with_champion(stage)
    contender("rollback", stage.task.name, "--to", "1", "--why", "it raves", "--who", "anna")
    number = decided(stage)[-1].id

    reported = contender("decision", "show", str(number), columns=200)[1]
    assert reported.splitlines()[:4] == [
        f"Decision {number} of {stage.task.name}, {stage_day(stage, number)}: FORCED (rolled_back)",
        "A person rolled the champion back to an earlier version, 1. The gate had no part in it, and leaves the alias "
        f'there until it is released: contender unpin {stage.task.name} --why "…".',
        "Champion: naive. Challenger: linear.",
        "anna requested version 1 as champion: it raves",
    ]
    code, reported = contender("decision", "replay", str(number))
    assert code == 42
    assert "was not made by the gate: FORCED (rolled_back)." in reported
    assert f"`contender decision show {number}` shows it." in reported


def test_a_pushed_tasks_decision_is_shown_too(
    settings_with_registry: Settings, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = PushedWorld(settings_with_registry, engine)
    contender = Terminal(world.settings, monkeypatch)
    world.version(10)
    with engine.connect() as connection:
        (number,) = connection.execute(sa.select(decisions.c.id)).scalars()

    code, reported = contender("decision", "show", str(number))

    assert (code, reported.splitlines()[1]) == (
        0,
        "The first version of the contender that learns this task becomes champion.",
    )
    assert contender("decision", "replay", str(number))[0] == 42


def test_an_id_that_no_decision_has_is_explained(stage: Stage, contender: Terminal) -> None:
    for verb in ("show", "replay"):
        code, reported = contender("decision", verb, "4711")

        assert code == 42
        assert "There is no decision 4711." in reported


def test_a_folder_that_cannot_be_written_is_explained(stage: Stage, contender: Terminal, tmp_path: Path) -> None:
    with_champion(stage)
    (tmp_path / "file").write_text("")

    code, reported = contender(
        "decision", "replay", str(decided(stage)[0].id), "--out", str(tmp_path / "file" / "below")
    )

    assert code == 42
    assert "Nothing can be written into" in reported


def stage_day(stage: Stage, number: int) -> str:
    return next(str(row.session_date) for row in decided(stage) if row.id == number)
