"""Where a contender stands in its walk: what it has learned, what it has predicted, and the model it goes on with."""

from dataclasses import dataclass
from datetime import date

from features.arrays import History
from training.models.base import deserialize, dumps


@dataclass(frozen=True)
class Position:
    """A place to continue from: kept in the same transaction as the predictions made up to it.

    `rows_learned` counts the labelled rows consumed so far, by target date. `model` is opaque; without it (another
    library version wrote it) the walk rebuilds what it held from the rows up to `learned_through`.
    """

    learned_through: date | None
    rows_learned: int
    model: bytes | None


BEGINNING = Position(None, 0, None)


@dataclass(frozen=True)
class Stand:
    """What `Position.model` holds: the newest target date predicted, and the current model.

    `trained_through` and `rows_trained` are the model's, which for a batch contender was fitted at the point `grid` of
    its grid of refits (labels ever seen by then).
    """

    predicted_through: date | None = None
    trained_through: date | None = None
    rows_trained: int = 0
    grid: int | None = None
    model: bytes | None = None

    def dump(self) -> bytes:
        """Bytes for `load`: equal stands, equal bytes."""
        fields = (self.predicted_through, self.trained_through, self.rows_trained, self.grid, self.model)
        return dumps(fields)

    @classmethod
    def load(cls, content: bytes) -> "Stand":
        """The stand whose bytes these are."""
        return cls(*deserialize(content))


@dataclass(frozen=True)
class Start:
    """What a position means on a given history.

    Of the labelled rows at hand, the first `learned` are learned already; `forgotten` more were learned that are no
    longer at hand (fewer when negative: rows that entered the past later, and are not learned any more). Rows from
    index `begin` on are to be predicted.
    """

    position: Position
    stand: Stand
    learned: int
    forgotten: int
    begin: int

    @classmethod
    def on(cls, history: History, position: Position | None) -> "Start":
        """Finds the position's place. Without a model, the rows open when it was left count as predicted."""
        position = position or BEGINNING
        through = position.learned_through
        learned = history.labels_through(through)
        stand = Stand() if position.model is None else Stand.load(position.model)
        predicted = history.rows_begun_by(through) if position.model is None else 0
        begin = max(predicted, history.rows_through(stand.predicted_through), history.rows_through(through))
        return cls(position, stand, learned, position.rows_learned - learned, begin)

    def end(self, history: History, stand: Stand) -> Position:
        """The position after everything at hand was predicted and learned."""
        new = len(history.labels) > self.learned
        return Position(
            learned_through=history.learned_through(len(history.labels)) if new else self.position.learned_through,
            rows_learned=len(history.labels) + self.forgotten,
            model=stand.dump(),
        )
