"""Events as rows of the table `events`, and as COPY reads them."""

from collections.abc import Iterator
from typing import NamedTuple

from training.events import encode_features
from training.placing import Placing

_NULL = "\\N"


class EventRow(NamedTuple):
    """A row of the table, its columns in order. `features` is JSON, its keys as they were sent."""

    log: str
    seq: int
    kind: str
    event_id: str | None
    series_id: str | None
    features: str | None
    target: float | None
    ref_seq: int | None


def rows(log: str, placing: Placing) -> Iterator[EventRow]:
    """What is to be written of a group. Of a row in two halves each event holds its own."""
    for event, event_id in zip(placing.events, placing.event_ids, strict=True):
        kind = event.kind
        features = encode_features(event.features).decode() if kind in ("row", "predict") else None
        target = event.target if kind in ("row", "label") else None
        yield EventRow(log, event.seq, kind, event_id, event.series_id, features, target, event.ref_seq)


def line(row: EventRow) -> str:
    """A row as a line of COPY."""
    log, seq, kind, event_id, series_id, features, target, ref_seq = row
    return (
        f"{_escaped(log)}\t{seq}\t{kind}\t{_escaped(event_id)}\t{_escaped(series_id)}\t{_escaped(features)}\t"
        f"{_NULL if target is None else repr(target)}\t{_NULL if ref_seq is None else ref_seq}\n"
    )


def _escaped(text: str | None) -> str:
    if text is None:
        return _NULL
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    if "\t" in text or "\n" in text or "\r" in text:
        text = text.replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
    return text
