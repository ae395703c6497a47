"""Metrics are exact over processes that live, that died, and that took over from them."""

import multiprocessing
import os
import struct
import threading
from pathlib import Path

import pytest

from serving.runtime.prometheus import Metrics


def samples(metrics: Metrics) -> dict[str, float]:
    lines = metrics.page().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def count_in_a_process(folder: Path, requests: int) -> None:
    metrics = Metrics(folder)
    for number in range(requests):
        metrics.count("/route", 200, 0.001 * (number % 10))
    metrics.flush()
    metrics.pending.set(5)
    metrics.polled.set_to_current_time()


def run(folder: Path, requests: int) -> None:
    process = multiprocessing.get_context("spawn").Process(target=count_in_a_process, args=(folder, requests))
    process.start()
    process.join()
    assert process.exitcode == 0


def test_what_dead_processes_counted_still_counts_and_their_gauges_do_not(tmp_path: Path) -> None:
    mine = Metrics(tmp_path)
    mine.count("/route", 200, 0.5)
    mine.pending.set(2)

    run(tmp_path, 10)
    run(tmp_path, 20)

    told = samples(mine)
    assert told['http_requests_total{route="/route",status="200"}'] == 31
    assert told['http_request_seconds_count{route="/route"}'] == 31
    assert told["predictions_pending"] == 2


def test_a_new_process_takes_over_the_files_of_a_dead_one(tmp_path: Path) -> None:
    run(tmp_path, 10)
    files = {path.name.rsplit("_", 1)[0] for path in tmp_path.iterdir()}

    for _ in range(3):
        run(tmp_path, 10)

    assert len(list(tmp_path.glob("counter_*.db"))) == 1
    assert len(list(tmp_path.iterdir())) == len(files)
    assert samples(Metrics(tmp_path))['http_requests_total{route="/route",status="200"}'] == 40


def test_the_page_counts_what_this_process_noted_last(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)

    metrics.count("/route", 404, 0.001)

    assert samples(metrics)['http_requests_total{route="/route",status="404"}'] == 1


@pytest.mark.parametrize(("seconds", "within"), [(0.0001, "0.0001"), (0.00011, "0.00025"), (60.0, "+Inf")])
def test_a_batch_falls_into_the_buckets_that_single_observations_would(
    tmp_path: Path, seconds: float, within: str
) -> None:
    metrics = Metrics(tmp_path)
    metrics.seconds.labels("/one").observe(seconds)

    metrics.count("/many", 200, seconds)
    metrics.count("/many", 200, seconds)

    told = samples(metrics)
    for name, value in told.items():
        if name.startswith("http_request_seconds") and '"/one"' in name:
            assert told[name.replace("/one", "/many")] == pytest.approx(2 * value)
    assert told[f'http_request_seconds_bucket{{le="{within}",route="/many"}}'] == 2


def test_every_living_worker_says_how_long_ago_it_heard_the_aliases(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    metrics.polled.set_to_current_time()

    age = samples(metrics)[f'alias_poll_age_seconds{{pid="{os.getpid()}"}}']

    assert 0 <= age < 5


def test_a_file_that_another_process_has_made_and_not_begun_is_waited_for(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    metrics.count("/route", 200, 0.001)
    made = tmp_path / f"counter_{os.getppid()}.db"
    made.touch()
    begun = threading.Timer(0.2, lambda: made.write_bytes(struct.pack("ii", 8, 0) + bytes(1 << 16)))
    begun.start()

    told = samples(metrics)

    begun.join()
    assert told['http_requests_total{route="/route",status="200"}'] == 1
