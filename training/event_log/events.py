"""What stands in an event log: rows with their target, features alone, labels that come later or earlier, pauses."""

from typing import Literal

import msgspec

from core.errors import ContenderError
from features.arrays import FeatureRow

Kind = Literal["row", "predict", "label", "pause", "resume"]


class EventConflictError(ContenderError):
    """An idempotency key that was used before with other content."""


class NewEvent(msgspec.Struct, frozen=True, gc=False):
    """An event that has no place in the log yet.

    `row`: features and target; `predict`: features, whose target comes later or has come; `label`: the target of an
    event that is known by its id. `event_id` is the sender's idempotency key.
    """

    kind: Kind
    features: FeatureRow | None = None
    target: float | None = None
    event_id: str | None = None
    series_id: str | None = None


class Event(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An event at its place, with the other half of its row where that came before.

    A `label` whose `ref_seq` is set has the features that were sent with its id earlier; a `predict` whose `ref_seq`
    is set has the target. `said` is what the contender at hand predicted at `ref_seq`, when that is known from the
    database; None where it is in the learner's own memory, or was never said.
    """

    seq: int
    kind: Kind
    features: FeatureRow | None = None
    target: float | None = None
    series_id: str | None = None
    ref_seq: int | None = None
    said: float | None = None


class Placed(msgspec.Struct, frozen=True, gc=False):
    """Where a draft stands: `seq`, and the event with its features, whose prediction is the answer (None: a label).

    `is_new` is False when the same was sent before: nothing was added.
    """

    seq: int
    said_at: int | None
    is_new: bool
