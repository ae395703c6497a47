"""Events as rows of the table `events`: each column a text with a line of JSON for each row, however many they are.

A line that is `null` is NULL, and so is every line of a column that ends before the others.
"""

from collections.abc import Sequence

import msgspec

from training.event_log.events import NewEvent
from training.event_log.idempotency import Placing

Columns = dict[str, str]

_encode_lines = msgspec.json.Encoder().encode_lines


def of_drafts(drafts: Sequence[NewEvent]) -> Columns:
    """Drafts that become events as they are: none of them has an id."""
    return {
        "kinds": "\n".join([draft.kind for draft in drafts]),
        "event_ids": "",
        "series_ids": _sparse([draft.series_id for draft in drafts]),
        "features": _lines([draft.features for draft in drafts]),
        "targets": _lines([draft.target for draft in drafts]),
        "ref_seqs": "",
    }


def of_placing(placing: Placing) -> Columns:
    """What is to be written of a group. Of a row in two halves each event holds its own."""
    events = placing.events
    return {
        "kinds": "\n".join([event.kind for event in events]),
        "event_ids": _lines(placing.event_ids),
        "series_ids": _sparse([event.series_id for event in events]),
        "features": _lines([None if event.kind == "label" else event.features for event in events]),
        "targets": _lines([None if event.kind == "predict" else event.target for event in events]),
        "ref_seqs": _sparse([event.ref_seq for event in events]),
    }


def _sparse(values: Sequence[object]) -> str:
    return _lines(values) if any(value is not None for value in values) else ""


def _lines(values: Sequence[object]) -> str:
    return _encode_lines(values).decode()[:-1]
