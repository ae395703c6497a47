"""The files in which predictions wait: whole lines, within a bound, and each the property of one process."""

from pathlib import Path

import pytest

from serving.prediction_log.spool import SEGMENT_BYTES, PredictionSpool


def test_a_spool_keeps_whole_lines_and_closes_large_files(tmp_path: Path) -> None:
    spool = PredictionSpool(tmp_path, limit_bytes=10 * SEGMENT_BYTES)
    assert spool.close_segment() is None

    assert spool.append(b"one\ntwo\n", 2)
    assert not spool.is_full()
    first = spool.close_segment()
    assert spool.append(b"x" * SEGMENT_BYTES + b"\n", 1)
    assert spool.is_full()

    assert first is not None
    assert (first.rows, first.content()) == (2, b"one\ntwo\n")
    first.path.write_bytes(b"one\ntw")
    assert first.content() == b"one\n"
    spool.close()


def test_the_files_of_a_living_process_are_left_alone(tmp_path: Path) -> None:
    living, other = PredictionSpool(tmp_path, 1000), PredictionSpool(tmp_path, 1000)
    living.append(b"mine\n", 1)

    assert list(other.orphans()) == []

    living.close()
    assert [segment.content() for segment in other.orphans()] == [b"mine\n"]
    other.close()


def test_the_bound_holds_between_two_counts_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    size_bytes = PredictionSpool.size_bytes
    monkeypatch.setattr(PredictionSpool, "size_bytes", lambda spool: counts.append(1) or size_bytes(spool))
    monkeypatch.setattr("serving.prediction_log.spool.monotonic", lambda: 100.0)
    spool = PredictionSpool(tmp_path, limit_bytes=10)

    taken = [spool.append(b"abc\n", 1) for _ in range(4)]
    segment = spool.close_segment()
    assert segment is not None
    segment.remove()
    monkeypatch.setattr("serving.prediction_log.spool.monotonic", lambda: 101.0)

    assert taken == [True, True, False, False]
    assert spool.append(b"abc\n", 1)
    assert len(counts) == 2
    spool.close()
