"""Deduplication by idempotency key: which events are new, were sent before, or are half of a row."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from features.arrays import FeatureRow
from training.event_log.events import Appended, Event, EventConflictError, Kind, NewEvent


@dataclass(frozen=True, slots=True)
class KnownEvent:
    """What a log holds under one id: the event with its features, and the one with its target (often the same)."""

    features_seq: int | None = None
    features: FeatureRow | None = None
    target_seq: int | None = None
    target: float | None = None


@dataclass(frozen=True, slots=True)
class AppendPlan:
    """What becomes of a group: an answer for each new event, in order, and the events to be written, with their ids."""

    answers: list[Appended | EventConflictError]
    events: list[Event]
    event_ids: list[str | None]


def plan_append(new_events: Sequence[NewEvent], known: Mapping[str, KnownEvent], head: int) -> AppendPlan:
    """Numbers what is new from `head + 1` on, without a gap, and recognises what is known.

    >>> once = NewEvent("row", {"x": 1.0}, 2.0, "a")
    >>> [answer.seq for answer in plan_append([once, once, NewEvent("row", {"x": 1.0}, 2.0)], {}, 10).answers]
    [11, 11, 12]
    """
    known = dict(known)
    plan = AppendPlan([], [], [])
    for new in new_events:
        if new.event_id is None:
            _add(plan, head, new.kind, new.features, new.target, new)
        else:
            before = known.get(new.event_id, KnownEvent())
            # An id may come twice in one group, as two rows or as two halves of one.
            known[new.event_id] = _plan_with_id(plan, head, new, before)
    return plan


def _plan_with_id(plan: AppendPlan, head: int, new: NewEvent, before: KnownEvent) -> KnownEvent:
    """Plans an event that has an id, given what its id holds before; returns what it holds after."""
    conflict = _conflict(new, before)
    if conflict:
        plan.answers.append(
            EventConflictError(
                f"The id {new.event_id!r} was used before with another {conflict}.",
                "Send the same content again, or give the new row an id of its own.",
            )
        )
        return before
    adds_features = new.features is not None and before.features_seq is None
    adds_target = new.target is not None and before.target_seq is None
    if not adds_features and not adds_target:
        seq = before.features_seq if new.features is not None else before.target_seq
        assert seq is not None  # noqa: S101 (an event has features or a target, and neither is new)
        plan.answers.append(Appended(seq, before.features_seq if new.features is not None else None, is_new=False))
        return before
    if adds_features and adds_target:
        seq = _add(plan, head, "row", new.features, new.target, new)
        return KnownEvent(seq, new.features, seq, new.target)
    # One half is new: its event carries the other half as well, so a learner needs no look back into the log.
    if adds_features:
        seq = _add(plan, head, "predict", new.features, before.target, new, ref_seq=before.target_seq)
        return replace(before, features_seq=seq, features=new.features)
    seq = _add(plan, head, "label", before.features, new.target, new, ref_seq=before.features_seq)
    return replace(before, target_seq=seq, target=new.target)


def _add(
    plan: AppendPlan,
    head: int,
    kind: Kind,
    features: FeatureRow | None,
    target: float | None,
    new: NewEvent,
    ref_seq: int | None = None,
) -> int:
    """Adds a numbered event to the plan, with the other half of its row where that came before."""
    seq = head + len(plan.events) + 1
    if kind == "label":
        predicted_at = None if new.features is None else ref_seq
    else:
        predicted_at = seq if kind in ("row", "predict") else None
    plan.events.append(Event(seq, kind, features, target, new.series_id, ref_seq))
    plan.event_ids.append(new.event_id)
    plan.answers.append(Appended(seq, predicted_at, is_new=True))
    return seq


def _conflict(new: NewEvent, before: KnownEvent) -> str:
    """Which half of the row the id holds with other content; empty for none."""
    if new.features is not None and before.features is not None and new.features != before.features:
        return "set of features"
    if new.target is not None and before.target is not None and new.target != before.target:
        return "target"
    return ""


def known_by_id(rows: Iterable[tuple[str, int, FeatureRow | None, float | None]]) -> dict[str, KnownEvent]:
    """Puts together what a log holds of ids, from (event_id, seq, features, target)."""
    found: dict[str, KnownEvent] = {}
    for event_id, seq, features, target in rows:
        held = found.get(event_id, KnownEvent())
        if features is not None:
            held = replace(held, features_seq=seq, features=features)
        if target is not None:
            held = replace(held, target_seq=seq, target=target)
        found[event_id] = held
    return found
