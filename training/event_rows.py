"""Events as rows of the table `events`: JSON, which Postgres takes as one text however many they are."""

from collections.abc import Sequence

import msgspec

from training.events import Draft, Features
from training.placing import Placing


class _Row(msgspec.Struct, omit_defaults=True, gc=False):
    """A row of the table. `place` counts from the log's head: 1 is the next. Features keep their keys in order."""

    place: int
    kind: str
    features: Features | None = None
    target: float | None = None
    event_id: str | None = None
    series_id: str | None = None
    ref_seq: int | None = None


_encode = msgspec.json.Encoder().encode


def of_drafts(drafts: Sequence[Draft]) -> str:
    """Drafts that become events as they are: none of them has an id."""
    rows = [
        _Row(place, draft.kind, draft.features, draft.target, None, draft.series_id)
        for place, draft in enumerate(drafts, 1)
    ]
    return _encode(rows).decode()


def of_placing(placing: Placing, head: int) -> str:
    """What is to be written of a group. Of a row in two halves each event holds its own."""
    rows = [
        _Row(
            event.seq - head,
            event.kind,
            None if event.kind == "label" else event.features,
            None if event.kind == "predict" else event.target,
            event_id,
            event.series_id,
            event.ref_seq,
        )
        for event, event_id in zip(placing.events, placing.event_ids, strict=True)
    ]
    return _encode(rows).decode()
