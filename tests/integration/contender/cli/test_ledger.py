"""`contender history`, `rollback` and `unpin`, on a real Postgres and a real MLflow."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from core.config.settings import Settings
from core.db.pipeline_tables import decisions
from tests.support.registry import delete_alias
from tests.support.serving.pushed_world import PushedWorld
from tests.support.stage import Stage
from tests.support.terminal import AWAY, Terminal, declared
from tests.support.training.promotions import decided, phases, with_champion
from training.ledger import history
from training.ledger.entries import CHALLENGER, CHAMPION


@pytest.fixture
def stage(settings_with_registry: Settings, engine: sa.Engine, tmp_path: Path) -> Stage:
    return declared(settings_with_registry, engine, tmp_path / "tasks")


def rows(reported: str) -> list[list[str]]:
    """The cells of the table's rows, without when."""
    lines = reported.split("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in line.split("  ") if cell.strip()][1:] for line in lines]


def by_contender(stage: Stage) -> dict[str, int]:
    numbers = stage.aliases()
    return {"ridge": numbers[CHAMPION], "linear": numbers[CHALLENGER], "naive": 6 - sum(numbers.values())}


def test_the_history_shows_who_moved_what_and_why_the_newest_last(stage: Stage, contender: Terminal) -> None:
    with_champion(stage)
    number = by_contender(stage)
    name = stage.task.name
    ridge, linear = f"{number['ridge']} ridge", f"{number['linear']} linear"

    assert contender("rollback", name, "--to", str(number["naive"]), "--why", "it raves", "--who", "anna")[0] == 0
    assert contender("unpin", name, "--why", "seen enough", "--who", "bert") == (0, "Released: champion.\n")
    stage.move_by_hand(CHAMPION, number["ridge"])
    stage.promote()
    code, reported = contender("history", name)

    naive = f"{number['naive']} naive"
    first, second, *_ = (str(row.id) for row in decided(stage))
    assert code == 0
    assert rows(reported) == [
        ["champion", f"none → {ridge}", first, "promote", "BOOTSTRAP best_backtest"],
        ["challenger", f"none → {linear}", first, "promote", "leads the rest"],
        ["champion", f"{ridge} → {naive}", second, "anna", "FORCED rolled_back, pinned: it raves"],
        ["champion", naive, "bert", "unpinned: seen enough"],
        ["champion", f"{naive} → {ridge}", "external", "external, pinned: moved by hand in MLflow"],
    ]
    assert f"Now: challenger {linear}; champion {ridge}, pinned." in reported
    assert f'until: contender unpin {name} --why "…"' in reported
    assert contender("history", name, "--limit", "1")[1].splitlines()[0] == (
        f"… 4 earlier: contender history {name} --limit 10"
    )
    assert rows(reported)[-1:] == rows(contender("history", name, "--limit", "1")[1].split("\n", 1)[1])


def test_a_move_by_hand_is_shown_before_any_job_has_written_it_down_and_nothing_is_written(
    stage: Stage, contender: Terminal
) -> None:
    with_champion(stage)
    number = by_contender(stage)
    before = phases(stage)
    stage.move_by_hand(CHAMPION, number["naive"])

    reported = contender("history", stage.task.name)[1]

    last = reported.split("\n\n")[0].splitlines()[-1]
    assert last.startswith("not recorded yet")
    assert "external, pinned: moved by hand in MLflow" in last
    assert f"champion {number['naive']} naive, pinned." in reported
    assert phases(stage) == before
    assert contender("unpin", stage.task.name, "--why", "as told")[1] == "Released: champion.\n"
    assert ("external", CHAMPION, number["ridge"], number["naive"]) in phases(stage)
    assert stage.promote().reason != "pinned"


def test_what_was_moved_by_hand_is_external_and_left_alone_until_unpin_releases_it(
    stage: Stage, contender: Terminal
) -> None:
    with_champion(stage)
    number = by_contender(stage)
    stage.move_by_hand(CHAMPION, number["naive"])

    held = stage.promote()
    assert (held.outcome, held.reason, stage.aliases()[CHAMPION]) == ("HOLD", "pinned", number["naive"])
    assert ["external", "external, pinned: moved by hand in MLflow"] in [
        row[2:] for row in rows(contender("history", stage.task.name)[1])
    ]

    assert contender("unpin", stage.task.name, "--why", "seen enough")[1] == "Released: champion.\n"
    assert contender("unpin", stage.task.name, "--why", "seen enough")[1] == "No alias was pinned.\n"
    assert stage.promote().reason != "pinned"


def test_a_rollback_is_pinned_and_tonights_job_does_not_undo_it(stage: Stage, contender: Terminal) -> None:
    with_champion(stage)
    number, name = by_contender(stage), stage.task.name
    contender("rollback", name, "--to", str(number["linear"]), "--why", "a try")

    code, reported = contender("rollback", name, "--why", "it raves", "--who", "anna")

    assert (code, stage.aliases()[CHAMPION]) == (0, number["linear"])
    assert reported.startswith(f"Nothing to do: the champion of {name} is {number['linear']} linear already.")
    code, reported = contender("rollback", name, "--to", str(number["ridge"]), "--why", "it raves", "--who", "anna")
    assert (code, stage.aliases()[CHAMPION]) == (0, number["ridge"])
    assert reported == (
        f"The champion of {name}: {number['linear']} → {number['ridge']} ridge. The API follows within seconds. It is "
        f'pinned: the gate does not move it until contender unpin {name} --why "…"\n'
    )
    assert stage.promote().reason == "pinned"
    assert stage.aliases()[CHAMPION] == number["ridge"]
    assert [(one.outcome, one.reason) for one in decided(stage)][1:3] == [("FORCED", "rolled_back")] * 2


def test_a_rollback_to_the_version_that_is_champion_pins_it_there_until_unpin(
    stage: Stage, contender: Terminal
) -> None:
    with_champion(stage)
    number, name = by_contender(stage)["ridge"], stage.task.name
    stays = ("rollback", name, "--to", str(number), "--why", "it is good", "--who", "anna")

    code, reported = contender(*stays)

    assert (code, stage.aliases()[CHAMPION]) == (0, number)
    assert reported == (
        f"The champion of {name} is {number} ridge already; only the pin is new. It is pinned: the gate does not "
        f'move it until contender unpin {name} --why "…"\n'
    )
    *_, row = decided(stage)
    assert (row.outcome, row.reason, row.champion) == ("FORCED", "promoted", "ridge")
    assert rows(contender("history", name)[1])[-1] == [
        "champion", f"{number} ridge", str(row.id), "anna", "FORCED promoted, pinned: it is good",
    ]  # fmt: skip
    assert stage.promote().reason == "pinned"
    before = phases(stage)
    assert contender(*stays)[1].startswith(f"Nothing to do: the champion of {name} is {number} ridge already.")
    assert phases(stage) == before
    assert contender("unpin", name, "--why", "seen enough")[1] == "Released: champion.\n"
    assert stage.promote().reason != "pinned"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("history", "nothing"), 42, "There is no task 'nothing' in /"),
        (("rollback", "nothing", "--why", "test"), 42, "There is no task 'nothing'"),
        (("unpin", "nothing", "--why", "test"), 42, "There is no task 'nothing'"),
        (("rollback", "TASK", "--why", "test"), 42, "has had no other champion to go back to"),
        (
            ("rollback", "TASK", "--why", "test"),
            42,
            "Name the version to go back to: contender rollback TASK --to",
        ),
        (("rollback", "TASK", "--to", "99", "--why", "test"), 42, "MLflow has no version 99"),
        (("rollback", "TASK", "--to", "99", "--why", "test"), 42, "`contender history TASK`"),
        (("history", "TASK", "--replay", "nothing"), 42, "There is no replay 'nothing' of the task 'TASK'."),
        (("rollback", "TASK", "--why", " "), 2, ""),
        (("rollback", "TASK"), 2, ""),
        (("rollback", "TASK", "--to", "0", "--why", "test"), 2, ""),
        (("history", "TASK", "--limit", "0"), 2, ""),
    ],
)
def test_what_cannot_be_done_is_explained(
    stage: Stage, contender: Terminal, words: Sequence[str], code: int, message: str
) -> None:
    with_champion(stage)
    before = stage.aliases()

    ended, reported = contender(*(stage.task.name if word == "TASK" else word for word in words))

    assert ended == code
    assert message.replace("TASK", stage.task.name) in reported
    assert "Traceback" not in reported
    assert stage.aliases() == before


def test_without_mlflow_or_postgres_one_is_to_try_again(
    stage: Stage, contender: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_champion(stage)
    name = stage.task.name

    monkeypatch.setenv("CONTENDER_MLFLOW_URL", AWAY)
    code, reported = contender("history", name)
    assert (code, len(rows(reported))) == (0, 2)
    assert "MLflow did not answer" in reported
    code, reported = contender("rollback", name, "--why", "test")
    assert (code, "MLflow did not answer" in reported) == (75, True)

    monkeypatch.setenv("CONTENDER_DATABASE_URL", "postgresql+psycopg2://nobody@127.0.0.1:9/nothing")
    for words in (("history", name), ("rollback", name, "--why", "test"), ("unpin", name, "--why", "test")):
        code, reported = contender(*words)
        assert (code, "Postgres did not answer" in reported) == (75, True)


def test_a_task_without_a_past_has_an_empty_history(stage: Stage, contender: Terminal) -> None:
    assert contender("history", stage.task.name) == (
        0,
        f"No alias of {stage.task.name} was ever moved: nothing was promoted yet.\n",
    )


def test_a_loss_is_shown_with_the_way_back_and_a_rollback_takes_it(stage: Stage, contender: Terminal) -> None:
    with_champion(stage)
    number, name = by_contender(stage), stage.task.name
    delete_alias(stage.settings, name)

    reported = contender("history", name)[1]
    assert f"{number['ridge']} ridge → none" in reported
    assert "external, pinned: the alias was taken away in MLflow" in reported
    assert "champion_lost: MLflow has no alias `champion`." in reported
    assert f'To restore it: contender rollback {name} --why "…"' in " ".join(reported.split())

    assert contender("rollback", name, "--why", "it was deleted")[0] == 0
    assert stage.aliases()[CHAMPION] == number["ridge"]
    assert "champion_lost" not in contender("history", name)[1]


def test_a_move_that_died_half_way_is_shown_as_such_and_not_as_one_of_others(
    stage: Stage, contender: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_champion(stage)
    number, name = by_contender(stage), stage.task.name

    def die(*_: object) -> None:
        raise SystemError("the power went")

    with monkeypatch.context() as patched:
        patched.setattr("training.ledger.reconciler.execute", die)
        assert contender("rollback", name, "--to", str(number["naive"]), "--why", "it raves")[0] == 1
    stage.move_by_hand(CHAMPION, number["naive"])  # it was made, and not confirmed

    *_, last = rows(contender("history", name)[1])

    assert last[-1] == "not finished; the next job ends it: it raves"
    assert history.unrecorded(stage.engine, stage.settings, name) == ()


def test_a_pushed_task_has_the_same_commands(
    settings_with_registry: Settings, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = PushedWorld(settings_with_registry, engine)
    contender, name = Terminal(world.settings, monkeypatch), world.task.name
    first, _ = world.version(10)
    second, _ = world.version(10)

    code, reported = contender("rollback", name, "--why", "it raves", "--who", "anna")

    assert (code, world.champion()) == (0, first)
    assert reported.startswith(f"The champion of {name}: {second} → {first} linear.")
    third, _ = world.version(10)
    with engine.connect() as connection:
        numbers = [str(one) for one in connection.execute(sa.select(decisions.c.id).order_by(decisions.c.id)).scalars()]
    assert world.champion() == first
    assert rows(contender("history", name)[1]) == [
        ["champion", f"none → {first} linear", numbers[0], "register", "BOOTSTRAP first_version"],
        ["champion", f"{first} linear → {second} linear", numbers[1], "register", "PROMOTE refresh"],
        ["champion", f"{second} linear → {first} linear", numbers[2], "anna", "FORCED rolled_back, pinned: it raves"],
    ]
    assert contender("unpin", name, "--why", "seen enough")[1] == "Released: champion.\n"
    world.register()
    assert world.champion() == third


def test_a_narrow_terminal_shows_every_word(stage: Stage, contender: Terminal) -> None:
    with_champion(stage)
    contender("rollback", stage.task.name, "--to", "1", "--why", "it said nonsense on Tuesday", "--who", "anna")

    _, reported = contender("history", stage.task.name, columns=80)

    assert max(map(len, reported.splitlines())) <= 80
    for word in ("rolled_back,", "pinned:", "nonsense", "Tuesday", "anna", "BOOTSTRAP", "challenger"):
        assert word in reported
