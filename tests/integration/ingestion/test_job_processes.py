import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml

from core.config.settings import Settings, child_environment
from core.config.task_files import load_task
from core.config.tasks import Task
from core.db.pipeline_tables import active_series, fetches, observations
from core.jobs.calendars import final_at
from core.jobs.runner import TRY_AGAIN, run_job
from ingestion.job import run
from tests.support.ingestion.yahoo_stand_in import YahooStandIn, walk, yahoo_stand_in
from tests.support.paths import REPOSITORY

BARS = walk(date(2024, 1, 2), date(2024, 5, 3))


@pytest.fixture
def yahoo() -> Iterator[YahooStandIn]:
    with yahoo_stand_in() as stand_in:
        stand_in.bars = BARS
        yield stand_in


@pytest.fixture
def settings(settings: Settings, yahoo: YahooStandIn, tmp_path: Path) -> Settings:
    """Settings with a task of our own, `mine`: SPY of the spring of 2024, and no fallback."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    declared = yaml.safe_load((REPOSITORY / "tasks" / "spy.yaml").read_text())
    declared |= {"name": "mine", "start": date(2024, 1, 2), "fallback": "none"}
    (folder / "mine.yaml").write_text(yaml.safe_dump(declared))
    return settings.model_copy(update={"tasks": folder, "yahoo_url": yahoo.url})


@pytest.fixture
def mine(settings: Settings) -> Task:
    return load_task(settings.tasks, "mine")


def count(engine: sa.Engine, table: sa.Table) -> int:
    with engine.connect() as connection:
        number: int = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
    return number


@pytest.mark.slow
def test_five_jobs_started_at_once_ask_once_and_store_once(
    settings: Settings, mine: Task, yahoo: YahooStandIn, engine: sa.Engine
) -> None:
    as_of = (final_at(mine, BARS[-1].day) + timedelta(hours=1)).isoformat()
    command = [sys.executable, "-m", "ingestion", "--task", "mine", "--as-of", as_of]

    def scheduled(_: int) -> list[tuple[int, str]]:
        """Runs the job as its scheduler does: again as long as it says that its time was up."""
        ended = []
        while not ended or ended[-1][0] == TRY_AGAIN:
            job = subprocess.run(
                command, cwd=REPOSITORY, env=child_environment(settings), capture_output=True, text=True, timeout=200
            )
            ended.append((job.returncode, job.stderr))
        return ended

    with ThreadPoolExecutor(5) as schedulers:
        jobs = list(schedulers.map(scheduled, range(5)))

    said = [job[-1] for job in jobs]
    in_vain = sum(len(job) - 1 for job in jobs)  # none, unless the machine has no time for five of them
    assert [code for code, _ in said] == [0] * 5, jobs
    assert sorted(f"SPY from yahoo: {len(BARS)} new" in line for _, line in said) == [False] * 4 + [True]
    assert all(line.count("\n") == 1 for _, line in said), said  # one summary line and no noise
    # A job that asks in vain asks again, up to three times; five jobs that did not wait for each other would ask five.
    assert 1 <= len(yahoo.chart_requests) <= 3 * (1 + in_vain), jobs
    assert 1 <= count(engine, fetches) <= 1 + in_vain, jobs
    assert (count(engine, observations), count(engine, active_series)) == (len(BARS), 1)


@pytest.mark.parametrize(("fault", "code"), [("", 0), ("500", 75), ("empty", 43)])
def test_the_exit_code_tells_the_scheduler_whether_to_try_again(
    settings: Settings,
    mine: Task,
    yahoo: YahooStandIn,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    code: int,
) -> None:
    for name, value in child_environment(settings).items():
        monkeypatch.setenv(name, value)
    yahoo.fault = fault

    assert run_job("ingestion", run, ["--task", "mine", "--as-of", "2024-05-05"]) == code


def test_a_job_that_stands_at_a_date_takes_that_days_last_second(settings: Settings, mine: Task) -> None:
    from core.jobs.clock import parse_as_of

    report = run(settings, mine, parse_as_of("2024-05-02"))

    assert report.last_date == date(2024, 5, 2)
    assert final_at(mine, date(2024, 5, 2)) == datetime(2024, 5, 2, 23, tzinfo=UTC)
