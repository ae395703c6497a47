"""What an event log holds: rows with their target, features alone, targets that come later or earlier, pauses."""

from typing import Literal

import msgspec

from core.errors import ContenderError
from features.arrays import FeatureRow

Kind = Literal["row", "predict", "label", "pause", "resume"]


class EventConflictError(ContenderError):
    """An idempotency key that was used before with other content."""


# `gc=False`: events hold no cycles, and the garbage collector would run in the middle of a large group.
class NewEvent(msgspec.Struct, frozen=True, gc=False):
    """An event without a number in the log yet.

    `row`: features and target; `predict`: features, whose target comes later or has come; `label`: the target of an
    event that is known by its id. `event_id` is the sender's idempotency key.
    """

    kind: Kind
    features: FeatureRow | None = None
    target: float | None = None
    event_id: str | None = None
    series_id: str | None = None


class Event(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A numbered event, with the other half of its row where that came before.

    A `label` whose `ref_seq` is set has the features that were sent with its id earlier; a `predict` whose `ref_seq`
    is set has the target. `predicted` is the prediction of the contender at hand for `ref_seq`, where the database has
    it; None where only the learner's memory has it, or where there was none.
    """

    # Read from JSON arrays (`store._READ`): the order of the fields is the format.
    seq: int
    kind: Kind
    features: FeatureRow | None = None
    target: float | None = None
    series_id: str | None = None
    ref_seq: int | None = None
    predicted: float | None = None


class Appended(msgspec.Struct, frozen=True, gc=False):
    """The number of a new event, and that of the event whose prediction is the answer to it (None: a label alone).

    `is_new` is False when the same was sent before: nothing was added.
    """

    seq: int
    predicted_at: int | None
    is_new: bool
