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
    parser.add_argument("--serve", metavar="OUT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        return serve(Path(arguments.serve))
    visited = measure(arguments.checkout.resolve())
    for way, files in visited.items():
        print(f"| {way} | {len(files)} |")
        if arguments.list:
            print("".join(f"    {name}\n" for name in files))
    return 0


def measure(checkout: Path) -> dict[str, list[str]]:
    """The files that each way visits, in a checkout that is run."""
    with tempfile.TemporaryDirectory(prefix="visited-") as folder:
        home, tracer = Path(folder, "home"), Path(folder, "tracer")
        tracer.mkdir()
        (tracer / "sitecustomize.py").write_text(TRACER)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CONTENDER_")},
            **{f"CONTENDER_{name}_PORT": str(free_port()) for name in ("API", "MLFLOW", "INGESTION", "FEATURES")},
            "CONTENDER_HOME": str(home),
            "CONTENDER_TASKS": str(checkout / "tasks"),
            "CONTENDER_YAHOO_URL": "http://127.0.0.1:9",
            "PYTHONPATH": str(checkout),
        }

        def run(*command: str, out: str = "", **variables: str) -> list[str]:
            """Runs Python in the checkout; with `out`, returns the files that it visited."""
            traced = {"PYTHONPATH": f"{tracer}{os.pathsep}{checkout}", "VISITED_ROOT": str(checkout)} if out else {}
            file = Path(folder, f"{out}.json")
            variables |= {**traced, "VISITED_OUT": str(file)}
            done = subprocess.run(
                [sys.executable, *command], cwd=checkout, env=environment | variables, capture_output=True, text=True
            )
            if done.returncode:
                sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
            return json.loads(file.read_text()) if out else []

        run("-m", "contender", "up", "--detach", "--as-of", BEFORE)
        try:
            bar = {
                name
                for number, job in enumerate(JOBS)
                for name in run("-m", job, "--task", "spy", "--as-of", NEW, out=f"job-{number}")
            }
            # The worker is made in this script's own process, for the real server's threads cannot be traced.
            run(__file__, "--serve", folder, out="worker", CONTENDER_ALIAS_POLL_SECONDS="1")
        finally:
            run("-m", "contender", "down")
        ways = {way: set(files) for way, files in json.loads(Path(folder, "ways.json").read_text()).items()}
    bar |= ways.pop("the answer to a price bar")
    return {"a price bar": sorted(bar), **{way: sorted(files) for way, files in ways.items()}}


def serve(folder: Path) -> int:
    """Makes a worker in this process, asks it, and writes down which files each way visited."""
    import sitecustomize as tracer  # the one of TRACER

    from serving.worker import make  # after the tracer, so that its threads are traced

    ways: dict[str, list[str]] = {}

    def visit(way: str, call: Callable[[], object], settle: float) -> None:
        tracer.visited.clear()
        call()
        time.sleep(settle)
        ways[way] = sorted(tracer.visited)

    def get(path: str) -> dict[str, object]:
        answer = client.get(path)
        assert answer.status_code == 200, (path, answer.get_data(as_text=True))
        return answer.get_json(silent=True) or {}

    def move() -> None:
        versions = sorted({1, 2, 3} - {served})
        mlflow("registered-models/alias", {"name": "spy", "alias": "champion", "version": str(versions[0])})
        until(lambda: get("/predictionForTomorrow")["model_version"] == versions[0])

    app = make()
    client = app.test_client()
    until(lambda: client.get("/predictionForTomorrow").status_code == 200)
    visit("the answer to a price bar", lambda: get("/predictionForTomorrow?threshold=0.41"), SETTLED_SECONDS)
    served = get("/predictionForTomorrow")["model_version"]
    visit("an alias move", move, SETTLED_SECONDS)
    row = {"features": {"in_1": 135.0, "in_2": 130.0}, "target": 140.0}
    client.post("/predict_learn", json=row)
    visit("a pushed row", lambda: client.post("/predict_learn", json=row), 0.2)
    for path in REQUESTS:
        visit(f"a request: {path}", lambda path=path: get(path), 0)
    (folder / "ways.json").write_text(json.dumps(ways))
    return 0


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
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
