"""Which drafts are new, which were sent before, and which belong together by their id: pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from features.arrays import FeatureRow
from training.event_log.events import Event, EventConflictError, Kind, NewEvent, Placed


@dataclass(frozen=True, slots=True)
class Known:
    """What a log holds under one id: the event with its features, and the one with its target (often the same)."""

    features_seq: int | None = None
    features: FeatureRow | None = None
    target_seq: int | None = None
    target: float | None = None


@dataclass(frozen=True, slots=True)
class Placing:
    """What becomes of a group of drafts: an answer for each, in order, and the events and rows to be written."""

    answers: list[Placed | EventConflictError]
    events: list[Event]
    event_ids: list[str | None]


def place(drafts: Sequence[NewEvent], known: Mapping[str, Known], head: int) -> Placing:
    """Numbers what is new from `head + 1` on, without a gap, and recognises what is known.

    >>> once = Draft("row", {"x": 1.0}, 2.0, "a")
    >>> [answer.seq for answer in place([once, once, Draft("row", {"x": 1.0}, 2.0)], {}, 10).answers]
    [11, 11, 12]
    """
    standing = dict(known)
    placing = Placing([], [], [])
    for draft in drafts:
        if draft.event_id is None:
            _add(placing, head, draft.kind, draft.features, draft.target, draft)
        else:
            before = standing.get(draft.event_id, Known())
            standing[draft.event_id] = _place_known(placing, head, draft, before)
    return placing


def _place_known(placing: Placing, head: int, draft: NewEvent, before: Known) -> Known:
    """Places a draft that has an id, given what its id holds before; returns what it holds after."""
    clash = _clash(draft, before)
    if clash:
        placing.answers.append(
            EventConflictError(
                f"The id {draft.event_id!r} was used before with another {clash}.",
                "Send the same content again, or give the new row an id of its own.",
            )
        )
        return before
    adds_features = draft.features is not None and before.features_seq is None
    adds_target = draft.target is not None and before.target_seq is None
    if not adds_features and not adds_target:
        seq = before.features_seq if draft.features is not None else before.target_seq
        assert seq is not None  # noqa: S101 (a draft has features or a target, and neither is new)
        placing.answers.append(Placed(seq, before.features_seq if draft.features is not None else None, is_new=False))
        return before
    if adds_features and adds_target:
        seq = _add(placing, head, "row", draft.features, draft.target, draft)
        return Known(seq, draft.features, seq, draft.target)
    if adds_features:
        seq = _add(placing, head, "predict", draft.features, before.target, draft, ref_seq=before.target_seq)
        return replace(before, features_seq=seq, features=draft.features)
    seq = _add(placing, head, "label", before.features, draft.target, draft, ref_seq=before.features_seq)
    return replace(before, target_seq=seq, target=draft.target)


def _add(
    placing: Placing,
    head: int,
    kind: Kind,
    features: FeatureRow | None,
    target: float | None,
    draft: NewEvent,
    ref_seq: int | None = None,
) -> int:
    """Adds the event that a draft becomes, with the other half of its row where that came before."""
    seq = head + len(placing.events) + 1
    if kind == "label":
        said_at = None if draft.features is None else ref_seq
    else:
        said_at = seq if kind in ("row", "predict") else None
    placing.events.append(Event(seq, kind, features, target, draft.series_id, ref_seq))
    placing.event_ids.append(draft.event_id)
    placing.answers.append(Placed(seq, said_at, is_new=True))
    return seq


def _clash(draft: NewEvent, before: Known) -> str:
    """Which half of the row the id holds with other content; empty for none."""
    if draft.features is not None and before.features is not None and draft.features != before.features:
        return "set of features"
    if draft.target is not None and before.target is not None and draft.target != before.target:
        return "target"
    return ""


def known_by_id(rows: Iterable[tuple[str, int, FeatureRow | None, float | None]]) -> dict[str, Known]:
    """Puts together what a log holds of ids, from (event_id, seq, features, target)."""
    found: dict[str, Known] = {}
    for event_id, seq, features, target in rows:
        held = found.get(event_id, Known())
        if features is not None:
            held = replace(held, features_seq=seq, features=features)
        if target is not None:
            held = replace(held, target_seq=seq, target=target)
        found[event_id] = held
    return found
