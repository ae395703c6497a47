"""Every answer reaches Postgres exactly once, whatever happens to Postgres or to the process in between."""

import multiprocessing
import os
import signal
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from core.db.engine import connect
from core.db.pipeline_tables import feature_rows, predictions
from serving.prediction_log.log import PredictionLog
from serving.prediction_log.postgres import LoggedAnswer, LoggedFeatures
from serving.runtime.prometheus import Metrics
from tests.support.waiting import wait_for

NOW = datetime(2019, 1, 1, 12, tzinfo=UTC)
FEATURES = LoggedFeatures("f" * 16, "GSPC", date(2018, 12, 31), {"return_1": 0.1})
SHARED = (
    "GSPC\tlogistic\t3\tchampion\t2018-12-31\t2019-01-02\t0.75\t0.5\tUP\tffffffffffffffff\tdddddddddddddddd\tf\t41\n"
)
ANSWER = LoggedAnswer("spy", f"spy\t{SHARED}", FEATURES)
NOWHERE = "postgresql+psycopg2://nobody@127.0.0.1:9/none"


@pytest.fixture
def metrics(tmp_path: Path) -> Metrics:
    return Metrics(tmp_path / "metrics")


@pytest.fixture
def away() -> Iterator[sa.Engine]:
    engine = connect(NOWHERE)
    yield engine
    engine.dispose()


def identities(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


def answered(log: PredictionLog, ids: list[str], answer: LoggedAnswer = ANSWER) -> None:
    for identity in ids:
        log.add(identity, answer, NOW)


def stored(engine: sa.Engine) -> list[str]:
    with engine.connect() as connection:
        return sorted(str(identity) for identity in connection.execute(sa.select(predictions.c.id)).scalars())


def value(metric: object) -> float:
    told: float = metric._value.get()  # type: ignore[attr-defined]
    return told


def test_answers_arrive_while_the_service_runs(engine: sa.Engine, tmp_path: Path, metrics: Metrics) -> None:
    log = PredictionLog(tmp_path / "spool", engine, metrics)
    ids = identities(500)
    log.start()

    answered(log, ids)

    wait_for(lambda: len(stored(engine)) == 500)
    assert stored(engine) == sorted(ids)
    log.stop()


def test_a_row_says_what_was_answered_and_from_what(engine: sa.Engine, tmp_path: Path, metrics: Metrics) -> None:
    log = PredictionLog(tmp_path / "spool", engine, metrics)
    (identity,) = identities(1)
    answered(log, [identity])

    log.stop()

    with engine.connect() as connection:
        row = connection.execute(sa.select(predictions)).mappings().one()
        features = connection.execute(sa.select(feature_rows)).mappings().one()
    assert dict(row) == {
        "id": uuid.UUID(identity), "task": "spy", "series": "GSPC", "contender": "logistic", "version": 3,
        "alias": "champion", "event_date": date(2018, 12, 31), "target_date": date(2019, 1, 2), "value": 0.75,
        "threshold": 0.5, "prediction": "UP", "features_hash": "f" * 16, "data_hash": "d" * 16, "stale": False,
        "last_event_id": 41, "made_at": NOW,
    }  # fmt: skip
    assert (features["features_hash"], features["features"]) == ("f" * 16, {"return_1": 0.1})


def test_stopping_writes_down_what_was_answered_last(engine: sa.Engine, tmp_path: Path, metrics: Metrics) -> None:
    log = PredictionLog(tmp_path / "spool", engine, metrics)
    log.start()
    ids = identities(50)
    answered(log, ids)

    log.stop()

    assert stored(engine) == sorted(ids)
    assert list((tmp_path / "spool").iterdir()) == []


def test_without_postgres_answers_wait_on_disk_and_the_next_process_sends_them(
    engine: sa.Engine, away: sa.Engine, tmp_path: Path, metrics: Metrics
) -> None:
    first = PredictionLog(tmp_path / "spool", away, metrics)
    ids = identities(300)
    answered(first, ids)
    with capture_logs() as logs:
        first.stop()

    second = PredictionLog(tmp_path / "spool", engine, metrics)
    second.ship()

    assert [entry["log_level"] for entry in logs] == ["error"]
    assert stored(engine) == sorted(ids)
    assert not list((tmp_path / "spool").glob("*.rows"))
    second.stop()
    assert list((tmp_path / "spool").iterdir()) == []


def test_rows_of_a_process_that_knew_no_events_arrive_without_one(
    engine: sa.Engine, away: sa.Engine, tmp_path: Path, metrics: Metrics
) -> None:
    older, newer = identities(2)
    first = PredictionLog(tmp_path / "spool", away, metrics)
    answered(first, [older], LoggedAnswer("spy", "spy\t" + SHARED.replace("\t41\n", "\n"), FEATURES))
    answered(first, [newer])
    first.stop()

    second = PredictionLog(tmp_path / "spool", engine, metrics)
    second.stop()

    with engine.connect() as connection:
        rows = connection.execute(sa.select(predictions.c.id, predictions.c.last_event_id)).all()
    assert {str(row.id): row.last_event_id for row in rows} == {older: None, newer: 41}


def test_rows_that_had_arrived_already_are_not_added_twice(
    engine: sa.Engine, away: sa.Engine, tmp_path: Path, metrics: Metrics
) -> None:
    ids = identities(20)
    lost = PredictionLog(tmp_path / "spool", away, metrics)
    answered(lost, ids)
    lost.stop()
    (file,) = (tmp_path / "spool").glob("*.rows")
    content = file.read_bytes()

    for times in range(3):  # as if the process had died after the commit and before the file was deleted
        (tmp_path / "spool" / f"1-{times}.lock").touch()
        (tmp_path / "spool" / f"1-{times}.000000.rows").write_bytes(content)
        log = PredictionLog(tmp_path / "spool", engine, metrics)
        log.ship()
        log.stop()

    assert stored(engine) == sorted(ids)


def test_a_failed_sending_is_sent_again_when_postgres_is_back(
    engine: sa.Engine, tmp_path: Path, metrics: Metrics
) -> None:
    log = PredictionLog(tmp_path / "spool", engine, metrics)
    log.start()
    ids = identities(10)
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE predictions RENAME TO elsewhere"))

    answered(log, ids)
    wait_for(lambda: "postgres" in log._log_once._problems)
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE elsewhere RENAME TO predictions"))

    wait_for(lambda: len(stored(engine)) == 10)
    assert value(metrics.dropped) == 0
    log.stop()


def test_beyond_the_bound_answers_are_dropped_and_counted(away: sa.Engine, tmp_path: Path, metrics: Metrics) -> None:
    line = len(ANSWER.line(identities(1)[0], NOW))
    log = PredictionLog(tmp_path / "spool", away, metrics, limit_bytes=10 * line)

    for _ in range(5):
        answered(log, identities(4))
        log.write()

    assert value(metrics.dropped) == 12
    assert value(metrics.pending) == 8
    assert sum(path.stat().st_size for path in (tmp_path / "spool").glob("*.rows")) == 8 * line
    log.stop()


def test_the_number_of_files_does_not_grow_with_the_length_of_an_outage(
    engine: sa.Engine, away: sa.Engine, tmp_path: Path, metrics: Metrics
) -> None:
    log = PredictionLog(tmp_path / "spool", away, metrics)
    ids: list[str] = []

    for _ in range(10):
        new = identities(3)
        answered(log, new)
        log.write()
        log._not_before = 0.0
        for file in (tmp_path / "spool").glob("*.features"):
            file.unlink()  # as if the outage had begun after they were stored: the lines are what fails
        log.ship()
        ids += new

    assert len(list((tmp_path / "spool").glob("*.rows"))) == 2  # the one that was tried, the one being written
    assert value(metrics.pending) == 30
    log._engine = engine
    log.stop()
    assert stored(engine) == sorted(ids)
    assert value(metrics.dropped) == 0
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_line_that_postgres_refuses_does_not_hold_up_the_others(
    engine: sa.Engine, tmp_path: Path, metrics: Metrics
) -> None:
    log = PredictionLog(tmp_path / "spool", engine, metrics)
    answered(log, ["no-uuid"])
    log.write()
    log.ship()
    ids = identities(3)
    answered(log, ids)

    log.stop()

    assert stored(engine) == sorted(ids)
    assert value(metrics.dropped) == 1
    assert len(list((tmp_path / "spool").glob("*.refused"))) == 1


def test_a_disk_that_takes_nothing_is_told_once_and_counted(
    engine: sa.Engine, tmp_path: Path, metrics: Metrics
) -> None:
    log = PredictionLog(tmp_path / "spool", engine, metrics)
    log._spool._folder = tmp_path / "gone"

    with capture_logs() as logs:
        for _ in range(3):
            answered(log, identities(2))
            log.write()

    assert value(metrics.dropped) == 6
    assert [entry["event"] for entry in logs] == ["Predictions are given and not logged."]
    log._spool._folder = tmp_path / "spool"
    log.stop()


def answer_until_killed(spool: Path, folder: Path, said: str) -> None:
    """What a worker does: it answers, and tells the parent which answer it gave."""
    log = PredictionLog(spool, connect(NOWHERE), Metrics(folder))
    log.start()
    with Path(said).open("w") as file:
        while True:
            identity = str(uuid.uuid4())
            log.add(identity, ANSWER, NOW)
            file.write(f"{time.monotonic()} {identity}\n")
            file.flush()
            time.sleep(0.0005)


def test_a_kill_costs_the_last_tenth_of_a_second_and_no_more(
    engine: sa.Engine, tmp_path: Path, metrics: Metrics
) -> None:
    said = tmp_path / "said"
    spool = tmp_path / "spool"
    process = multiprocessing.get_context("spawn").Process(
        target=answer_until_killed, args=(spool, tmp_path / "other-metrics", str(said))
    )
    process.start()
    wait_for(lambda: said.exists() and said.read_text().count("\n") > 4000)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    killed_at = time.monotonic()
    process.join()

    log = PredictionLog(spool, engine, metrics)
    log.ship()
    log.stop()

    lines = [line.split() for line in said.read_text().splitlines() if len(line.split()) == 2]
    # A busy machine stops the process now and then, its thread that writes as well as the loop that tells us so.
    stops = max(float(after) - float(before) for (before, _), (after, _) in pairwise(lines[-2000:]))
    due = {identity for at, identity in lines if float(at) < killed_at - 0.25 - 4 * stops}
    kept = set(stored(engine))
    assert len(due) > 100
    assert due <= kept <= {identity for _, identity in lines}
