"""Requests per second and latency of /predictionForTomorrow beside a Flask route that returns a constant.

    python bench/serving.py                                # starts its own Postgres, MLflow and API, with a small task
    python bench/serving.py --url http://127.0.0.1:8000    # measures an API that runs

Both get requests over 16 connections, in turns, under the same server settings; predictions are logged as
always. The load comes from wrk; where that is not installed, from a generator in Python, which is slower than what it
measures.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import requests
import sqlalchemy as sa
import yaml
from load import CONNECTIONS, generator_name, load
from rich import box
from rich.console import Console
from rich.table import Table

from contender.console.progress import ProgressReporter
from contender.local.pipeline import run_task
from contender.servers.processes import Postgres, free_port, spawn, start_mlflow, wait_for_http, wait_for_mlflow
from core.config.settings import Settings, keep_loopback_from_proxies
from core.config.task_files import load_task
from core.db.engine import connect, migrate
from core.db.pipeline_tables import predictions
from core.jobs.clock import SystemClock
from training.registry.factory import open_registry

REPOSITORY = Path(__file__).parent.parent
PATH = "/predictionForTomorrow?threshold=0.5"
WORKERS = 2
CONTENDERS = ("base-rate", "logistic", "river-logistic")


@contextmanager
def constant_server(settings: Settings) -> Iterator[str]:
    port = free_port()
    script = Path(__file__).with_name("constant.py")
    process = spawn("constant", [str(script), str(port), str(WORKERS)], settings)
    try:
        wait_for_http(f"http://127.0.0.1:{port}/constant", process, 30)
        yield f"http://127.0.0.1:{port}/constant"
    finally:
        process.stop()


@contextmanager
def own_api(home: Path, console: Console) -> Iterator[tuple[str, Settings]]:
    """Postgres, MLflow and the API in a folder of their own, with the task `spy` and three of its contenders."""
    tasks = home / "tasks"
    tasks.mkdir(parents=True)
    declared = yaml.safe_load((REPOSITORY / "tasks" / "spy.yaml").read_text())
    declared["contenders"] = {name: declared["contenders"][name] for name in CONTENDERS}
    (tasks / "spy.yaml").write_text(yaml.safe_dump(declared))
    postgres = Postgres(home / "postgres" / "data")
    mlflow_port, api_port = free_port(), free_port()
    settings = Settings(
        home=home, tasks=tasks, database_url=postgres.database("contender"), api_port=api_port, api_workers=WORKERS,
        mlflow_url=f"http://127.0.0.1:{mlflow_port}", yahoo_url="http://127.0.0.1:9",
    )  # fmt: skip
    engine = connect(settings.database_url)
    migrate(engine)
    engine.dispose()
    mlflow = start_mlflow(settings, postgres.database("mlflow"), mlflow_port)
    api = None
    try:
        wait_for_mlflow(settings.mlflow_url, mlflow)
        run_task(settings, load_task(tasks, "spy"), SystemClock(), ProgressReporter(console))
        started = time.perf_counter()
        api = spawn("api", ["-m", "serving"], settings)
        url = f"http://127.0.0.1:{api_port}"
        wait_for_http(f"{url}/health/ready", api, 60)
        console.print(f"API ready {time.perf_counter() - started:.1f} s after its start")
        yield url, settings
    finally:
        if api is not None:
            api.stop()
        mlflow.stop()
        postgres.stop()


def measure(console: Console, url: str, constant_url: str, rounds: int, seconds: int) -> None:
    title = f"{WORKERS} workers, {CONNECTIONS} connections, {seconds} s a turn, by {generator_name(console)}"
    table = Table("round", "route", title=title, box=box.SIMPLE, show_edge=False, collapse_padding=True)
    for name in ("req/s", "p50 ms", "p99 ms", "failed", "ratio"):
        table.add_column(name, justify="right", overflow="fold")
    ratios = []
    for number in range(1, rounds + 1):
        floor, api = load(constant_url, seconds), load(url + PATH, seconds)
        ratios.append(api.rate / floor.rate)
        table.add_row(str(number), "constant", *floor.cells(), "")
        table.add_row("", "prediction", *api.cells(), f"{ratios[-1]:.2f}", end_section=True)
    console.print(table)
    console.print(f"median ratio {statistics.median(ratios):.2f}; one machine runs server, load and Postgres")


def move_aliases(console: Console, url: str, settings: Settings, moves: int) -> None:
    """Moves the alias among the versions and takes the time until both workers serve the new one."""
    versions = [entry.version for entry in open_registry(settings).versions_above("spy", 0)]
    took = []
    for number in range(moves):
        version = versions[number % len(versions)]
        started = time.perf_counter()
        open_registry(settings).set_alias("spy", "champion", version)
        while served(url) != {version}:
            time.sleep(0.02)
        took.append(time.perf_counter() - started)
    console.print(
        f"alias moved → served by all workers, polling every {settings.alias_poll_seconds:.0f} s, {moves} moves: "
        f"median {statistics.median(took):.2f} s, longest {max(took):.2f} s ({', '.join(f'{s:.1f}' for s in took)})"
    )


def served(url: str) -> set[int]:
    lines = requests.get(f"{url}/metrics", timeout=10).text.splitlines()
    return {int(float(line.rsplit(" ", 1)[1])) for line in lines if line.startswith("model_version_served")}


def memory(console: Console, port: int) -> None:
    """Of the processes that listen, once every version has been loaded."""
    listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr.port == port]
    resident = [psutil.Process(pid).memory_info().rss / 2**20 for pid in sorted({c.pid for c in listening if c.pid})]
    console.print("resident memory of the workers: " + ", ".join(f"{megabytes:.0f} MB" for megabytes in resident))


def account(console: Console, url: str, settings: Settings) -> None:
    """Every answer that was counted is in the table."""
    engine = connect(settings.database_url)
    deadline = time.monotonic() + 30
    while True:
        text = requests.get(f"{url}/metrics", timeout=10).text
        given = sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith("predictions_total"))
        with engine.connect() as connection:
            logged = connection.execute(sa.select(sa.func.count()).select_from(predictions)).scalar_one()
        if logged == given or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    engine.dispose()
    console.print(f"predictions given {given:,.0f}, rows in Postgres {logged:,}")


def main() -> None:
    keep_loopback_from_proxies()
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--url", help="an API that runs; it should have 2 workers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of each turn")
    parser.add_argument("--moves", type=int, default=9)
    arguments = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "contender"
        if arguments.url:
            with constant_server(Settings(home=home)) as floor:
                measure(console, arguments.url.rstrip("/"), floor, arguments.rounds, arguments.seconds)
            return
        with own_api(home, console) as (url, settings):
            with constant_server(settings) as floor:
                measure(console, url, floor, arguments.rounds, arguments.seconds)
            account(console, url, settings)
            move_aliases(console, url, settings, arguments.moves)
            memory(console, settings.api_port)


if __name__ == "__main__":
    main()
