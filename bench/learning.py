"""Rows learned per second: /predict_learn, durable, beside an in-memory server, a bare River loop, and a replay.

    python bench/learning.py

It starts a Postgres and an API of its own (the embedded ones), with one worker and with two. The in-memory server
(bench/toy.py) is what people write first: FastAPI, one River model, nothing kept. Turns alternate, so that what else
the machine does falls on both.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from load import load
from rich import box
from rich.console import Console
from rich.table import Table

from contender.servers.processes import Postgres, free_port, spawn, wait_for_http
from core.config.settings import Settings, keep_loopback_from_proxies
from core.db.engine import connect, migrate
from features.arrays import FeatureRow
from training.event_log import store as event_log
from training.event_log.events import NewEvent
from training.event_log.store import LearnerKey
from training.learners.learner import Learner
from training.models.online_catalog import declared

REPOSITORY = Path(__file__).parent.parent
FEATURES = 12
LIST = 100
REPLAYED = 30_000


def rows(count: int) -> list[tuple[FeatureRow, float]]:
    randoms = random.Random(7)
    return [
        ({f"in_{lag}": randoms.gauss(100, 10) for lag in range(1, FEATURES + 1)}, randoms.gauss(100, 10))
        for _ in range(count)
    ]


@contextmanager
def api(settings: Settings, workers: int) -> Iterator[str]:
    port = free_port()
    process = spawn("api", ["-m", "serving"], settings.model_copy(update={"api_port": port, "api_workers": workers}))
    try:
        wait_for_http(f"http://127.0.0.1:{port}/health/live", process, 60)
        yield f"http://127.0.0.1:{port}/predict_learn"
    finally:
        process.stop()


@contextmanager
def toy(settings: Settings) -> Iterator[str]:
    port = free_port()
    process = spawn("toy", [str(Path(__file__).with_name("toy.py")), str(port)], settings)
    try:
        wait_for_http(f"http://127.0.0.1:{port}/health", process, 30)
        yield f"http://127.0.0.1:{port}/predict_learn"
    finally:
        process.stop()


def over_http(console: Console, settings: Settings, rounds: int, seconds: int) -> None:
    sent = [{"features": features, "target": target} for features, target in rows(LIST)]
    # Each single row another one: of a row that never changes the guard learns that every other is an outlier.
    one, many, bare = [json.dumps(row) for row in sent], [json.dumps(sent)], rows(REPLAYED)
    cases = [("1 row, 16 connections", one, 16, 1), ("1 row, 1 connection", one, 1, 1)]
    cases += [(f"{LIST} rows, 16 connections", many, 16, LIST), (f"{LIST} rows, 1 connection", many, 1, LIST)]
    table = Table("workers", "request", box=box.SIMPLE, show_edge=False, collapse_padding=True)
    for name in ("rows/s", "p50 ms", "p99 ms", "failed", "beside it", "ratio"):
        table.add_column(name, justify="right", overflow="fold")
    for workers in (1, 2):
        with api(settings, workers) as ours, toy(settings) as in_memory:
            for what, bodies, connections, size in cases:
                taken, floors = [], []
                for _ in range(rounds):
                    is_single = size == 1
                    floors.append(
                        load(in_memory, seconds, connections, bodies).rate
                        if is_single
                        else bare_rate(bare, predicts=True)
                    )
                    taken.append(load(ours, seconds, connections, bodies))
                table.add_row(
                    str(workers),
                    what,
                    f"{statistics.median(one.rate for one in taken) * size:,.0f}",
                    f"{statistics.median(one.p50 for one in taken):.2f}",
                    f"{statistics.median(one.p99 for one in taken):.1f}",
                    str(sum(one.failed for one in taken)),
                    f"{statistics.median(floors):,.0f}",
                    f"{statistics.median(o.rate * size / f for o, f in zip(taken, floors, strict=True)):.2f}",
                )
    engine = connect(settings.database_url)
    with engine.connect() as connection:
        refused = connection.execute(sa.text("SELECT count(*) FROM quarantined_events")).scalar_one()
    engine.dispose()
    if refused:
        raise SystemExit(f"{refused} rows were quarantined and not learned: the figures are of something else.")
    console.print(table)
    console.print(
        f"medians of {rounds} turns of {seconds} s; beside it, in turns: for single rows the server in memory, for "
        "lists a bare River loop that predicts and learns"
    )


def bare_rate(data: list[tuple[FeatureRow, float]], *, predicts: bool) -> float:
    """Rows a second of the same River model in a loop over rows in memory, with nothing around it."""
    from river import linear_model, preprocessing

    model = preprocessing.StandardScaler() | preprocessing.TargetStandardScaler(linear_model.LinearRegression())
    started = time.perf_counter()
    for features, target in data:
        if predicts:
            model.predict_one(features)
        model.learn_one(features, target)
    return len(data) / (time.perf_counter() - started)


def replay(console: Console, settings: Settings) -> None:
    """From an empty learner to the head of a log, read from Postgres, with and without scoring."""
    engine = connect(settings.database_url)
    key = LearnerKey("bench-replay", "linear_regression", "0")
    with event_log.session(engine) as connection:
        data = rows(REPLAYED)
        events = [NewEvent("row", features, target) for features, target in data]
        for begin in range(0, REPLAYED, 5_000):
            event_log.append(connection, key.log, events[begin : begin + 5_000])
        pinned = event_log.PinnedConnection(engine)
        for what, predicts in (("learn only", False), ("predict, score, learn", True)):
            ratios, rates = [], []
            for _ in range(7):
                bare = bare_rate(data, predicts=predicts)
                learner = Learner(declared("linear_regression", {}, "value").online("value", 7), "value")
                started = time.perf_counter()
                for block in event_log.blocks(pinned, key, 0, REPLAYED):
                    if predicts:
                        learner.apply(block, lambda *_: ())
                    else:
                        learner.replay(block)
                rates.append(REPLAYED / (time.perf_counter() - started))
                ratios.append(rates[-1] / bare)
            console.print(
                f"replay from Postgres, {what}: {statistics.median(rates):,.0f} rows/s, "
                f"{statistics.median(ratios):.2f} of a bare River loop over the same rows in memory"
            )
        pinned.close()
    engine.dispose()


def main() -> None:
    keep_loopback_from_proxies()
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="of each turn")
    arguments = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 100)
    with tempfile.TemporaryDirectory(prefix="contender-bench-") as folder:
        home = Path(folder)
        postgres = Postgres(home / "postgres" / "data")
        settings = Settings(
            home=home, tasks=REPOSITORY / "tasks", database_url=postgres.database("contender"),
            mlflow_url="http://127.0.0.1:9",
        )  # fmt: skip
        engine = connect(settings.database_url)
        migrate(engine)
        engine.dispose()
        try:
            replay(console, settings)
            over_http(console, settings, arguments.rounds, arguments.seconds)
        finally:
            postgres.stop()


if __name__ == "__main__":
    main()
