"""Wall time and peak memory of the loop (both tasks, all contenders): the first time, and again with nothing new.

    python bench/loop.py

Each loop is one whole process, imports included, as `contender run` starts it, on services started here in a temporary
folder; the operating system's account of the finished process is printed. The services' start has a line of its own.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from contender.servers.processes import Postgres, free_port, start_mlflow, wait_for_mlflow
from core.config.settings import Settings, child_environment
from core.db.engine import connect, migrate

REPOSITORY = Path(__file__).parent.parent


def measured(arguments: list[str], environment: dict[str, str]) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and peak resident megabytes of one process (its largest child counts too)."""
    started = time.perf_counter()
    child = subprocess.Popen(arguments, env=environment, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {child.returncode}")
    scale = 1024 if sys.platform == "linux" else 1024 * 1024
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / scale


def main() -> None:
    table = Table("what", "wall s", "cpu s", "peak MB", title="The loop: spy and airline, all contenders")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "contender"
        started = time.perf_counter()
        postgres = Postgres(home / "postgres" / "data")
        database_url = postgres.database("contender")
        port = free_port()
        settings = Settings(
            home=home,
            tasks=REPOSITORY / "tasks",
            database_url=database_url,
            mlflow_url=f"http://127.0.0.1:{port}",
            yahoo_url="http://127.0.0.1:9",
        )
        engine = connect(database_url)
        migrate(engine)
        engine.dispose()
        mlflow = start_mlflow(settings, postgres.database("mlflow"), port)
        try:
            wait_for_mlflow(settings.mlflow_url, mlflow)
            table.add_row("services start (empty folder)", f"{time.perf_counter() - started:.1f}", "", "")
            for name in ("first loop", "second loop, nothing new"):
                wall, cpu, peak = measured([sys.executable, "-m", "contender", "run"], child_environment(settings))
                table.add_row(name, f"{wall:.1f}", f"{cpu:.1f}", f"{peak:.0f}")
        finally:
            mlflow.stop()
            postgres.stop()
    Console().print(table)
    Console().print("Each row: `contender run` as one process. Yahoo is out of reach here, so spy uses the sample.")


if __name__ == "__main__":
    main()
