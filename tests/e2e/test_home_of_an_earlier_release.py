"""A home that release 73b7305 made comes up with all of it: champions, learners, ledger, decisions, replays.

That release had its modules elsewhere and called many classes otherwise; its pickles name them.
"""

import json
import os
import pickletools
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import requests
import sqlalchemy as sa

from core.db.engine import connect
from tests.support.e2e import earlier_home
from tests.support.e2e.laptop import Laptop
from tests.support.paths import REPOSITORY
from training.registry import flavor, validation, versions
from training.reports import reproduce

RELEASE = "home-73b7305"
STORED, PUSHED = ("airline", "spy"), ("live", "plant")
REPLAY = "airline-replay-small"
PASSING = {"data_age_days", "stale"}
"""What depends on the day on which the test runs."""
EXPECTED: dict[str, Any] = json.loads((earlier_home.FIXTURES / RELEASE / "expected.json").read_text())


class EarlierHome(Laptop):
    """The home, with its administrator's token."""

    def ask(self, path: str, body: Any = None) -> Any:
        token = (self.home / "admin-token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        url = self.url("api") + path
        method = "GET" if body is None else "POST"
        answer = requests.request(method, url, json=body, headers=headers, timeout=30)
        return answer.json()

    def engine(self, schema: str = "") -> sa.Engine:
        return connect(json.loads((self.home / "services.json").read_text())["database_url"], schema=schema)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EarlierHome]:
    """Restored, and started by the code of today."""
    folder = tmp_path_factory.mktemp("earlier")
    earlier_home.restore(RELEASE, folder)
    home = EarlierHome(folder / "home", tasks=folder / "tasks")
    try:
        begun = home.run("up", "--detach")
        assert begun.returncode == 0, begun.stdout + begun.stderr
        yield home
    finally:
        home.run("down")


def telling(engine: sa.Engine, logged: dict[str, dict[str, str]]) -> list[tuple[int, dict[str, str]]]:
    """The first decision of each task, outcome and reason, and the newest: of a hundred, those that differ in kind."""
    first = sa.text("SELECT min(id) FROM decisions GROUP BY task, outcome, reason UNION SELECT max(id) FROM decisions")
    with engine.connect() as connection:
        numbers = [number for (number,) in connection.execute(first) if str(number) in logged]
    return [(number, logged[str(number)]) for number in sorted(numbers)]


@pytest.mark.parametrize("task", STORED)
def test_the_champion_answers_what_it_answered(home: EarlierHome, task: str) -> None:
    before = EXPECTED["predictions"][task]

    answer = home.ask(f"/tasks/{task}/prediction")

    assert {**answer, **dict.fromkeys(PASSING)} == {**before, **dict.fromkeys(PASSING)}
    digest = next(
        one["recorded"]["artifact_digest"]
        for one in EXPECTED["versions"][task]["versions"]
        if one["version"] == before["model_version"]
    )
    pickled = (home.home / "bundles" / task / digest / "data" / "model.pkl").read_bytes()
    named = {str(argument).split(".")[0] for _, argument, _ in pickletools.genops(pickled) if argument}
    assert "training" in named


@pytest.mark.parametrize("task", PUSHED)
def test_a_learner_of_pushed_rows_has_learned_what_it_had_learned(home: EarlierHome, task: str) -> None:
    before = EXPECTED["pushed"][task]
    features = {"features": {"in_1": 120.0, "in_2": 118.0}}
    probes = [features, {"features": {"in_1": 150.0, "in_2": 141.0, "month": 7.0}}, {"features": {}}]

    assert home.ask(f"/predict?task={task}", probes[: len(before["predictions"])]) == before["predictions"]
    assert home.ask(f"/predict_many?task={task}", {**features, "steps": 3}) == before["forecast"]
    assert home.ask(f"/model_metrics?task={task}") == before["metrics"]
    assert home.ask(f"/feedback?task={task}") == before["feedback"]
    assert home.ask(f"/management/tasks/{task}/quarantine?all=true") == before["quarantine"]
    assert home.ask(f"/management/tasks/{task}/configuration") == before["configuration"]


@pytest.mark.parametrize("task", [*STORED, *PUSHED])
def test_versions_and_ledger_are_what_they_were(home: EarlierHome, task: str) -> None:
    assert home.ask(f"/management/tasks/{task}/versions") == EXPECTED["versions"][task]
    assert home.ask(f"/management/tasks/{task}/ledger?limit=1000") == EXPECTED["ledger"][task]


@pytest.mark.parametrize("task", STORED)
def test_every_version_repeats_the_predictions_it_was_recorded_with(home: EarlierHome, task: str) -> None:
    listed = EXPECTED["versions"][task]["versions"]
    engine = home.engine()
    try:
        recorded = versions.numbered(engine, task, [one["version"] for one in listed])
    finally:
        engine.dispose()

    assert len(recorded) == len(listed)
    for one in listed:
        version = recorded[one["version"]]
        (folder,) = home.home.glob(f"artifacts/*/{one['run_id']}/artifacts/model")
        assert flavor.folder_digest(folder) == version.artifact_digest
        predicted = flavor.load_model(folder).predict(np.array(version.golden["rows"], dtype=np.float64))
        assert validation.reproduces_golden_batch(version, predicted), f"{task} {version.version}, {version.contender}"


def test_the_audit_log_goes_on(home: EarlierHome) -> None:
    rows = home.ask("/management/audit?limit=1000")["rows"]

    before = EXPECTED["audit"]["rows"]
    assert rows[-len(before) :] == before


@pytest.mark.parametrize(("kept", "schema"), [("decisions", ""), ("decisions_of_replay", REPLAY.replace("-", "_"))])
def test_decisions_come_out_the_same_to_the_byte(home: EarlierHome, kept: str, schema: str) -> None:
    engine = home.engine(schema)
    try:
        chosen = telling(engine, EXPECTED[kept])
        assert len(chosen) > 1
        for number, hashes in chosen:
            made = reproduce.again(engine, number)
            content = made.files["decision.json"]
            assert reproduce.sha256(content) == hashes.get("decision.json", reproduce.sha256(content)), number
            assert made.differences == (), number
            assert (made.drawn_by_earlier is not None) == bool(hashes), "a report that was logged"
    finally:
        engine.dispose()


def test_the_command_tells_of_a_report_that_an_earlier_release_drew(home: EarlierHome) -> None:
    told = home.run("decision", "replay", "1")

    assert told.returncode == 0, told.stdout
    assert "drawn by an earlier release" in " ".join(told.stdout.split())


@pytest.mark.parametrize(("task", "columns"), [("airline", "in_1 in_2 in_3 in_12 month"), ("live", "in_1 in_2")])
def test_a_notebook_loads_the_versions_of_the_earlier_release(home: EarlierHome, task: str, columns: str) -> None:
    names = columns.split()
    script = (
        "import mlflow.pyfunc, pandas, sys\n"
        f"frame = pandas.DataFrame([[float(i + 100) for i in range({len(names)})]], columns={names})\n"
        f"print(mlflow.pyfunc.load_model('models:/{task}@champion').predict(frame))"
    )
    environment = {**os.environ, "MLFLOW_TRACKING_URI": home.url("mlflow"), "PYTHONPATH": str(REPOSITORY)}

    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, cwd=home.home
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[")


def test_a_further_run_moves_nothing_and_aliases_can_be_moved_by_hand(home: EarlierHome) -> None:
    """The last test: it changes the home."""
    run = home.run("run")
    assert run.returncode == 0, run.stdout + run.stderr
    for task in STORED:
        assert home.ask(f"/management/tasks/{task}/ledger?limit=1000") == EXPECTED["ledger"][task]

    back = home.run("rollback", "airline", "--why", "A test", "--who", "ada")
    assert back.returncode == 0, back.stdout + back.stderr
    moved = home.ask("/management/tasks/airline/ledger?limit=1000")["rows"][0]
    assert (moved["alias"], moved["who"], moved["phase"]) == ("champion", "ada", "confirmed")
    released = home.run("unpin", "spy", "--why", "A test", "--who", "ada")
    assert released.stdout.strip() == "Released: champion."
    assert home.ask("/train?task=live", {"features": {"in_1": 1.0}, "target": 2.0, "id": "new"}) == {
        "message": "Model trained successfully"
    }
    conflict = home.ask("/train?task=live", {"features": {"in_1": 9.0}, "target": 2.0, "id": "row-1"})
    assert conflict["status"] == 409, "an id that the earlier release has seen"
    assert home.run("replay", "--remove", REPLAY, "--yes").returncode == 0
