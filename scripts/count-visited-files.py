#!/usr/bin/env python3
"""Counts the product's files whose functions run on four ways through the system: how far a reader has to follow.

    .venv/bin/python scripts/count-visited-files.py [CHECKOUT] [--list]

- a price bar: a new session of `spy`, from the source to the answer: the four jobs, then a worker that serves it;
- a pushed row: one `POST /predict_learn`, until it is answered and committed;
- an alias move: from another version under `champion` in MLflow to the worker that serves it;
- a request: each of a few `GET`s that a worker answers.

CHECKOUT (the present one, where none is given) is run in a home of its own on free ports, without a network. A file is
visited when one of its functions is called (`sys.settrace`), on any thread; what runs on import does not count. Lines
of `--list` name the files. It takes about three minutes.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PACKAGES = ("core", "web", "ingestion", "features", "training", "monitoring", "serving", "contender")
BEFORE, NEW = "2018-12-27", "2018-12-28"
JOBS = ("ingestion", "features", "training", "training.promote")
REQUESTS = (
    "/health/live", "/info", "/tasks", "/tasks/spy/prediction", "/predictionForTomorrow",
    "/predictionForTomorrow?threshold=0.6", "/predictionForTomorrow?threshold=0.6", "/model_metrics", "/metrics",
)  # fmt: skip
SETTLED_SECONDS = 1.5
"""How long after an answer its log is still followed to the database."""
TRACER = """
import atexit, json, os, sys, threading
root, visited = os.environ["VISITED_ROOT"] + os.sep, set()
def trace(frame, event, argument):
    name = frame.f_code.co_filename
    if name.startswith(root) and not frame.f_code.co_name.startswith("<module"):
        visited.add(name[len(root):])
threading.settrace(trace)
sys.settrace(trace)
def write():
    with open(os.environ["VISITED_OUT"], "w") as file:
        json.dump(sorted(visited), file)
atexit.register(write)
"""


def main() -> int:
    """Prints the table; see the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("checkout", nargs="?", type=Path, default=Path(__file__).parent.parent)
    parser.add_argument("--list", action="store_true", help="name the files")
    parser.add_argument("--serve", choices=("moves", "requests"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        ways = WAYS[arguments.serve]()
        Path(os.environ["VISITED_WAYS"]).write_text(json.dumps(ways))
        return 0
    for way, files in measure(arguments.checkout.resolve()).items():
        print(f"| {way} | {len(files)} |")
        if arguments.list:
            print("".join(f"    {name}\n" for name in files))
    return 0


def measure(checkout: Path) -> dict[str, list[str]]:
    """The files that each way visits, in a checkout that is run."""
    with tempfile.TemporaryDirectory(prefix="visited-") as folder:
        tracer = Path(folder, "tracer")
        tracer.mkdir()
        (tracer / "sitecustomize.py").write_text(TRACER)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CONTENDER_")},
            **{f"CONTENDER_{name}_PORT": str(free_port()) for name in ("API", "MLFLOW", "INGESTION", "FEATURES")},
            "CONTENDER_HOME": str(Path(folder, "home")),
            "CONTENDER_TASKS": str(checkout / "tasks"),
            "CONTENDER_YAHOO_URL": "http://127.0.0.1:9",
            "PYTHONPATH": str(checkout),
        }
        traced = environment | {
            "PYTHONPATH": f"{tracer}{os.pathsep}{checkout}",
            "VISITED_ROOT": str(checkout),
            "VISITED_OUT": str(Path(folder, "visited.json")),
            "VISITED_WAYS": str(Path(folder, "ways.json")),
        }
        ways: dict[str, list[str]] = {}
        run(checkout, environment, "-m", "contender", "up", "--detach", "--as-of", BEFORE)
        try:
            # The worker is made in this script's own process, for the threads of the real server cannot be traced. It
            # polls often where a move is followed, and not at all where only a request is to be seen.
            for what, seconds in (("moves", "1"), ("requests", "3600")):
                run(checkout, traced | {"CONTENDER_ALIAS_POLL_SECONDS": seconds}, __file__, "--serve", what)
                ways |= json.loads(Path(folder, "ways.json").read_text())
        finally:
            run(checkout, environment, "-m", "contender", "down")
    return ways


def run(checkout: Path, environment: dict[str, str], *command: str) -> None:
    """Runs Python in a checkout, and ends this script with the output where that fails."""
    done = subprocess.run([sys.executable, *command], cwd=checkout, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")


class Worker:
    """A worker of the API in this process, asked without a network; `visited` by its threads since `begin`."""

    def __init__(self) -> None:
        import sitecustomize  # the one of TRACER

        from serving.worker import make  # after the tracer, so that its threads are traced

        self.traced: set[str] = sitecustomize.visited
        self.client = make().test_client()
        until(lambda: self.client.get("/predictionForTomorrow").status_code == 200)

    def get(self, path: str) -> dict[str, object]:
        answer = self.client.get(path)
        if answer.status_code != 200:
            sys.exit(f"{path}: {answer.get_data(as_text=True)}")
        return answer.get_json(silent=True) or {}

    def visited(self, call: Callable[[], object], settle: float = 0) -> list[str]:
        """The files that are visited by a call and, for so many seconds, after it."""
        self.traced.clear()
        call()
        time.sleep(settle)
        return sorted(self.traced)


def moves() -> dict[str, list[str]]:
    """A price bar through the four jobs into a worker that serves already; then an alias that is moved by hand."""
    worker = Worker()
    before = worker.get("/predictionForTomorrow")["as_of"]
    by_jobs: set[str] = set()

    def bar() -> None:
        for job in JOBS:
            run(Path.cwd(), dict(os.environ), "-m", job, "--task", "spy", "--as-of", NEW)
            by_jobs.update(json.loads(Path(os.environ["VISITED_OUT"]).read_text()))
        until(lambda: worker.get("/predictionForTomorrow")["as_of"] != before)

    def move() -> None:
        served = worker.get("/predictionForTomorrow")["model_version"]
        other = min({1, 2} - {served})
        mlflow("registered-models/alias", {"name": "spy", "alias": "champion", "version": str(other)})
        until(lambda: worker.get("/predictionForTomorrow")["model_version"] == other)

    by_worker = worker.visited(bar, SETTLED_SECONDS)
    return {
        "a price bar": sorted(by_jobs.union(by_worker)),
        "a price bar, its worker alone": by_worker,
        "an alias move": worker.visited(move, SETTLED_SECONDS),
    }


def requests_and_rows() -> dict[str, list[str]]:
    """A row that is pushed, and the requests that only read."""
    worker = Worker()
    row = {"features": {"in_1": 135.0, "in_2": 130.0}, "target": 140.0}
    push = lambda: worker.client.post("/predict_learn", json=row)  # noqa: E731
    push()  # the first one makes the learner
    ways = {"a pushed row": worker.visited(push, 0.2)}
    return ways | {f"a request: {path}": worker.visited(lambda path=path: worker.get(path)) for path in REQUESTS}


WAYS = {"moves": moves, "requests": requests_and_rows}


def until(holds: Callable[[], bool], seconds: float = 300) -> None:
    """Waits until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            sys.exit("What was waited for did not come.")
        time.sleep(0.1)


def mlflow(path: str, body: dict[str, str]) -> None:
    """Calls MLflow's REST API as its page does."""
    import requests

    port = os.environ["CONTENDER_MLFLOW_PORT"]
    requests.post(f"http://127.0.0.1:{port}/api/2.0/mlflow/{path}", json=body, timeout=30).raise_for_status()


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
